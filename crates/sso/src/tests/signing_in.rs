//! Somebody signs in: what the app sees, who is let in, what another edge makes of the session, and what ends it.

use super::apache::Apache;
use super::browser::Browser;
use super::*;

const A: &str = "https://a.apps.example.com/hello?x=1";

#[test]
fn an_app_sees_who_has_signed_in_and_nothing_of_the_session() {
    let apache = Apache::start(&login());
    apache.provider.signs_in("ada@example.com", &["staff", "blog-editors"]);
    let mut browser = Browser::default();
    let answer = browser.open(&apache, A);
    assert_eq!(answer.status, "200", "{answer:?} {}", apache.log());
    assert!(answer.body.starts_with("GET /hello?x=1 HTTP/1.1"), "{answer:?}");
    assert_eq!(answer.got("x-edge-user"), ["ada@example.com"]);
    assert_eq!(answer.got("x-edge-groups"), ["staff|blog-editors"]);
    assert_eq!(answer.got("x-forwarded-for"), ["203.0.113.7"]);
    assert!(answer.got("x-forwarded-port").is_empty(), "{answer:?}");
    assert!(!answer.body.contains("sso"), "{answer:?}");
    // At the provider there is one redirect URI, and PKCE.
    let asked = browser.went.iter().find(|url| url.starts_with("https://idp.example.com/auth?")).unwrap();
    for part in
        ["redirect_uri=https%3A%2F%2Fapps.example.com%2F.sso%2Fcallback", ".a&", "code_challenge_method=S256", "nonce="]
    {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let (codes, others): (Vec<&String>, Vec<&String>) =
        browser.told.iter().partition(|cookie| cookie.starts_with("__Secure-sso-code-"));
    let [code] = codes.as_slice() else { panic!("{codes:?}") };
    for part in ["; HttpOnly", "; secure", "; path=/.sso/;", "; domain=apps.example.com;", "; SameSite=lax"] {
        assert!(code.contains(part), "{part}: {code}");
    }
    for cookie in others {
        assert!(cookie.starts_with("__Host-sso") && cookie.contains("Path=/;"), "{cookie}");
        assert!(cookie.contains("Secure") && cookie.contains("HttpOnly") && !cookie.contains("Domain"), "{cookie}");
    }
    let sessions = browser.told.iter().filter(|cookie| cookie.starts_with("__Host-sso=") && !cookie.contains("1970"));
    assert!(sessions.clone().count() > 0 && sessions.clone().all(|cookie| cookie.contains("SameSite=Lax")));
    // Cookies of the app's own stay.
    let session = browser.cookie("a.apps.example.com");
    let more = session.replace("Cookie: ", "Cookie: x=1; ").replace("\r\n", "; y=2\r\n");
    let answer = apache.ask("GET", "a.apps.example.com", "/", &more);
    assert_eq!(answer.got("cookie"), ["x=1; y=2"]);
    // Nothing of the code is written down; what is, arrives a little later, from Apache and from its module.
    let last = "/.sso/callback?state=is-logged&code=x";
    assert_eq!(apache.ask("GET", "a.apps.example.com", last, "Accept: text/html\r\n").status, "400");
    apache.logged("\"GET /.sso/callback\" 400");
    apache.logged("__Host-sso-state-is-logged");
    let value = code.split_once('=').unwrap().1.split(';').next().unwrap();
    let log = apache.log();
    assert!(value.len() > 20 && !log.contains(value) && !log.contains("code="), "{value}: {log}");
}

#[test]
fn a_session_is_good_at_one_host_and_at_every_edge() {
    let (one, other) = (Apache::start(&login()), Apache::start(&login()));
    let mut browser = Browser::default();
    assert_eq!(browser.open(&one, A).status, "200");
    assert_eq!(browser.open(&other, A).got("x-edge-user"), ["bob@example.com"]);
    let session = browser.cookie("a.apps.example.com");
    for (host, status) in [("b.apps.example.com", "401"), ("d.apps.example.com", "401"), ("apps.example.com", "404")] {
        let answer = one.ask("GET", host, "/", &format!("{session}Accept: text/html\r\n"));
        assert_eq!(answer.status, status, "{host}: {answer:?}");
    }
    // An altered one is none.
    let altered = session.replace("__Host-sso=e", "__Host-sso=f");
    assert_ne!(altered, session);
    let answer = one.ask("GET", "a.apps.example.com", "/", &format!("{altered}Accept: text/html\r\n"));
    assert_eq!(answer.status, "302");
    assert_eq!(one.seen().len() + other.seen().len(), 2);
}

#[test]
fn a_list_counts_from_the_next_request_on() {
    let mut login = login();
    let apache = Apache::start(&login);
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, A).status, "200");
    let mut status = |login: &Login| {
        apache.change(login);
        browser.open(&apache, A)
    };
    let mut set = |entries: &[&str], expected: &str| {
        login.apps.insert("a.apps.example.com".to_owned(), only(entries));
        let answer = status(&login);
        assert_eq!(answer.status, expected, "{entries:?} {answer:?}");
        answer
    };
    let denied = set(&["user:ada@example.com"], "403");
    assert!(denied.body.contains("signed in as <b>bob@example.com</b>"), "{denied:?}");
    assert!(denied.body.contains("or IT (it@example.com)."), "{denied:?}");
    set(&["group:staff"], "200");
    set(&["group:Staff"], "403");
    set(&["group:staff2"], "403");
    set(&["group:staf"], "403");
    set(&[], "403");
    // Bob stands at the end of the last line.
    let many: Vec<String> = (0..90).map(|index| format!("user:b-{index:02}-somebody@example.com")).collect();
    let mut many: Vec<&str> = many.iter().map(String::as_str).collect();
    set(&many, "403");
    many.push("user:bob@example.com");
    set(&many, "200");
    // What is cut would be his name.
    set(&["user:bob@example.community", "user:bob@example.co"], "403");
}

