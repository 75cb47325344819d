//! Rust as words and signs, for tests that read what a file says without parsing it.

/// Words and signs of a text without comments and literals.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let begins = |at: usize, sign: &str| chars[at.min(chars.len())..].iter().copied().take(sign.len()).eq(sign.chars());
    let behind =
        |at: usize, end: &str| (at..chars.len()).find(|at| begins(*at, end)).unwrap_or(chars.len()) + end.len();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let c = chars[at];
        if begins(at, "//") {
            at = behind(at, "\n");
        } else if begins(at, "/*") {
            at = behind(at, "*/");
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if begins(at, "'\\") {
            at = behind(at + 3, "'");
        } else if c == '\'' {
            // Otherwise it is a lifetime.
            at += if begins(at + 2, "'") { 3 } else { 1 };
        } else if c.is_alphanumeric() || c == '_' {
            let word: String = chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
            at += word.chars().count();
            let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
            if ["r", "br"].contains(&word.as_str()) && begins(at + hashes, "\"") {
                at = behind(at + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
            } else {
                found.push(word);
            }
        } else if begins(at, "::") {
            found.push("::".to_owned());
            at += 2;
        } else {
            found.extend((!c.is_whitespace()).then(|| c.to_string()));
            at += 1;
        }
    }
    found
}

/// Leaves away what stands behind `#[cfg(test)]`.
pub(super) fn without_tests(tokens: &[String]) -> Vec<String> {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        if !tokens[at..].iter().map(String::as_str).take(attribute.len()).eq(attribute) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += attribute.len();
        let mut depth = 0;
        while at < tokens.len() {
            at += 1;
            match tokens[at - 1].as_str() {
                "{" | "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" if depth <= 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}
