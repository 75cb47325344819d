//! How text becomes one word of HAProxy's configuration.

/// In quotation marks, with nothing left that would end the word or begin a variable of the environment.
pub(super) fn quoted(text: &str) -> String {
    let mut word = String::from('"');
    for c in text.chars() {
        match c {
            '\n' => word.push_str("\\n"),
            '"' | '\\' | '$' => word.extend(['\\', c]),
            _ => word.push(c),
        }
    }
    word.push('"');
    word
}
