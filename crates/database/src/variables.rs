//! What an app is told of its database: secrets, under the names that programs look for and those of the old command line.

use std::collections::BTreeMap;

use futuswarm_secret::Secret;

use crate::{Endpoint, Login, Names};

/// All keys of an app's secrets that are about its database.
pub const DATABASE_KEYS: [&str; 7] = ["DATABASE_URL", "DB_HOST", "DB_NAME", "DB_PASS", "DB_PORT", "DB_URL", USER_KEY];
/// The key that names the login.
pub const USER_KEY: &str = "DB_USER";

/// The secrets of an app whose login has this password.
#[must_use]
pub fn variables(
    endpoint: &Endpoint,
    names: &Names,
    login: Login,
    password: &Secret,
) -> BTreeMap<&'static str, String> {
    let (role, database) = (names.login(login), names.database());
    let Endpoint { host, port } = endpoint;
    // Nothing of it needs escapes. The name of a host in DNS has none either.
    let url = format!("postgresql://{role}:{}@{host}:{port}/{database}?sslmode=require", password.expose());
    BTreeMap::from([
        ("DATABASE_URL", url.clone()),
        ("DB_HOST", host.clone()),
        ("DB_NAME", database.to_owned()),
        ("DB_PASS", password.expose().to_owned()),
        ("DB_PORT", port.to_string()),
        (USER_KEY, role),
        ("DB_URL", url),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_value_and_the_url_has_them_all() {
        let endpoint = Endpoint { host: "db.example.internal".to_owned(), port: 5433 };
        let values = variables(&endpoint, &Names::of("my-shop"), Login::B, &Secret::new("pass-word_1".to_owned()));
        assert_eq!(values.keys().copied().collect::<Vec<_>>(), DATABASE_KEYS);
        let url = "postgresql://my-shop_b:pass-word_1@db.example.internal:5433/my-shop?sslmode=require";
        assert_eq!(values["DATABASE_URL"], url);
        assert_eq!(values["DB_URL"], url);
        assert_eq!((values["DB_USER"].as_str(), values["DB_PASS"].as_str()), ("my-shop_b", "pass-word_1"));
        assert_eq!((values["DB_NAME"].as_str(), values["DB_PORT"].as_str()), ("my-shop", "5433"));
    }
}
