//! What is not accepted, and what is said of it.

use super::*;

/// What [`render`] says of a login that was changed.
fn reason(change: impl FnOnce(&mut Login)) -> String {
    let mut login = login();
    change(&mut login);
    render(&login).expect_err("this is not good").to_string()
}

fn app(host: &str, app: App) -> String {
    reason(|login| {
        login.apps.insert(host.to_owned(), app);
    })
}

#[test]
fn hosts_that_are_none_or_that_nobody_could_log_in_at() {
    for (host, said) in [
        ("", "is no host name"),
        ("A.apps.example.com", "has capital letters"),
        ("a.apps.example.com.", "ends with a dot"),
        ("-a.apps.example.com", "is no host name"),
        ("a_b.apps.example.com", "is no host name"),
        ("a b.apps.example.com", "is no host name"),
        ("a+1.apps.example.com", "is no host name"),
        ("a\n.apps.example.com", "is no host name"),
        ("ä.apps.example.com", "is no host name"),
        ("a..apps.example.com", "is no host name"),
        (".apps.example.com", "is no host name"),
        ("a:80", "is no host name"),
        ("a.b.apps.example.com", "not one label below apps.example.com"),
        ("a.example.com", "not one label below apps.example.com"),
        ("aapps.example.com", "not one label below apps.example.com"),
        ("apps.example.com", "not one label below apps.example.com"),
        ("example.com", "not one label below apps.example.com"),
    ] {
        let reason = app(host, App::default());
        assert!(reason.contains(said), "{host:?}: {reason}");
    }
    assert!(app(&format!("{}.apps.example.com", "a".repeat(64)), App::default()).contains("1 to 63"));
    assert!(app(&"a.".repeat(200), App::default()).contains("more than 253"));
    assert!(reason(|login| login.domain = "localhost".to_owned()).contains("one label"));
    assert!(reason(|login| login.domain = "Apps.example.com".to_owned()).contains("capital"));
}

#[test]
fn urls_of_the_provider_that_are_not_https_or_none() {
    for (url, said) in [
        ("http://idp.example.com", "has to begin with https://"),
        ("HTTPS://idp.example.com", "has to begin with https://"),
        ("idp.example.com", "has to begin with https://"),
        ("", "is empty"),
        ("https://", "no host name"),
        ("https://ada@idp.example.com", "no host name"),
        ("https://IDP.example.com", "no host name"),
        ("https://idp.example.com:x/", "port"),
        ("https://idp.example.com:70000/", "port"),
        ("https://idp.example.com:/", "port"),
        ("https://idp.example.com/a b", "stands for something else"),
        ("https://idp.example.com/\"", "stands for something else"),
        ("https://idp.example.com/${HOME}", "stands for something else"),
        ("https://idp.example.com/\\", "stands for something else"),
        ("https://idp.example.com/#", "stands for something else"),
        ("https://idp.example.com/ä", "stands for something else"),
        ("https://idp.example.com/\nUser root", "control character"),
        ("https://idp.example.com/\0", "control character"),
    ] {
        let all: [fn(&mut Provider, String); 6] = [
            |provider, url| provider.issuer = url,
            |provider, url| provider.authorization = url,
            |provider, url| provider.token = url,
            |provider, url| provider.jwks = url,
            |provider, url| provider.userinfo = Some(url),
            |provider, url| provider.end_session = Some(url),
        ];
        for set in all {
            let reason = reason(|login| set(&mut login.provider, url.to_owned()));
            assert!(reason.contains(said) && !reason.contains('\n'), "{url:?}: {reason}");
        }
    }
    let long = format!("https://idp.example.com/{}", "a".repeat(2000));
    assert!(reason(|login| login.provider.token = long).contains("has 2024 bytes, and may have 1024"));
    assert!(reason(|login| login.provider.issuer.push_str("/?x=1")).contains("has a query"));
}

#[test]
fn words_that_would_be_more_than_words() {
    for bad in ["", "a b", "a\nb", "a\"b", "a\\b", "a${b}", "a%b", "a<b", "ä", "a".repeat(300).as_str()] {
        let all: [fn(&mut Login, String); 9] = [
            |login, word| login.client_id = word,
            |login, word| login.scopes.push(word),
            |login, word| login.claims.user = word,
            |login, word| login.claims.groups = Some(word),
            |login, word| login.places.config_dir = word,
            |login, word| login.places.secrets_file = word,
            |login, word| login.places.run_dir = word,
            |login, word| login.places.upstream = word,
            |login, word| login.domain = word,
        ];
        for (index, set) in all.into_iter().enumerate() {
            let reason = reason(|login| set(login, bad.to_owned()));
            assert!(!reason.contains('\n') && reason.len() < 500, "{index} {bad:?}: {reason}");
        }
    }
    assert!(reason(|login| login.places.run_dir = "run".to_owned()).contains("absolute"));
    assert!(reason(|login| login.claims.user = "a.b".to_owned()).contains("a claim"));
    assert!(reason(|login| login.scopes.push("offline_access".to_owned())).contains("refresh token"));
    assert!(reason(|login| login.contact = "a\u{7}".to_owned()).contains("control character"));
    assert!(reason(|login| login.contact = "a".repeat(201)).contains("has 201 bytes"));
}

