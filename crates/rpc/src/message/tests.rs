//! Messages as JSON: they come back as they were, and show no value.

use super::*;

fn round_trip<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value);
    text
}

#[test]
fn requests_say_what_they_are_and_come_back_as_they_were() {
    assert_eq!(round_trip(&Request::Whoami), r#"{"request":"whoami"}"#);
    let scale = Request::Scale { app: "hello".to_owned(), replicas: 3, wait: Wait::default() };
    let text = round_trip(&scale);
    let wait = r#"{"detach":false,"for_lock":null,"supersede":false}"#;
    assert_eq!(text, format!(r#"{{"request":"scale","app":"hello","replicas":3,"wait":{wait}}}"#));
    round_trip(&Request::Deploy(Deploy {
        app: "hello".to_owned(),
        image: Some("hello:1".to_owned()),
        app_file: Some("port = 80".to_owned()),
        plan: true,
        wait: Wait { detach: true, for_lock: Some(60), supersede: true },
    }));
    let collect = Request::CollectImages { app: None, keep: Some(3), plan: true, wait: None };
    assert_eq!(round_trip(&collect), r#"{"request":"collect-images","app":null,"keep":3,"plan":true,"wait":null}"#);
    let link = Link { app: "hello".to_owned(), other: "shop".to_owned(), end: true, wait: Wait::default() };
    let text = round_trip(&Request::Link(link));
    assert_eq!(text, format!(r#"{{"request":"link","app":"hello","other":"shop","end":true,"wait":{wait}}}"#));
    round_trip(&Request::Links { app: "hello".to_owned() });
    let admit = |change| Request::Admit(Admit { app: "hello".to_owned(), change });
    let add = AdmitChange::Add(BTreeSet::from(["group:staff".to_owned()]));
    let text = round_trip(&admit(Some(add)));
    assert_eq!(text, r#"{"request":"admit","app":"hello","change":{"add":["group:staff"]}}"#);
    assert_eq!(round_trip(&admit(Some(AdmitChange::Open))), r#"{"request":"admit","app":"hello","change":"open"}"#);
    round_trip(&admit(None));
    let login = |order| round_trip(&Request::Login { order });
    assert_eq!(login(LoginOrder::Show), r#"{"request":"login","order":"show"}"#);
    let lock = LoginOrder::Lock(BTreeSet::from(["user:ada".to_owned()]));
    assert_eq!(login(lock), r#"{"request":"login","order":{"lock":["user:ada"]}}"#);
    let rotate = LoginOrder::Rotate(futuswarm_model::Rotation::AtOnce);
    assert_eq!(login(rotate), r#"{"request":"login","order":{"rotate":"at-once"}}"#);
    assert!(serde_json::from_str::<Request>(r#"{"request":"reboot"}"#).is_err());
    assert!(serde_json::from_str::<Request>(r#"{"request":"app"}"#).is_err());
}

#[test]
fn a_request_printed_for_debugging_shows_no_value() {
    let set = BTreeMap::from([("KEY".to_owned(), Value::from("hush".to_owned()))]);
    let change = Request::Change {
        app: "hello".to_owned(),
        kind: Kind::Secrets,
        set,
        unset: BTreeSet::new(),
        dotenv: None,
        replace: false,
        stage: false,
        wait: Wait::default(),
    };
    assert!(!format!("{change:?}").contains("hush"));
    round_trip(&change);
}

#[test]
fn exit_codes_are_those_of_the_documentation() {
    let codes = [
        (RefusalClass::Failed, 1),
        (RefusalClass::Unavailable, 1),
        (RefusalClass::Usage, 2),
        (RefusalClass::Denied, 3),
        (RefusalClass::NotFound, 4),
        (RefusalClass::Locked, 5),
        (RefusalClass::TimedOut, 6),
    ];
    for (class, code) in codes {
        assert_eq!(class.exit_code(), code);
    }
}
