//! Which apps are linked, over lives, removals and names; and how often it is tried to make it so.

use super::*;

fn record(name: &str, created_at: u64, links: &[(&str, u64)]) -> AppRecord {
    let text =
        format!("name = \"{name}\"\ncreated_by = \"jane\"\ncreated_at = {created_at}\n[access]\njane = \"owner\"\n");
    let mut record: AppRecord = toml::from_str(&text).unwrap();
    for (other, life) in links {
        record.links.insert((*other).to_owned(), link(*life));
    }
    record
}

fn link(life: u64) -> Link {
    Link { life, by: "jane".to_owned(), at: 9 }
}

fn row(record: &AppRecord) -> AppEntry {
    AppEntry {
        created_at: record.created_at,
        access: record.access.clone(),
        release: None,
        image: None,
        deploying: None,
        links: record.links.iter().map(|(name, link)| (name.clone(), link.life)).collect(),
        open: record.admission.open,
    }
}

#[test]
fn only_what_both_say_of_each_others_present_life_counts() {
    let (hello, shop) = (record("hello", 1, &[("shop", 2)]), record("shop", 2, &[("hello", 1)]));
    let gone = AppRecord { removing: Some(5), ..shop.clone() };
    for (one, other, expected) in [
        (&hello, &shop, true),
        (&shop, &hello, true),
        (&hello, &record("shop", 2, &[]), false),
        (&record("hello", 1, &[]), &shop, false),
        // Names that were taken again, on either side, also by somebody who says the old life's time.
        (&hello, &record("shop", 3, &[("hello", 1)]), false),
        (&record("hello", 4, &[("shop", 2)]), &shop, false),
        (&record("hello", 4, &[("shop", 3)]), &record("shop", 3, &[("hello", 1)]), false),
        // Somebody else whom both know.
        (&hello, &record("other", 2, &[("hello", 1)]), false),
        (&record("hello", 1, &[("hello", 1)]), &record("hello", 1, &[("hello", 1)]), false),
    ] {
        assert_eq!(are_linked(one, other), expected, "{} {}", one.name, other.name);
        assert_eq!(are_linked(other, one), expected, "{} {}", one.name, other.name);
        let (first, second) = (row(one), row(other));
        assert_eq!(rows_are_linked((&one.name, &first), (&other.name, &second)), expected);
    }
    assert!(!are_linked(&hello, &gone) && !are_linked(&gone, &hello));
    assert!(wants(&hello, &record("shop", 2, &[])) && !wants(&hello, &record("shop", 3, &[])));
}

#[test]
fn an_app_is_not_linked_with_itself_and_the_platform_is_the_admins() {
    assert_eq!(check("hello", "shop", false), Ok(()));
    for admin in [false, true] {
        assert_eq!(check("hello", "hello", admin), Err(LinkError::Itself("hello".to_owned())));
    }
    for name in ["mainpage", "edge", "futuswarm-edge"] {
        for (app, other) in [("hello", name), (name, "hello")] {
            assert_eq!(check(app, other, false), Err(LinkError::Platform(name.to_owned())));
            assert_eq!(check(app, other, true), Ok(()));
        }
    }
}

#[test]
fn an_app_has_so_many_links_and_may_say_one_again() {
    let mut hello = record("hello", 1, &[]);
    for other in 0..MOST_LINKS {
        assert_eq!(want(&mut hello, &format!("app{other}"), link(7)), Ok(true));
    }
    let full = hello.clone();
    let refused = want(&mut hello, "one-more", link(7)).unwrap_err();
    assert!(refused.to_string().contains("has 20 links") && refused.to_string().contains("app:unlink hello"));
    assert_eq!(want(&mut hello, "app3", link(7)), Ok(false));
    assert_eq!(hello, full, "neither changes anything");
    assert_eq!(want(&mut hello, "app3", link(8)), Ok(true), "another app of that name");
    assert_eq!((hello.links["app3"].life, hello.links.len()), (8, MOST_LINKS));
}

#[test]
fn leaving_a_network_is_tried_for_ever_and_joining_one_is_not() {
    assert_eq!(attempt(0, 0, false, 5), Attempt::Now);
    assert_eq!(attempt(1, 6, false, 5), Attempt::Later);
    assert_eq!(attempt(1, 5, false, 5), Attempt::Now);
    assert_eq!(attempt(MOST_ATTEMPTS, 0, false, 5), Attempt::Never);
    assert_eq!(attempt(1000, 6, true, 5), Attempt::Later);
    assert_eq!(attempt(1000, 5, true, 5), Attempt::Now);
    let pauses: Vec<u64> = (0..9).map(|attempts| pause(attempts, 0) / 60_000).collect();
    assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(pause(u32::MAX, u64::MAX), u64::MAX);
}
