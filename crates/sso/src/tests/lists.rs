//! The maps, read again as Apache's source reads them.

use super::apache::Apache;
use super::browser::Browser;
use super::*;
use crate::maps::{EVERYWHERE, LINES, NONE, SIBLINGS};

/// What Apache keeps of a line; the rest is another line to it.
const CUT: usize = 1024;

/// The value of a key in a text map: the first line with it, up to a space.
fn looked_up<'a>(map: &'a str, key: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix(' ')?.split_whitespace().next();
    map.lines().filter(|line| !line.starts_with(['#', ' '])).find_map(value)
}

/// What the configuration makes of a key: its lines one behind the other, percent-decoded.
fn expanded(map: &str, key: &str) -> String {
    let mut encoded = looked_up(map, key).unwrap_or(NONE).to_owned();
    for line in 1..LINES {
        encoded.push_str(looked_up(map, &format!("{key}+{line}")).unwrap_or_default());
    }
    let (mut decoded, mut rest) = (Vec::new(), encoded.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            decoded.push(u8::from_str_radix(std::str::from_utf8(&rest[..2]).unwrap(), 16).unwrap());
            rest = &rest[2..];
        } else {
            decoded.push(*first);
        }
    }
    String::from_utf8(decoded).unwrap()
}

/// As words of a directive: between spaces, or between quotes with backslashes before quotes and backslashes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), text.chars().peekable());
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(first) = rest.peek().copied() else { return words };
        let mut word = String::new();
        if first == '"' {
            rest.next();
            loop {
                match rest.next().expect("a quote that ends") {
                    '"' => break,
                    '\\' => word.push(rest.next().unwrap()),
                    c => word.push(c),
                }
            }
        } else {
            while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
                assert!(c != '\\' && c != '"', "{text}");
                word.push(c);
            }
        }
        words.push(word);
    }
}

/// The word behind `Require claim`, as it was listed.
fn entry(word: &str) -> Entry {
    if let Some(expression) = word.strip_prefix("email~(?i)^") {
        let mut name = String::new();
        let mut rest = expression.strip_suffix('$').unwrap().chars();
        while let Some(c) = rest.next() {
            name.push(if c == '\\' { rest.next().unwrap() } else { c });
        }
        return Entry::User(name);
    }
    match word.split_once(':').unwrap() {
        ("email", name) => Entry::User(name.to_owned()),
        ("groups", name) => Entry::Group(name.to_owned()),
        _ => panic!("{word}"),
    }
}

fn app(map: &str, host: &str) -> App {
    let access = match expanded(map, host).as_str() {
        "public" => Access::Open,
        "anybody" => Access::Everybody,
        "nobody:" => Access::Only(BTreeSet::new()),
        text => Access::Only(words(text).iter().map(|word| entry(word)).collect()),
    };
    App { access, siblings: looked_up(map, &format!("{host}{SIBLINGS}")) == Some("yes") }
}

fn any_name(random: &mut fastrand::Rng, letters: &[char]) -> String {
    (0..random.usize(1..40)).map(|_| letters[random.usize(..letters.len())]).collect()
}

fn any_entry(random: &mut fastrand::Rng) -> Entry {
    let users: Vec<char> = "abzABZ019!#$%&'()*+,-./:;=?@[\\]^_`{|}~".chars().collect();
    let groups: Vec<char> = "abzABZ019 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ äß€😀\u{a0}".chars().collect();
    match random.u8(..3) {
        0 => Entry::User(format!("u{}@example.com", random.u8(..))),
        // One that begins with ~ is refused.
        1 => Entry::User(format!("u{}", any_name(random, &users))),
        _ => Entry::Group(format!("g{}g", any_name(random, &groups))),
    }
}

fn any_entries(random: &mut fastrand::Rng) -> BTreeSet<Entry> {
    (0..random.usize(..120)).map(|_| any_entry(random)).collect()
}

