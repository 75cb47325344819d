//! Text of others, made harmless for a terminal.

/// Text without what would make a terminal do something: apps' output and users' names are not to be trusted with that.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The length of the sequence for a colour (ECMA-48, SGR) that a text begins with, if it does.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !(c.is_ascii_digit() || c == ';')).unwrap_or(parameters.len());
    parameters[length..].starts_with('m').then_some(2 + length + 1)
}

/// A line of an app for a terminal: its colours stay, and nothing else that a terminal obeys.
pub fn coloured(line: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find('\u{1b}') {
        kept.push_str(&plain(&rest[..at]));
        rest = &rest[at..];
        let length = colour(rest);
        kept.push_str(length.map_or("\u{fffd}", |length| &rest[..length]));
        rest = &rest[length.unwrap_or(1)..];
    }
    kept.push_str(&plain(rest));
    kept
}

/// A line of an app without its colours. Whatever else is in it stays.
pub fn uncoloured(line: &str) -> String {
    let (mut kept, mut rest) = (String::with_capacity(line.len()), line);
    while let Some(at) = rest.find('\u{1b}') {
        let length = colour(&rest[at..]);
        let end = at + length.unwrap_or(1);
        kept.push_str(&rest[..if length.is_some() { at } else { end }]);
        rest = &rest[end..];
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_of_an_app_reach_the_terminal() {
        let bad = "\u{1b}[31mred\u{1b}[0m \u{1b}[2J \u{1b}]0;title\u{7} \r over \u{1b}";
        assert_eq!(coloured(bad), "\u{1b}[31mred\u{1b}[0m \u{fffd}[2J \u{fffd}]0;title\u{fffd} \u{fffd} over \u{fffd}");
        assert_eq!(coloured("plain ä 🦀\t."), "plain ä 🦀\t.");
    }

    #[test]
    fn colours_of_an_app_are_taken_away_and_nothing_else() {
        for (line, expected) in [
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}[mä", "red ä"),
            ("\u{1b}[2J \u{1b} \u{1b}[31", "\u{1b}[2J \u{1b} \u{1b}[31"),
            ("\u{1b}\u{1b}[31m🦀\u{1b}[0m", "\u{1b}🦀"),
            ("", ""),
        ] {
            assert_eq!(uncoloured(line), expected, "{line:?}");
        }
    }
}
