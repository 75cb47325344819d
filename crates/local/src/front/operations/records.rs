//! Record sets of Route 53, which writes a star in a name as its code, other than the emulator.

use http::Method;
use http::request::Parts;

const STAR: &str = "<Name>*.";
const CODE: &str = "<Name>\\052.";

/// The operation, if it is one of these.
pub fn action(parts: &Parts) -> Option<&'static str> {
    let about_records =
        parts.uri.path().contains("/hostedzone/") && parts.uri.path().trim_end_matches('/').ends_with("/rrset");
    match parts.method {
        Method::GET if about_records => Some("ListResourceRecordSets"),
        Method::POST if about_records => Some("ChangeResourceRecordSets"),
        _ => None,
    }
}

/// A change in the words that the emulator knows.
pub fn plain(request: &str) -> String {
    request.replace(CODE, STAR)
}

/// A list in the words of Route 53.
pub fn complete(answer: &str) -> String {
    answer.replace(STAR, CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_written_as_its_code() {
        let of = |method: &str, uri: &str| {
            action(&http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0)
        };
        assert_eq!(of("GET", "/2013-04-01/hostedzone/Z1/rrset?maxitems=5"), Some("ListResourceRecordSets"));
        assert_eq!(of("POST", "/2013-04-01/hostedzone/Z1/rrset/"), Some("ChangeResourceRecordSets"));
        assert_eq!(of("GET", "/2013-04-01/hostedzone/Z1"), None);
        let list = "<Name>*.a.</Name><Value>*.b</Value><Name>c.</Name>";
        assert_eq!(complete(list), "<Name>\\052.a.</Name><Value>*.b</Value><Name>c.</Name>");
        assert_eq!(plain(&complete(list)), list);
    }
}
