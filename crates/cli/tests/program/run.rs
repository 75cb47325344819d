//! Programs in tasks: input, output, signals and exit codes.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futuswarm_rpc::message::*;
use futuswarm_rpc::{Channel, Frame};

use crate::fake::{Fake, Peer};

/// Reads its input to the end, says how much it was, and ends.
fn count(mut peer: Peer, code: i64) {
    let Some(Request::Run { .. }) = peer.request() else { return };
    peer.send(&Event::Progress { text: "starting".to_owned(), elapsed: 0, limit: None });
    peer.send(&Event::Ready { offset: 0 });
    let mut length = 0;
    loop {
        match peer.next() {
            Some(Frame::Chunk(Channel::Input, bytes)) => length += bytes.len(),
            Some(Frame::End(Channel::Input)) => break,
            other => panic!("{other:?}"),
        }
    }
    peer.chunk(Channel::Output, format!("{length}").as_bytes());
    peer.chunk(Channel::Error, b"warned\0\xff");
    peer.done(Answer::Exited(code));
}

#[test]
fn streams_and_exit_codes_pass() {
    let input: Vec<u8> = (0..1_000_003).map(|at| (at % 251) as u8).collect();
    for (code, expected) in [(0, 0), (3, 3), (255, 255), (137, 137), (-1, 1), (256, 1)] {
        let fake = Fake::new(move |peer| count(peer, code));
        let mut child = fake
            .command(&["run", "-a", "hello", "--", "wc", "-c", "--json", "-a"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        assert_eq!(output.stdout, b"1000003");
        assert_eq!(output.stderr, b"starting (0 s)\nwarned\0\xff");
    }
}

#[test]
fn the_program_and_its_arguments_are_words() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let to = std::sync::Arc::clone(&seen);
    let fake = Fake::new(move |mut peer| {
        if let Some(Request::Run { argv, terminal, .. }) = peer.request() {
            assert_eq!(terminal, None, "there is none here");
            to.lock().unwrap().push(argv);
            peer.done(Answer::Exited(0));
        }
    });
    fake.run(&["run", "hello", "--", "echo", "a b", "\"$HOME\"", "--", "-x"]).ended(0);
    fake.run(&["app:run", "-n", "hello", "--action", "echo $HOME"]).ended(0);
    fake.run(&["shell", "hello"]).ended(0);
    fake.run(&["run", "hello"]).ended(2).says("which program?");
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let expected =
        [words(&["echo", "a b", "\"$HOME\"", "--", "-x"]), words(&["sh", "-c", "echo $HOME"]), words(&["sh"])];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn psql_reads_sql_from_standard_input_where_there_is_no_terminal() {
    let fake = Fake::new(|mut peer| {
        if let Some(Request::OpenDatabase { app, terminal }) = peer.request() {
            assert_eq!((app.as_str(), terminal), ("hello", None));
            peer.send(&Event::Ready { offset: 0 });
            let Some(Frame::Chunk(Channel::Input, sql)) = peer.next() else { panic!() };
            peer.chunk(Channel::Output, &sql);
            peer.done(Answer::Exited(3));
        }
    });
    let mut child = fake.command(&["db:psql", "hello"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"select 1;").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"select 1;"[..]), "{output:?}");
}

#[test]
fn signals_pass_and_the_second_one_ends_the_program_here() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        peer.send(&Event::Ready { offset: 0 });
        peer.chunk(Channel::Output, b"up\n");
        loop {
            match peer.next() {
                Some(Frame::Message(body)) => {
                    let Notice::Signal { name } = serde_json::from_slice(&body).unwrap() else { panic!() };
                    peer.chunk(Channel::Output, name.as_bytes());
                    if name == "TERM" {
                        return peer.done(Answer::Exited(143));
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
    });
    let start = |signals: &[&str]| {
        let mut child = fake.command(&["run", "hello", "--", "sleep"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        for signal in signals {
            assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = child.wait_with_output().unwrap();
        (output.status.code(), output.stdout)
    };
    assert_eq!(start(&["TERM"]), (Some(143), b"TERM".to_vec()));
    let begin = Instant::now();
    assert_eq!(start(&["INT", "INT"]).0, Some(130));
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_program_whose_connection_is_cut_has_no_exit_code_of_its_own() {
    let fake = Fake::new(|mut peer| {
        peer.request();
        peer.send(&Event::Ready { offset: 0 });
        peer.chunk(Channel::Output, b"half a li");
        peer.end(255);
    });
    let said = fake.run(&["run", "hello", "--", "x"]).ended(7);
    assert_eq!(said.text(), "half a li");
}

/// Commands of a shell with a terminal, which `script` makes; `None` where that is not installed.
fn in_terminal(fake: &Fake, commands: &str) -> Option<Child> {
    Command::new("script").arg("--version").stdout(Stdio::null()).status().ok()?;
    let usual = fake.command(&[]);
    let environment = usual.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let child = Command::new("script")
        .args(["-qec", commands, "/dev/null"])
        .current_dir(fake.work())
        .env_clear()
        .envs(environment)
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    Some(child.unwrap())
}

#[test]
fn another_size_of_the_terminal_is_passed_on() {
    let asked = std::env::temp_dir().join(format!("futuswarm-resize-{}", std::process::id()));
    let to = asked.clone();
    let fake = Fake::new(move |mut peer| {
        let Some(Request::Run { terminal: Some(terminal), .. }) = peer.request() else {
            panic!("a terminal is wanted")
        };
        peer.send(&Event::Ready { offset: 0 });
        // The size is changed after that: whoever asks listens to its signals already.
        std::fs::write(&to, "").unwrap();
        let Some(Frame::Message(body)) = peer.next() else { panic!("a notice is wanted") };
        let Notice::Resize { rows, columns } = serde_json::from_slice(&body).unwrap() else { panic!() };
        let said = format!("{}x{} became {rows}x{columns}", terminal.rows, terminal.columns);
        peer.chunk(Channel::Output, said.as_bytes());
        peer.done(Answer::Exited(0));
    });
    let (program, file) = (env!("CARGO_BIN_EXE_futuswarm"), asked.display());
    let commands = format!(
        "stty rows 33 cols 90; (until test -e '{file}'; do sleep 0.1; done; stty rows 44 cols 91 </dev/tty) & '{program}' run hello -- x"
    );
    let Some(mut child) = in_terminal(&fake, &commands) else { return };
    // Nothing is typed; and the terminal's end would be the program's.
    let stdin = child.stdin.take().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    drop(stdin);
    child.wait().unwrap();
    std::fs::remove_file(&asked).unwrap();
    assert!(text.contains("33x90 became 44x91"), "{text:?}");
}

/// With a terminal, which `script` makes where it is installed: raw while the program runs, and as before afterwards.
#[test]
fn a_terminal_is_passed_on_and_put_back() {
    let fake = Fake::new(|mut peer| {
        let Some(Request::Run { terminal: Some(terminal), .. }) = peer.request() else {
            panic!("a terminal is wanted")
        };
        peer.send(&Event::Ready { offset: 0 });
        peer.chunk(Channel::Output, format!("{} rows\r\n", terminal.rows).as_bytes());
        // A key as it is typed, without a line's end.
        match peer.next() {
            Some(Frame::Chunk(Channel::Input, bytes)) => {
                peer.chunk(Channel::Output, &[b"got ", &bytes[..], b"\r\n"].concat())
            }
            other => panic!("{other:?}"),
        }
        peer.done(Answer::Exited(5));
    });
    let program = env!("CARGO_BIN_EXE_futuswarm");
    let inner = format!(
        "stty rows 33 cols 90; before=$(stty -g); '{program}' run hello -- x; echo code $?; test \"$before\" = \"$(stty -g)\" && echo same"
    );
    let Some(mut child) = in_terminal(&fake, &inner) else { return };
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains("rows") {
        let length = stdout.read(&mut buffer).unwrap();
        assert!(length > 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    stdin.write_all(b"k").unwrap();
    stdout.read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    for part in ["33 rows", "got k", "code 5", "same"] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
