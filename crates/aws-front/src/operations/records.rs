//! Record sets of Route 53, which writes a star in a name as its code, and refuses to delete what is not there, other than the
//! emulator.

use http::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::request::{OperationRequest, Outcome, refused};
use crate::server::Body;
use crate::xml;

const STAR: &str = "<Name>*.";
const CODE: &str = "<Name>\\052.";

/// A change in the words that the emulator knows.
pub fn plain(request: &str) -> String {
    request.replace(CODE, STAR)
}

/// A list in the words of Route 53.
pub fn complete(answer: &str) -> String {
    answer.replace(STAR, CODE)
}

/// Names and types of the record sets that a request deletes.
fn deleted(request: &str) -> Vec<(String, &str)> {
    let doomed = request.split("<Change>").skip(1).filter(|change| xml::content(change, "Action") == Some("DELETE"));
    doomed
        .filter_map(|change| Some((xml::content(change, "Name")?.replace("\\052", "*"), xml::content(change, "Type")?)))
        .collect()
}

/// Whether the first record set of a list has this name and type.
fn begins_with(list: &str, name: &str, kind: &str) -> bool {
    let normal = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let first = xml::content(list, "ResourceRecordSet").unwrap_or_default();
    xml::content(first, "Name").map(normal) == Some(normal(name)) && xml::content(first, "Type") == Some(kind)
}

/// What Route 53 says to a batch that deletes what is not there; it then makes none of its changes (ChangeResourceRecordSets,
/// InvalidChangeBatch, Amazon Route 53 API Reference).
pub async fn refusal(asked: &OperationRequest<'_>, request: &str) -> Outcome<Option<Response<Body>>> {
    for (name, kind) in deleted(request) {
        let written = utf8_percent_encode(&name, NON_ALPHANUMERIC);
        let question = format!("{}?name={written}&type={kind}&maxitems=1", asked.parts.uri.path());
        let (head, list) = asked.ask(&question).await?;
        if head.status.is_success() && !begins_with(&String::from_utf8_lossy(&list), &name, kind) {
            let message =
                format!("[Tried to delete resource record set [name='{name}', type='{kind}'] but it was not found]");
            return Ok(Some(refused("InvalidChangeBatch", &message)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deleted_is_looked_for_by_name_and_type() {
        let change = |action: &str, name: &str| {
            format!(
                "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type></ResourceRecordSet></Change>"
            )
        };
        let request = change("UPSERT", "a.b") + &change("DELETE", "\\052.b") + &change("DELETE", "c.b.");
        assert_eq!(deleted(&request), [("*.b".to_owned(), "A"), ("c.b.".to_owned(), "A")]);
        let list = "<R><ResourceRecordSet><Name>C.b.</Name><Type>A</Type></ResourceRecordSet></R>";
        assert!(begins_with(list, "c.b", "A"));
        assert!(!begins_with(list, "c.b", "CNAME") && !begins_with(list, "b", "A") && !begins_with("<R/>", "c.b", "A"));
    }

    #[test]
    fn a_star_is_written_as_its_code() {
        let list = "<Name>*.a.</Name><Value>*.b</Value><Name>c.</Name>";
        assert_eq!(complete(list), "<Name>\\052.a.</Name><Value>*.b</Value><Name>c.</Name>");
        assert_eq!(plain(&complete(list)), list);
    }
}