/// Names as directories have them, each alone and with a letter more.
#[test]
fn a_group_may_have_any_name() {
    let names = [
        "Größe & Co",
        "a\"b",
        "c\\d",
        "x%20y",
        "{z}",
        "$1 %1 ${HOME} %{HTTP_HOST}",
        "CN=a,OU=b",
        "back\\\\\"q",
        "#h",
        "tail\\",
        "o'b",
        "'q'",
        "a:b",
        "a|b",
        "😀",
        "none",
        "public",
        "anybody",
    ];
    let mut login = login();
    let apache = Apache::start(&login);
    apache.provider.signs_in("ada@example.com", &names);
    login.apps.insert("a.apps.example.com".to_owned(), App::default());
    apache.change(&login);
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, A).status, "200");
    for name in names {
        for (listed, status) in [(name.to_owned(), "200"), (format!("{name}x"), "403")] {
            let entries = BTreeSet::from([Entry::Group(listed)]);
            let app = App { access: Access::Only(entries), siblings: false };
            login.apps.insert("a.apps.example.com".to_owned(), app);
            apache.change(&login);
            assert_eq!(browser.open(&apache, A).status, status, "{name}");
        }
    }
}

#[test]
fn who_is_locked_out_is_so_at_once_and_in_any_spelling() {
    let mut login = login();
    let apache = Apache::start(&login);
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, A).status, "200");
    let mut status = |locked: &[&str]| {
        login.locked = entries(locked);
        apache.change(&login);
        browser.open(&apache, A).status
    };
    assert_eq!(status(&["user:BOB@Example.com"]), "403");
    assert_eq!(status(&["user:ob@example.com", "user:bob@example.co", "user:bob@exampleXcom"]), "200");
    assert_eq!(status(&["user:ada@example.com", "user:bob@example.com"]), "403");
    assert_eq!(status(&["group:staff"]), "403");
    assert_eq!(status(&[]), "200");
    // Open apps know nobody.
    login.locked = entries(&["user:bob@example.com"]);
    apache.change(&login);
    assert_eq!(browser.open(&apache, "https://c.apps.example.com/").status, "200");
    assert_eq!(browser.open(&apache, "https://d.apps.example.com/").status, "403");
}

