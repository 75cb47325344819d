//! What lives on when services change.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::bench::Edge;
use super::*;

/// For more than a minute: processes of before a reload used to end after one.
#[test]
fn a_websocket_lives_on_while_other_services_come_and_go() {
    let with = |others: usize| {
        let mut all = vec![route("app", &[("app.com", "/")])];
        let names: Vec<String> = (0..others).map(|index| format!("t{index}")).collect();
        all.extend(names.iter().map(|name| route(name, &[(&format!("{name}.com"), "/")])));
        routes(all)
    };
    let edge = Edge::start(&with(0), true, &[("app", 1)]);
    let mut socket = edge.websocket("app.com");
    for round in 1..=6 {
        edge.reload(&with(round % 3), true);
        std::thread::sleep(Duration::from_secs(12));
        socket.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        socket.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello", "after {round} changes");
    }
    assert_eq!(edge.get("app.com", "/"), "app");
}
