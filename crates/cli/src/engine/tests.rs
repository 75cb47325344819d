//! Answers of an engine, good ones and bad ones.

use super::*;

/// An engine that says what it was told to, whatever it is asked.
struct Said {
    answer: std::io::Cursor<Vec<u8>>,
    asked: Vec<u8>,
}

impl Read for Said {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.answer.read(buffer)
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.asked.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn answer(text: &str) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    let said = Said { answer: std::io::Cursor::new(text.as_bytes().to_vec()), asked: Vec::new() };
    get("hello", said, &mut got).map(|()| got)
}

#[test]
fn bodies_are_read_in_pieces_by_length_or_to_the_end() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\n";
    for body in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
        "Content-Length: 11\r\n\r\nhello world and more",
        "\r\nhello world",
    ] {
        assert_eq!(answer(&format!("{head}{body}")).unwrap(), b"hello world", "{body:?}");
    }
}

#[test]
fn what_is_cut_is_an_error_and_so_is_nonsense() {
    let head = "HTTP/1.1 200 OK\r\n";
    for body in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld",
        "Transfer-Encoding: chunked\r\n\r\nfish\r\n",
        "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        "Content-Length: 11\r\n\r\nhello",
        "Content-Le",
    ] {
        assert!(answer(&format!("{head}{body}")).is_err(), "{body:?}");
    }
    assert!(answer("").is_err());
    assert!(answer("SSH-2.0\r\n\r\n").is_err());
    assert!(answer(&format!("{head}{}", "x".repeat(1 << 16))).is_err());
}

#[test]
fn an_image_that_is_not_there_is_not_found() {
    let body = r#"{"message":"No such image: hello:latest"}"#;
    let text = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let refused = answer(&text).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
    assert!(refused.message.contains("No such image: hello:latest"), "{refused}");
    assert_eq!(answer("HTTP/1.1 500 Oops\r\n\r\n<html>").unwrap_err().code, Code::Failed);
}

#[test]
fn the_socket_is_where_the_environment_says_or_where_there_is_one() {
    assert_eq!(socket(Some("unix:///run/x.sock"), &[]).unwrap(), PathBuf::from("/run/x.sock"));
    assert_eq!(socket(Some("tcp://1.2.3.4:2375"), &[]).unwrap_err().code, Code::Usage);
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("docker.sock");
    std::fs::write(&there, "").unwrap();
    let places = [folder.path().join("gone"), there.clone()];
    assert_eq!(socket(None, &places).unwrap(), there);
    assert_eq!(socket(Some(""), &places).unwrap(), there);
    assert_eq!(escaped("shop/hello:1 \r\n?x"), "shop/hello:1%20%0D%0A%3Fx");
}
