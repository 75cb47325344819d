//! A provider of OpenID Connect that believes everybody: a code is the nonce that its ID token has.

use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::CLIENT_SECRET;

pub(super) struct Provider {
    /// Who signs in next.
    claims: Mutex<Value>,
    /// Hangs up on everybody.
    away: AtomicBool,
}

impl Provider {
    pub(super) fn signs_in(&self, email: &str, groups: &[&str]) {
        *self.claims.lock().unwrap() = json!({ "sub": email, "email": email, "groups": groups });
    }

    pub(super) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    fn id_token(&self, nonce: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = self.claims.lock().unwrap().clone();
        for (name, value) in [
            ("iss", json!("https://idp.example.com")),
            ("aud", json!("edge")),
            ("iat", json!(now)),
            ("exp", json!(now + 300)),
            ("nonce", json!(nonce)),
        ] {
            claims[name] = value;
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
        let signature = hmac(CLIENT_SECRET.as_bytes(), signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn answer(&self, mut stream: std::net::TcpStream) -> std::io::Result<()> {
        let Some((head, body)) = read(&mut stream)? else { return Ok(()) };
        if self.away.load(Ordering::Relaxed) {
            return Ok(());
        }
        let body = String::from_utf8_lossy(&body);
        let code = body.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap_or_default();
        let answer = if head.starts_with("POST /token ") {
            json!({ "access_token": "at", "token_type": "Bearer", "expires_in": 300, "id_token": self.id_token(code) })
        } else {
            json!({ "keys": [] })
        };
        let answer = answer.to_string();
        let length = answer.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(format!("{head}{answer}").as_bytes())
    }
}

/// HMAC (RFC 2104) with a key that is shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

/// A provider and its port.
pub(super) fn start() -> (Arc<Provider>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = Arc::new(Provider { claims: Mutex::new(json!({})), away: AtomicBool::new(false) });
    provider.signs_in("bob@example.com", &["staff"]);
    let answering = Arc::clone(&provider);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let provider = Arc::clone(&answering);
            std::thread::spawn(move || {
                let _closed = provider.answer(stream);
            });
        }
    });
    (provider, port)
}

/// The head of a request or an answer, and its body; `None` when the stream ends before. A chunked body is left where it is.
pub(super) fn read(stream: &mut impl Read) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let (mut all, mut some): (Vec<u8>, [u8; 4096]) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&all[..end]).into_owned();
            let length = head.lines().filter_map(|line| line.split_once(':'));
            let length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = length.filter_map(|(_, value)| value.trim().parse::<usize>().ok()).next().unwrap_or(0);
            if all.len() >= end + 4 + length {
                return Ok(Some((head, all.split_off(end + 4))));
            }
        }
        let length = stream.read(&mut some)?;
        if length == 0 {
            return Ok(None);
        }
        all.extend(&some[..length]);
    }
}