#[test]
fn without_the_lists_nobody_gets_in() {
    let mut login = login();
    let apache = Apache::start(&login);
    let mut bob = Browser::default();
    assert_eq!(bob.open(&apache, A).status, "200");
    login.locked = entries(&["user:bob@example.com"]);
    let open = "https://c.apps.example.com/";
    for text in [Some(""), Some("everywhere\n"), Some("# everywhere nobody:\n"), None] {
        apache.change(&login);
        assert_eq!(bob.open(&apache, A).status, "403");
        apache.spoil(LOCKED_FILE, text);
        for url in [A, "https://d.apps.example.com/"] {
            let answer = bob.open(&apache, url);
            assert!(answer.status == "403" && answer.body.contains("Not reachable"), "{text:?}: {answer:?}");
        }
        assert_eq!(bob.open(&apache, open).status, "200", "{text:?}");
        assert_eq!(bob.open(&apache, "https://nosuch.apps.example.com/").status, "404", "{text:?}");
    }
    login.locked.clear();
    for text in [Some(""), None] {
        apache.change(&login);
        assert_eq!(bob.open(&apache, A).status, "200");
        apache.spoil(ALLOW_FILE, text);
        for url in [A, "https://d.apps.example.com/", open] {
            assert_eq!(bob.open(&apache, url).status, "404", "{text:?} {url}");
        }
    }
    apache.change(&login);
    assert_eq!(bob.open(&apache, A).status, "200");
}

#[test]
fn logging_out_ends_the_session_here_and_at_the_provider() {
    let apache = Apache::start(&login());
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, A).status, "200");
    // Not at another site's wish.
    for path in [".sso/logout", ".sso/callback?logout=https%3A%2F%2Fapps.example.com%2F.sso%2Fsigned-out"] {
        let url = format!("https://a.apps.example.com/{path}");
        assert_eq!(browser.ask(&apache, "GET", &url, "Sec-Fetch-Site: cross-site\r\n").status, "403", "{path}");
    }
    // By the module's own words at nobody's wish, nor are there its others.
    for query in ["session=logout", "state=x&session=logout", "refresh=https%3A%2F%2Fa.apps.example.com", "info=json"] {
        let url = format!("https://a.apps.example.com/.sso/callback?{query}");
        for site in ["cross-site", "same-origin"] {
            let answer = browser.ask(&apache, "GET", &url, &format!("Sec-Fetch-Site: {site}\r\n"));
            assert_eq!((answer.status.as_str(), answer.header("set-cookie").len()), ("404", 0), "{query}: {answer:?}");
        }
    }
    assert_eq!(browser.open(&apache, A).status, "200");
    let answer = browser.open(&apache, "https://a.apps.example.com/.sso/logout");
    let end = "https://idp.example.com/session/end?";
    assert!(answer.location().starts_with(end), "{answer:?}");
    assert!(
        answer.location().contains("post_logout_redirect_uri=https%3A%2F%2Fapps.example.com%2F.sso%2Fsigned-out"),
        "{answer:?}"
    );
    assert!(answer.location().contains("client_id=edge"), "{answer:?}");
    assert_eq!(browser.cookie("a.apps.example.com"), "");
    let page = browser.open(&apache, "https://apps.example.com/.sso/signed-out");
    assert!(page.status == "200" && page.body.contains("Signed out"), "{page:?}");
    assert_eq!(page.header("content-type"), ["text/html; charset=iso-8859-1"]);
}

#[test]
fn a_provider_that_is_away_disturbs_nobody_who_is_signed_in() {
    let apache = Apache::start(&login());
    let mut browser = Browser::default();
    assert_eq!(browser.open(&apache, A).status, "200");
    apache.provider.away(true);
    assert_eq!(browser.open(&apache, A).status, "200");
    let mut other = Browser::default();
    let answer = other.open(&apache, A);
    assert_eq!(answer.status, "400", "{answer:?}");
    assert!(answer.body.contains("idp.example.com does not answer"), "{answer:?}");
    apache.provider.away(false);
    assert_eq!(other.open(&apache, A).status, "200");
}

