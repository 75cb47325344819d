//! Objects that S3 seals with a key of the account: whoever writes or reads one needs the key, too. S3 uses it in the caller's name.

use http::Method;
use http::request::Parts;

use super::lookup::Bucket;
use super::s3::{ARN, Need};
use futuswarm_iam::Context;

/// What a need asks of a key.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    /// The key's id, ARN or alias.
    pub key: String,
    /// For example `kms:Decrypt`.
    pub actions: &'static [&'static str],
    /// What S3 seals the object under.
    pub sealed_under: String,
}

/// How a need uses a key, if it does. An object is taken to be sealed as its bucket's default says now, unless the request says
/// how: with what an object was really written is not looked up.
pub fn used(need: &Need, parts: &Parts, bucket: &Bucket) -> Option<Use> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let default = bucket.sealing.as_ref();
    let of_bucket = default.is_some_and(|sealing| sealing.for_bucket);
    let default = default.map(|sealing| sealing.key.as_str());
    let (actions, key): (&'static [&'static str], _) = match need.action.as_str() {
        // What is in the head of an answer is not sealed.
        "s3:GetObject" | "s3:GetObjectVersion" if parts.method == Method::HEAD => return None,
        "s3:GetObject" | "s3:GetObjectVersion" => (&["kms:Decrypt"], default),
        "s3:PutObject" => {
            let parts_of_it = parts.uri.query().unwrap_or_default().to_ascii_lowercase();
            let actions: &'static [&'static str] = match parts_of_it.contains("upload") {
                true => &["kms:GenerateDataKey", "kms:Decrypt"],
                false => &["kms:GenerateDataKey"],
            };
            let key = match header("x-amz-server-side-encryption") {
                Some("AES256") => None,
                _ => header("x-amz-server-side-encryption-aws-kms-key-id").or(default),
            };
            (actions, key)
        }
        _ => return None,
    };
    let sealed_under = match (of_bucket, need.bucket()) {
        (true, Some(bucket)) => format!("{ARN}{bucket}"),
        _ => need.resource.clone(),
    };
    Some(Use { key: key?.to_owned(), actions, sealed_under })
}

impl Use {
    /// What conditions are told.
    pub fn context(&self, mut context: Context, region: &str) -> Context {
        context.set("kms:ViaService", format!("s3.{region}.amazonaws.com"));
        context.set("kms:EncryptionContext:aws:s3:arn", &self.sealed_under);
        context.add("kms:EncryptionContextKeys", "aws:s3:arn");
        context
    }
}

#[cfg(test)]
mod tests {
    use super::super::lookup::Sealing;
    use super::super::s3;
    use super::*;

    fn uses(method: &str, uri: &str, headers: &[(&str, &str)], for_bucket: Option<bool>) -> Vec<String> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        let sealing = for_bucket.map(|for_bucket| Sealing { key: "k".to_owned(), for_bucket });
        let bucket = Bucket { sealing, policy: None };
        let needs = s3::needs(&parts, b"").unwrap();
        let found = needs.iter().filter_map(|need| used(need, &parts, &bucket));
        let name = |found: Use| {
            format!(
                "{} {} {}",
                found.actions.join("+").replace("kms:", ""),
                found.key,
                found.sealed_under.replace(ARN, "")
            )
        };
        found.map(name).collect()
    }

    #[test]
    fn whoever_reads_or_writes_uses_the_key() {
        assert_eq!(uses("GET", "/b/x", &[], Some(true)), ["Decrypt k b"]);
        assert_eq!(uses("GET", "/b/x?versionId=1", &[], Some(false)), ["Decrypt k b/x"]);
        assert_eq!(uses("PUT", "/b/x", &[], Some(false)), ["GenerateDataKey k b/x"]);
        assert_eq!(uses("PUT", "/b/x?partNumber=1&uploadId=1", &[], Some(true)), ["GenerateDataKey+Decrypt k b"]);
        let copy = [("x-amz-copy-source", "c/y")];
        assert_eq!(uses("PUT", "/b/x", &copy, Some(false)), ["GenerateDataKey k b/x", "Decrypt k c/y"]);
        let other = ("x-amz-server-side-encryption-aws-kms-key-id", "other");
        assert_eq!(
            uses("PUT", "/b/x", &[("x-amz-server-side-encryption", "aws:kms"), other], None),
            ["GenerateDataKey other b/x"]
        );
        for (method, uri, headers) in [
            ("HEAD", "/b/x", &[][..]),
            ("DELETE", "/b/x", &[]),
            ("GET", "/b", &[]),
            ("GET", "/b/x?tagging", &[]),
            ("PUT", "/b/x", &[("x-amz-server-side-encryption", "AES256")]),
        ] {
            assert_eq!(uses(method, uri, headers, Some(true)), Vec::<String>::new(), "{method} {uri}");
        }
        assert_eq!(uses("GET", "/b/x", &[], None), Vec::<String>::new());
    }
}
