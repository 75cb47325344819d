//! Frames of a log into lines, without input or output.

use std::collections::HashMap;

use super::{LogItem, LogLine};

/// What is put together of one line at most, in bytes; the rest comes as further lines.
const LONGEST: usize = 256 << 10;
/// Standard error of the task.
const STDERR: u8 = 2;
/// What the Swarm says of the log itself.
const SYSTEM: u8 = 3;

/// Puts lines together out of frames. A container's log keeps a long line in pieces, of which only the last has a line's end.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: HashMap<(String, bool), LogLine>,
}

impl Lines {
    /// What a frame of a kind completes.
    pub(crate) fn frame(&mut self, kind: u8, payload: &[u8]) -> Option<LogItem> {
        if kind == SYSTEM {
            return Some(gap(&String::from_utf8_lossy(payload)));
        }
        let Some(piece) = parse(payload, kind == STDERR) else {
            let reason = format!("a line came without its origin: {}", String::from_utf8_lossy(payload).trim_end());
            return Some(LogItem::Gap { reason, nodes: Vec::new() });
        };
        let key = (piece.task.clone(), piece.stderr);
        let mut line = match self.begun.remove(&key) {
            Some(mut begun) => {
                begun.line.extend(piece.line);
                begun
            }
            None => piece,
        };
        match line.line.last() {
            Some(b'\n') => {
                line.line.pop();
                if line.line.last() == Some(&b'\r') {
                    line.line.pop();
                }
            }
            _ if line.line.len() < LONGEST => {
                self.begun.insert(key, line);
                return None;
            }
            _ => {}
        }
        Some(LogItem::Line(line))
    }

    /// Lines that have no end, when nothing more comes.
    pub(crate) fn rest(&mut self) -> Vec<LogItem> {
        let mut rest: Vec<LogLine> = self.begun.drain().map(|(_, line)| line).collect();
        rest.sort_by(|a, b| (&a.at, &a.task, a.stderr).cmp(&(&b.at, &b.task, b.stderr)));
        rest.into_iter().map(LogItem::Line).collect()
    }
}

/// `TIME KEY=VALUE,… LINE`; keys and values are encoded as in a URL's query.
fn parse(payload: &[u8], stderr: bool) -> Option<LogLine> {
    let mut parts = payload.splitn(3, |byte| *byte == b' ');
    let at = std::str::from_utf8(parts.next()?).ok()?;
    let details = std::str::from_utf8(parts.next()?).ok()?;
    let line = parts.next()?.to_vec();
    let detail = |key: &str| {
        let mut pairs = details.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
    };
    Some(LogLine {
        at: at.to_owned(),
        task: detail("com.docker.swarm.task.id")?,
        node: detail("com.docker.swarm.node.id")?,
        service: detail("com.docker.swarm.service.id").unwrap_or_default(),
        stderr,
        line,
    })
}

/// As in `… for the following reasons: node 2vke is not available, task 9x has not been scheduled`.
fn gap(text: &str) -> LogItem {
    let reason = text.trim().trim_start_matches("Error grabbing logs: ").replace('\n', " ");
    let mut words = reason.split_whitespace();
    let mut nodes = Vec::new();
    while let Some(word) = words.next() {
        if word == "node" {
            let id = words.next().unwrap_or_default();
            if id.len() == 25 && id.chars().all(|c| c.is_ascii_alphanumeric()) && !nodes.iter().any(|known| known == id)
            {
                nodes.push(id.to_owned());
            }
        }
    }
    LogItem::Gap { reason, nodes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=t1";

    fn frame(text: &str) -> Vec<u8> {
        format!("2026-05-01T10:00:00.000000001Z {FROM} {text}").into_bytes()
    }

    fn line(text: &[u8], stderr: bool) -> LogItem {
        let [task, node, service] = ["t1", "n1", "s1"].map(str::to_owned);
        let at = "2026-05-01T10:00:00.000000001Z".to_owned();
        LogItem::Line(LogLine { at, task, node, service, stderr, line: text.to_vec() })
    }

    #[test]
    fn a_line_keeps_its_spaces_and_loses_its_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.frame(1, &frame("  a b  \n")), Some(line(b"  a b  ", false)));
        assert_eq!(lines.frame(2, &frame("\r\n")), Some(line(b"", true)));
        assert!(lines.rest().is_empty());
    }

    #[test]
    fn a_long_line_is_put_together_by_task_and_stream() {
        let mut lines = Lines::default();
        assert_eq!(lines.frame(1, &frame("one ")), None);
        assert_eq!(lines.frame(2, &frame("other\n")), Some(line(b"other", true)));
        assert_eq!(lines.frame(1, &frame("two\n")), Some(line(b"one two", false)));
        assert_eq!(lines.frame(1, &frame("no end")), None);
        assert_eq!(lines.rest(), [line(b"no end", false)]);
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::default();
        let piece = frame(&"x".repeat(16 << 10));
        let before = (0..100).take_while(|_| lines.frame(1, &piece).is_none()).count();
        assert_eq!(before, 15, "sixteen pieces are the limit");
    }

    #[test]
    fn what_the_swarm_says_names_the_nodes() {
        let text = "Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. some logs could not be retrieved for the following reasons: node 2vkei2oxbk2ka3okf2s8sxxqv is not available, task 9xk has not been scheduled\n";
        let Some(LogItem::Gap { reason, nodes }) = Lines::default().frame(3, text.as_bytes()) else { panic!() };
        assert_eq!(nodes, ["2vkei2oxbk2ka3okf2s8sxxqv"]);
        assert!(reason.starts_with("rpc error") && reason.ends_with("scheduled"), "{reason}");
    }

    #[test]
    fn bytes_that_are_no_text_pass_and_a_frame_without_details_is_told() {
        let mut payload = frame("");
        payload.extend([0xff, 0, b'\n']);
        assert_eq!(Lines::default().frame(1, &payload), Some(line(&[0xff, 0], false)));
        for bad in ["", "2026", "2026 x=y", "2026 x=y line\n"] {
            let told = Lines::default().frame(1, bad.as_bytes());
            assert!(matches!(told, Some(LogItem::Gap { .. })), "{bad:?}: {told:?}");
        }
    }
}
