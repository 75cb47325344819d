//! How many parts a message may have: what it takes in memory once it is understood is a matter of their number, not of its bytes.

/// The most parts of a message: values and keys, with all that is in them. 8 MiB of empty words would be 2.8 million of them, each of which
/// takes some dozens of bytes, however short it is.
pub const MOST_PARTS: usize = 16 << 10;

/// Whether JSON has [`MOST_PARTS`] parts at most, told by its bytes before anything is kept of it.
///
/// A list that stops being read at its limit would not do: serde keeps all parts of a [`Request`](crate::message::Request) before it knows
/// which request it is.
#[must_use]
pub fn has_few_parts(json: &[u8]) -> bool {
    let (mut parts, mut in_text, mut is_escaped) = (1, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            // Whatever comes after the first part stands behind one of these. What is no JSON is read to its first mistake only.
            b',' | b':' | b'[' | b'{' if !in_text => parts += 1,
            _ => {}
        }
        if parts > MOST_PARTS {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LONGEST_MESSAGE;
    use crate::message::Request;

    fn list(part: &str, times: usize) -> Vec<u8> {
        format!("[{}]", vec![part; times].join(",")).into_bytes()
    }

    fn run(words: usize) -> Vec<u8> {
        let argv = vec![String::new(); words];
        serde_json::to_vec(&Request::Run { app: "hello".to_owned(), argv, terminal: None }).unwrap()
    }

    #[test]
    fn millions_of_empty_words_are_too_many_parts() {
        let json = run((LONGEST_MESSAGE - 100) / 3);
        assert!((LONGEST_MESSAGE - 100..=LONGEST_MESSAGE).contains(&json.len()), "{}", json.len());
        assert!(!has_few_parts(&json));
        assert!(has_few_parts(&run(4096)), "as many as a program is given at most");
    }

    #[test]
    fn parts_are_counted_whatever_they_are() {
        for part in ["\"\"", "0", "null", " \"word\" "] {
            assert!(has_few_parts(&list(part, MOST_PARTS - 1)), "{part}");
            assert!(!has_few_parts(&list(part, MOST_PARTS)), "{part}");
        }
        for part in ["[]", "{}", "{\"\":0}", "[[[0]]]"] {
            assert!(has_few_parts(&list(part, MOST_PARTS / 5)), "{part}");
            assert!(!has_few_parts(&list(part, MOST_PARTS / 2)), "{part}");
        }
        let map = format!("{{\"\":0{}}}", ",\"\":0".repeat(MOST_PARTS / 2));
        assert!(!has_few_parts(map.as_bytes()), "a map of half as many");
        assert!(!has_few_parts("[".repeat(MOST_PARTS).as_bytes()));
    }

    #[test]
    fn a_text_is_one_part_whatever_stands_in_it() {
        let text = serde_json::to_string(&",:[{\\\"".repeat(100_000)).unwrap();
        assert!(has_few_parts(text.as_bytes()));
        let more = format!("[{text}{}]", ",0".repeat(MOST_PARTS));
        assert!(!has_few_parts(more.as_bytes()), "what comes behind it is counted");
    }
}
