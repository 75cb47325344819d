//! What may stand before the greeting: a banner, or what a shell's start file prints. It is skipped, up to a limit.

use futuswarm_output::eprintln;

/// More than this before the greeting is no banner.
const MOST_JUNK: usize = 64 << 10;
/// The kind of a message, and the two bytes of a length below 64 KiB, which every greeting has.
const BEGIN: [u8; 3] = [b'm', 0, 0];
/// Kind, length, and the brace of the document.
const HEADER: usize = 6;

/// Looks for the first frame.
#[derive(Debug, Default)]
pub struct Greeting {
    found: bool,
    before: Vec<u8>,
}

impl Greeting {
    /// Takes bytes in and gives those from the greeting on; none while it has not come.
    pub fn skip(&mut self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        if self.found {
            return Ok(bytes.to_vec());
        }
        self.before.extend_from_slice(bytes);
        match begin(&self.before) {
            Some(at) => {
                let rest = self.before.split_off(at);
                self.found = true;
                self.show();
                Ok(rest)
            }
            None if self.before.len() > MOST_JUNK => {
                Err(format!("{} bytes came, and no greeting among them: is it a cluster's address?", self.before.len()))
            }
            None => Ok(Vec::new()),
        }
    }

    /// What is wrong when nothing more comes; `None` when nothing is.
    pub fn finish(&mut self) -> Option<String> {
        (!self.found && !self.before.is_empty()).then(|| {
            self.show();
            "it ended without a greeting".to_owned()
        })
    }

    fn show(&mut self) {
        let before = std::mem::take(&mut self.before);
        for line in String::from_utf8_lossy(&before).lines().filter(|line| !line.trim().is_empty()).take(20) {
            eprintln!("ssh: {}", crate::output::plain(line.trim_end_matches('\r')));
        }
    }
}

/// Where a frame begins that may be the greeting.
fn begin(bytes: &[u8]) -> Option<usize> {
    // What is too short to decide may become one, and is looked at again.
    bytes.windows(HEADER).position(|window| window.starts_with(&BEGIN) && window[HEADER - 1] == b'{')
}

#[cfg(test)]
mod tests {
    use futuswarm_rpc::{Frame, Hello};

    use super::*;

    #[test]
    fn a_banner_is_skipped_however_the_bytes_come() {
        let greeting = Frame::message(&Hello::of("1")).unwrap().encode().unwrap();
        for junk in ["", "Welcome to m!\r\n", "m\0", "mmm\0\0"] {
            let all = [junk.as_bytes(), &greeting, b"rest"].concat();
            for size in [1, 2, 5, 7, 1000] {
                let (mut skip, mut got) = (Greeting::default(), Vec::new());
                for piece in all.chunks(size) {
                    got.extend(skip.skip(piece).unwrap());
                }
                assert_eq!(got, [&greeting[..], b"rest"].concat(), "{junk:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn what_never_greets_is_given_up() {
        let mut skip = Greeting::default();
        let refused = (0..100).find_map(|_| skip.skip(&[b'x'; 1000]).err()).unwrap();
        assert!(refused.contains("no greeting"), "{refused}");
        let mut skip = Greeting::default();
        skip.skip(b"SSH-2.0-x\n").unwrap();
        assert!(skip.finish().is_some());
        assert!(Greeting::default().finish().is_none());
    }
}