#[test]
fn an_app_needs_no_login_where_it_says_so_and_a_script_gets_no_redirect() {
    let apache = Apache::start(&login());
    let answer = apache.ask("GET", "c.apps.example.com", "/", "");
    assert_eq!((answer.status.as_str(), answer.got("x-edge-user")), ("200", vec!["-"]));
    let script = apache.ask("GET", "a.apps.example.com", "/", "Accept: application/json\r\n");
    assert_eq!((script.status.as_str(), script.header("set-cookie").len()), ("401", 0));
    // Nobody at all is admitted, and is told so by name.
    let answer = Browser::default().open(&apache, "https://e.apps.example.com/");
    assert!(answer.status == "403" && answer.body.contains("<b>bob@example.com</b>"), "{answer:?}");
}

/// What edges with different passphrases open of each other's: a row has encrypted, a column opens. The table is in docs/sso.md.
#[test]
fn a_session_goes_on_between_neighbouring_steps_but_for_one_of_an_edge_that_switched_before_the_others() {
    let (old, new, client) = (secret(PASSPHRASE), secret(NEXT), secret(CLIENT_SECRET));
    let [switched, twice, done] =
        [Step::Switched, Step::Twice, Step::Done].map(|step| Passphrases::of(step, &old, &new));
    let edges = [
        Passphrases::One(&old),
        switched,
        twice,
        done,
        // Two that are no steps.
        Passphrases::Twice(&old),
        Passphrases::Two { encrypts: &old, opens: &new },
    ]
    .map(|passphrases| Apache::with(&login(), secrets(&client, passphrases).unwrap().expose()));
    let opened = edges.each_ref().map(|from| {
        let mut browser = Browser::default();
        assert_eq!(browser.open(from, A).status, "200");
        let headers = format!("{}Accept: text/html\r\n", browser.cookie("a.apps.example.com"));
        edges.each_ref().map(|to| to.ask("GET", "a.apps.example.com", "/", &headers).status)
    });
    let (yes, no) = ("200", "302");
    assert_eq!(
        opened,
        [
            // By the old one, `switched`, `twice`, `done`; by the old one twice, and by it with the new one behind it.
            [yes, yes, no, no, yes, no],
            // Here is what is lost: switched, and then an edge of before.
            [no, yes, yes, yes, no, no],
            [no, yes, yes, yes, no, no],
            // Why `done` does not come next to `switched`: one more would be lost.
            [no, no, yes, yes, no, yes],
            // What is marked is opened with the first alone, so that neither of these two helps to get from the old one to the new.
            [yes, no, no, no, yes, yes],
            [yes, no, no, no, yes, yes],
        ]
    );
}

/// An edge that has switched, and one that has not yet.
#[test]
fn who_comes_from_an_edge_that_has_switched_to_one_that_has_not_signs_in_once_more() {
    let (old, new, client) = (secret(PASSPHRASE), secret(NEXT), secret(CLIENT_SECRET));
    let edge = |passphrases: Passphrases<'_>| Apache::with(&login(), secrets(&client, passphrases).unwrap().expose());
    let (behind, ahead) = (edge(Passphrases::One(&old)), edge(Passphrases::of(Step::Switched, &old, &new)));
    let mut browser = Browser::default();
    assert_eq!(browser.open(&ahead, A).status, "200");
    // A script is sent nowhere.
    assert_eq!(browser.ask(&behind, "GET", A, "Accept: application/json\r\n").status, "401");
    // The provider asks nothing of who is signed in there, and from then on both edges know the session.
    assert_eq!(browser.open(&behind, A).status, "200");
    for edge in [&ahead, &behind] {
        assert_eq!(browser.ask(edge, "GET", A, "Accept: text/html\r\n").status, "200");
    }
    // A sign-in that is on its way is as a session.
    for (from, to, status) in [(&behind, &ahead, "200"), (&ahead, &behind, "400")] {
        let mut browser = Browser::default();
        let begun = browser.ask(from, "GET", A, "Accept: text/html\r\n");
        let answer = browser.open(to, begun.location());
        assert_eq!(answer.status, status, "{answer:?}");
    }
}
