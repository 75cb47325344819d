//! Record sets of Route 53, which writes a star in a name as its code, and refuses to delete what is not there, other than the
//! emulator.

use http::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::{OperationRequest, Outcome, Refusal, whole};
use crate::server::Body;
use crate::xml::{self, Element};

const STAR: &str = "*.";
const CODE: &str = "\\052.";

/// Writes names in the words that the emulator knows.
fn plain(batch: &mut Element) {
    rename(batch, CODE, STAR);
}

/// Writes names in the words of Route 53.
fn complete(answer: &mut Element) {
    rename(answer, STAR, CODE);
}

fn rename(root: &mut Element, from: &str, to: &str) {
    xml::visit(root, "Name", &mut |name| {
        let text = name.get_text().unwrap_or_default().into_owned();
        if let Some(rest) = text.strip_prefix(from) {
            *name = Element { children: xml::leaf("Name", format!("{to}{rest}")).children, ..name.clone() };
        }
    });
}

/// Names and types of the record sets that a request deletes.
fn deleted(batch: &Element) -> Vec<(String, String)> {
    let changes = xml::find(batch, "Changes").into_iter().flat_map(xml::children);
    let deleted = changes.filter(|change| xml::text(change, "Action").as_deref() == Some("DELETE"));
    let set = deleted.filter_map(|change| change.get_child("ResourceRecordSet"));
    set.filter_map(|set| Some((xml::text(set, "Name")?.replace("\\052", "*"), xml::text(set, "Type")?))).collect()
}

/// Whether the first record set of a list has this name and type.
fn begins_with(list: &Element, name: &str, kind: &str) -> bool {
    let normal = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let Some(first) = xml::find(list, "ResourceRecordSet") else { return false };
    xml::text(first, "Name").map(|name| normal(&name)) == Some(normal(name))
        && xml::text(first, "Type").as_deref() == Some(kind)
}

/// Completes the record sets that are listed.
///
/// # Errors
/// When the emulator does not answer.
pub async fn list(request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
    request.completed(complete).await.map(Some)
}

/// Changes record sets.
///
/// # Errors
/// When the emulator does not answer.
pub async fn change(request: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
    // Nothing is read of a request that the emulator refuses: anybody inside of the network can send one.
    if !request.trusted {
        return list(request).await;
    }
    let Ok(mut batch) = xml::parse(request.body) else { return list(request).await };
    if let Some(refusal) = refusal(request, &batch).await? {
        return Ok(Some(request.refuse(&refusal)));
    }
    plain(&mut batch);
    let (head, body) = request.forward(xml::write(&batch)).await?;
    Ok(Some(whole(head, xml::change(body, complete))))
}

/// What Route 53 says to a batch that deletes what is not there; it then makes none of its changes (ChangeResourceRecordSets,
/// InvalidChangeBatch, Amazon Route 53 API Reference).
async fn refusal(request: &OperationRequest<'_>, batch: &Element) -> Outcome<Option<Refusal>> {
    for (name, kind) in deleted(batch) {
        let written = utf8_percent_encode(&name, NON_ALPHANUMERIC);
        let question = format!("{}?name={written}&type={kind}&maxitems=1", request.parts.uri.path());
        let (head, list) = request.ask(&question).await?;
        let there = xml::parse(&list).is_ok_and(|list| begins_with(&list, &name, &kind));
        if head.status.is_success() && !there {
            let message =
                format!("[Tried to delete resource record set [name='{name}', type='{kind}'] but it was not found]");
            return Ok(Some(Refusal::new("InvalidChangeBatch", message)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Element {
        xml::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_deleted_is_looked_for_by_name_and_type() {
        let change = |action: &str, name: &str| {
            format!(
                "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type></ResourceRecordSet></Change>"
            )
        };
        let batch = change("UPSERT", "a.b") + &change("DELETE", "\\052.b") + &change("DELETE", "c.b.");
        let batch = root(&format!("<R><ChangeBatch><Changes>{batch}</Changes></ChangeBatch></R>"));
        let expected = [("*.b", "A"), ("c.b.", "A")].map(|(name, kind)| (name.to_owned(), kind.to_owned()));
        assert_eq!(deleted(&batch), expected);
        let list = root("<R><ResourceRecordSet><Name>C.b.</Name><Type>A</Type></ResourceRecordSet></R>");
        assert!(begins_with(&list, "c.b", "A"));
        assert!(!begins_with(&list, "c.b", "CNAME") && !begins_with(&list, "b", "A"));
        assert!(!begins_with(&root("<R/>"), "c.b", "A"));
    }

    #[test]
    fn a_star_is_written_as_its_code() {
        let text = "<R><Name>*.a.</Name><Value>*.b</Value><Name>c.</Name></R>";
        let mut list = root(text);
        complete(&mut list);
        assert_eq!(xml::write(&list), "<R><Name>\\052.a.</Name><Value>*.b</Value><Name>c.</Name></R>");
        plain(&mut list);
        assert_eq!(xml::write(&list), text);
    }
}