#[test]
fn any_lists_come_back_as_they_were() {
    let (mut kept, mut refused, mut long) = (0, 0, 0);
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut login = bare();
        for index in 0..random.usize(1..6) {
            let access = match random.u8(..6) {
                0 => Access::Open,
                1 => Access::Everybody,
                _ => Access::Only(any_entries(&mut random)),
            };
            let app = App { access, siblings: random.bool() };
            let host = format!("h{index}.apps.example.com");
            match login.check_app(&host, &app) {
                Ok(()) => drop(login.apps.insert(host, app)),
                Err(Error::TooMany { .. }) => refused += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        login.locked = any_entries(&mut random).into_iter().take(4).collect();
        let Files { allow, locked, .. } = render(&login).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for (host, expected) in &login.apps {
            assert_eq!(app(&allow, host), *expected, "seed {seed}: {allow}");
            kept += 1;
        }
        let everywhere = match expanded(&locked, EVERYWHERE).as_str() {
            "nobody:" => BTreeSet::new(),
            text => words(text).iter().map(|word| entry(word)).collect(),
        };
        assert_eq!(everywhere, login.locked, "seed {seed}: {locked}");
        for line in allow.lines().chain(locked.lines()) {
            assert!(line.len() < CUT && line.is_ascii() && line.split(' ').count() == 2, "seed {seed}: {line}");
            long += usize::from(line.contains("+1 "));
        }
    }
    assert!(kept > 700 && refused > 100 && long > 200, "{kept} lists, {refused} refused, {long} of several lines");
}

/// What Apache itself makes of the words, of which the test above has its own idea.
#[test]
fn apache_admits_who_is_on_a_list_of_any_names_and_nobody_else() {
    let host = "a.apps.example.com";
    let mut login = login();
    let apache = Apache::start(&login);
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let listed = any_entry(&mut random);
        match &listed {
            Entry::User(name) => apache.provider.signs_in(name, &["staff"]),
            Entry::Group(name) => apache.provider.signs_in("ada@example.com", &[name]),
        }
        // No more than there are lines, so that they fit in any case.
        let mut list: BTreeSet<Entry> = (1..LINES).map(|_| any_entry(&mut random)).collect();
        let mut browser = Browser::default();
        for (is_listed, status) in [(true, "200"), (false, "403")] {
            if is_listed {
                list.insert(listed.clone());
            } else {
                list.remove(&listed);
            }
            login.apps.insert(host.to_owned(), App { access: Access::Only(list.clone()), siblings: false });
            apache.change(&login);
            let answer = browser.open(&apache, &format!("https://{host}/"));
            assert_eq!(answer.status, status, "seed {seed}: {listed:?} {list:?} {answer:?}");
        }
    }
}

#[test]
fn a_host_that_is_not_listed_is_nobodys() {
    let allow = render(&login()).unwrap().allow;
    for host in ["x.apps.example.com", "pps.example.com", "a.apps.example.co", "", "a", "a.apps.example.com+"] {
        assert_eq!(expanded(&allow, host), NONE, "{host}");
    }
}

/// The prototype had 2.5 KB of configuration and 81 KB of map.
#[test]
fn a_thousand_apps_are_less_than_a_hundred_kilobytes() {
    let mut login = bare();
    for index in 0..1000 {
        let host = format!("app-{index:04}.apps.example.com");
        login.apps.insert(host, only(&["group:blog-editors", &format!("user:bob-{index}@example.com")]));
    }
    let Files { config, allow, .. } = render(&login).unwrap();
    assert!(config.len() + allow.len() < 100_000, "{} and {}", config.len(), allow.len());
}

#[test]
fn a_passphrase_is_followed_in_three_steps_by_another() {
    let (old, new, client) = (secret(PASSPHRASE), secret(NEXT), secret("x"));
    let (mut step, mut seen) = (Some(Step::Switched), Vec::new());
    while let Some(now) = step {
        let text = secrets(&client, Passphrases::of(now, &old, &new)).unwrap().expose().to_owned();
        seen.push(text.lines().nth(1).unwrap().to_owned());
        let name = serde_json::to_string(&now).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&name).unwrap(), now, "{name}");
        step = now.next();
    }
    assert_eq!(
        seen,
        [
            format!("OIDCCryptoPassphrase \"{NEXT}\" \"{PASSPHRASE}\""),
            format!("OIDCCryptoPassphrase \"{NEXT}\" \"{NEXT}\""),
            format!("OIDCCryptoPassphrase \"{NEXT}\""),
        ]
    );
    assert!(Step::Switched.lasts() > LONGEST_SESSION, "the old one stays for as long as any session of it");
    assert!(Step::Done.lasts() > LONGEST_SESSION, "none follows while a session has a mark");
}
