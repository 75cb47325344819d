//! The names by which AWS's API is asked, and the bucket that is in such a name: S3's virtual-host addressing.

use http::Uri;
use http::header::HOST;
use http::request::Parts;

/// What nodes ask, by the first label of its name.
const SERVICES: [&str; 5] = ["ec2", "kms", "rds", "secretsmanager", "s3"];
/// What nodes ask that is one for all regions.
const GLOBAL: &str = "route53";
/// What all names of the API end with, in the regions that the local cloud pretends to be.
const DOMAIN: &str = "amazonaws.com";

/// The names of what nodes ask; buckets have theirs below that of S3.
pub fn names(region: &str) -> Vec<String> {
    let regional = SERVICES.map(|service| format!("{service}.{region}.{DOMAIN}"));
    regional.into_iter().chain([format!("{GLOBAL}.{DOMAIN}")]).collect()
}

/// The names that a certificate for nodes must have, and all that it may have.
pub fn certified(region: &str) -> Vec<String> {
    let mut names = names(region);
    // One label, as on AWS: clients address a bucket with a dot in its name by the path.
    names.push(format!("*.s3.{region}.{DOMAIN}"));
    names
}

/// The target as the client has signed it, among the extensions of a request that [`by_path`] has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed(pub Uri);

/// Puts the bucket that a call to S3 has in its host name into the path, where everybody looks for it who decides on the call.
///
/// # Errors
/// With the reason when the request can be read in more than one way.
pub fn by_path(parts: &mut Parts) -> Result<(), String> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err("the request has two Host headers".to_owned());
    }
    let Some(bucket) = host.and_then(|host| host.to_str().ok()).and_then(bucket) else { return Ok(()) };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    if !target.starts_with('/') {
        return Err(format!("{target:?} is no path of an object"));
    }
    let uri = format!("/{bucket}{target}").parse::<Uri>().map_err(|error| format!("{target:?}: {error}"))?;
    let signed = std::mem::replace(&mut parts.uri, uri);
    parts.extensions.insert(Signed(signed));
    Ok(())
}

/// The bucket in `BUCKET.s3.REGION.amazonaws.com`, with or without a port.
fn bucket(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => &host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let (rest, region) = name.strip_suffix(DOMAIN)?.strip_suffix('.')?.rsplit_once('.')?;
    let bucket = rest.strip_suffix(".s3")?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    (!region.is_empty() && !bucket.is_empty() && bucket.bytes().all(plain)).then(|| bucket.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, target: &str) -> Parts {
        let request = http::Request::builder().uri(target).header("host", host);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_bucket_is_found_in_the_names_that_clients_make_of_it() {
        for (host, expected) in [
            ("shop.s3.eu-west-1.amazonaws.com", Some("shop")),
            ("Shop.S3.eu-west-1.AmazonAWS.com", Some("shop")),
            ("shop.s3.eu-west-1.amazonaws.com:443", Some("shop")),
            ("shop.s3.eu-west-1.amazonaws.com:4566", Some("shop")),
            ("shop.s3.eu-west-1.amazonaws.com.", Some("shop")),
            // S3 once allowed dots and underscores, and nobody forbids a bucket to be called like its service.
            ("a.b_c.s3.eu-west-1.amazonaws.com", Some("a.b_c")),
            ("s3.s3.eu-west-1.amazonaws.com", Some("s3")),
            ("s3.eu-west-1.amazonaws.com", None),
            (".s3.eu-west-1.amazonaws.com", None),
            ("shop.s3.amazonaws.com", None),
            ("shop.s3..amazonaws.com", None),
            ("shop.s3.eu-west-1.amazonaws.com.example.com", None),
            ("shop.s3.eu-west-1.xamazonaws.com", None),
            ("shop.xs3.eu-west-1.amazonaws.com", None),
            ("sh/op.s3.eu-west-1.amazonaws.com", None),
            ("sh%6fp.s3.eu-west-1.amazonaws.com", None),
            ("shop.s3.eu-west-1.amazonaws.com:x", None),
            ("ec2.eu-west-1.amazonaws.com", None),
            ("169.254.169.250:4566", None),
            ("[::1]:4566", None),
            ("", None),
        ] {
            assert_eq!(bucket(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn the_key_stays_as_it_was_written() {
        for (target, expected) in [
            ("/", "/shop/"),
            ("/?list-type=2&prefix=a%2Fb", "/shop/?list-type=2&prefix=a%2Fb"),
            ("/a%20b", "/shop/a%20b"),
            ("/a+b", "/shop/a+b"),
            ("/a%2Bb", "/shop/a%2Bb"),
            ("/%C3%BC/%E2%98%83", "/shop/%C3%BC/%E2%98%83"),
            ("//a//b/", "/shop//a//b/"),
            ("/shop/a", "/shop/shop/a"),
            ("/../a/./b", "/shop/../a/./b"),
            ("/a?X-Amz-Signature=1", "/shop/a?X-Amz-Signature=1"),
            ("http://other.example.com/a", "/shop/a"),
        ] {
            let mut parts = parts("shop.s3.eu-west-1.amazonaws.com", target);
            let signed = parts.uri.clone();
            by_path(&mut parts).unwrap();
            assert_eq!(parts.uri.to_string(), expected);
            assert_eq!(parts.extensions.get::<Signed>(), Some(&Signed(signed)), "{target}");
        }
    }

    #[test]
    fn a_bucket_in_the_path_stays_there() {
        for host in ["s3.eu-west-1.amazonaws.com", "127.0.0.1:4566", "localhost"] {
            let mut parts = parts(host, "/shop/a%20b?x-id=GetObject");
            by_path(&mut parts).unwrap();
            assert_eq!(parts.uri.to_string(), "/shop/a%20b?x-id=GetObject");
            assert_eq!(parts.extensions.get::<Signed>(), None);
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let mut twice = parts("one.s3.eu-west-1.amazonaws.com", "/k");
        twice.headers.append("host", http::HeaderValue::from_static("two.s3.eu-west-1.amazonaws.com"));
        assert!(by_path(&mut twice).is_err());
        let mut all = parts("one.s3.eu-west-1.amazonaws.com", "*");
        assert!(by_path(&mut all).is_err());
    }

    #[test]
    fn a_certificate_is_for_what_nodes_ask_and_for_nothing_else() {
        assert_eq!(
            certified("eu-west-1"),
            [
                "ec2.eu-west-1.amazonaws.com",
                "kms.eu-west-1.amazonaws.com",
                "rds.eu-west-1.amazonaws.com",
                "secretsmanager.eu-west-1.amazonaws.com",
                "s3.eu-west-1.amazonaws.com",
                "route53.amazonaws.com",
                "*.s3.eu-west-1.amazonaws.com"
            ]
        );
    }
}