#[test]
fn sessions_and_balancers_that_promise_too_much() {
    let sessions =
        |inactivity: Duration, longest: Duration| reason(|login| login.sessions = Sessions { inactivity, longest });
    let seconds = Duration::from_secs;
    assert!(sessions(seconds(60), seconds(28_801)).contains("8 hours"));
    assert!(sessions(seconds(120), seconds(119)).contains("the first has to be the longer one"));
    // Zero means the life of the ID token to Apache.
    assert!(sessions(seconds(0), seconds(0)).contains("a minute is the least"));
    assert!(sessions(Duration::from_millis(60_500), seconds(120)).contains("whole seconds"));
    assert!(reason(|login| login.balancers.clear()).contains("there are none"));
    for wide in ["0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/7", "::/0", "2001:db8::/31"] {
        assert!(reason(|login| login.balancers.push(wide.parse().unwrap())).contains("half the world"), "{wide}");
    }
    let mut login = login();
    login.balancers.extend(["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse::<ipnet::IpNet>().unwrap()));
    assert!(render(&login).is_ok());
}

#[test]
fn entries_that_are_none() {
    for (entry, said) in [
        ("", "neither user:… nor group:…"),
        ("ada@example.com", "neither user:… nor group:…"),
        ("User:ada", "neither user:… nor group:…"),
        (" user:ada", "neither user:… nor group:…"),
        ("users:ada", "neither user:… nor group:…"),
        ("user:", "is empty"),
        ("group:", "is empty"),
        ("user:a b", "names of users do not have"),
        ("user:a<b", "names of users do not have"),
        ("user:\"", "names of users do not have"),
        ("user:ä", "names of users do not have"),
        ("user:-", "stands for nobody"),
        ("user:~a", "a regular expression"),
        ("group:~a", "a regular expression"),
        ("group:~.*", "a regular expression"),
        ("user:a\nb", "control character"),
        ("group:a\u{0}b", "control character"),
        ("group:a\u{85}b", "control character"),
        ("group: a", "begins or ends with a space"),
        ("group:a ", "begins or ends with a space"),
    ] {
        let reason = entry.parse::<Entry>().expect_err(entry).to_string();
        assert!(reason.contains(said) && !reason.contains('\n'), "{entry:?}: {reason}");
    }
    let long = format!("user:{}", "a".repeat(255)).parse::<Entry>().unwrap_err().to_string();
    assert!(long.contains("has 255 bytes, and may have 254"), "{long}");
    // What was made without being read is looked at as well.
    let made = App { access: Access::Only(BTreeSet::from([Entry::User("a\nb".to_owned())])), siblings: false };
    assert!(app("x.apps.example.com", made.clone()).contains("control character"));
    assert!(login().check_app("x.apps.example.com", &made).is_err());
    assert!(login().check_app("x.apps.example.com", &App::default()).is_ok());
}

#[test]
fn groups_where_the_provider_tells_none() {
    let mut login = bare();
    login.claims.groups = None;
    let listed = login.check_app("x.apps.example.com", &only(&["group:staff"])).unwrap_err().to_string();
    assert!(listed.contains("x.apps.example.com names \"group:staff\""), "{listed}");
    login.locked = entries(&["group:staff"]);
    assert!(render(&login).unwrap_err().to_string().contains("who is locked out"));
}

/// Apache would read the rest of a line that is too long as another, and a name that was cut as another name.
#[test]
fn lists_that_do_not_fit() {
    let many: Vec<String> = (0..200).map(|index| format!("user:somebody-{index}@example.com")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(app("x.apps.example.com", only(&many)).contains("the list of x.apps.example.com is longer than fits"));
    assert!(reason(|login| login.locked = entries(&many)).contains("who is locked out"));
    let wide = format!("group:{}", "\"".repeat(256));
    assert!(app("x.apps.example.com", only(&[&wide])).contains("longer than fits"));
    assert_eq!(bare().check_app("x.apps.example.com", &only(&many[..60])).map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn secrets_that_apache_would_read_as_something_else() {
    let good = secret(PASSPHRASE);
    for (client, said) in [
        ("", "1 to 512"),
        ("exec:/usr/bin/id", "a program to run"),
        ("a${PATH}", "would replace"),
        ("a b", "a space, a line break"),
        ("a\nOIDCCookie x", "a space, a line break"),
        ("ä", "a space, a line break"),
        ("a".repeat(513).as_str(), "1 to 512"),
    ] {
        let Err(error) = secrets(&secret(client), Passphrases::One(&good)) else { panic!("{client:?} is accepted") };
        let error = error.to_string();
        assert!(error.starts_with("the client secret ") && error.contains(said), "{error}");
        assert!(client.len() < 3 || !error.contains(client), "{error}");
    }
    let client = secret("x");
    for bad in [
        "",
        "short",
        "a".repeat(129).as_str(),
        format!("exec:{PASSPHRASE}").as_str(),
        format!("{PASSPHRASE}\"").as_str(),
        format!("{PASSPHRASE} ").as_str(),
    ] {
        let bad = secret(bad);
        for passphrases in [
            Passphrases::One(&bad),
            Passphrases::Twice(&bad),
            Passphrases::Two { encrypts: &good, opens: &bad },
            Passphrases::Two { encrypts: &bad, opens: &good },
        ] {
            assert!(secrets(&client, passphrases).is_err_and(|error| error.to_string().contains("32 to 128")));
        }
    }
    let same = secrets(&client, Passphrases::Two { encrypts: &good, opens: &good });
    assert!(same.is_err_and(|error| error.to_string().contains("is the same")));
}
