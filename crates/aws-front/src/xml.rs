//! Small repairs of the emulator's XML answers, which are compact and without comments.

/// An error in EC2's form.
pub fn ec2_error(code: &str, message: &str) -> String {
    let message = escape(message);
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>local-cloud</RequestID></Response>"
    )
}

/// Text between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The content of the first such element.
pub fn content<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let start = text.find(&open)? + open.len();
    let end = start + text[start..].find(&close)?;
    Some(&text[start..end])
}

/// Gives each `<item>` directly below the element `set` to `change`, which may leave it out.
pub fn map_items(answer: &str, set: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    let (open, close) = (format!("<{set}>"), format!("</{set}>"));
    let (Some(start), Some(end)) = (answer.find(&open), answer.rfind(&close)) else { return answer.to_owned() };
    let (before, mut rest) = answer.split_at(start + open.len());
    let after = &answer[end..];
    rest = &rest[..end - before.len()];
    let mut out = before.to_owned();
    while let Some(length) = element_length(rest, "item") {
        let (item, later) = rest.split_at(length);
        out.push_str(&change(item).unwrap_or_default());
        rest = later;
    }
    out + rest + after
}

/// Each `<member>` directly below the first element `set`, as the query protocol lists things.
pub fn members<'a>(answer: &'a str, set: &str) -> Vec<&'a str> {
    let open = format!("<{set}>");
    let Some(start) = answer.find(&open) else { return Vec::new() };
    let mut rest = answer[start + open.len()..].trim_start();
    let mut found = Vec::new();
    while let Some(length) = element_length(rest, "member") {
        let (member, later) = rest.split_at(length);
        found.push(member);
        rest = later.trim_start();
    }
    found
}

/// The length of the element that `text` begins with, with those of its name inside it.
fn element_length(text: &str, element: &str) -> Option<usize> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    if !text.starts_with(&open) {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let end = at + text[at..].find(&close)?;
        match text[at..end].find(&open) {
            Some(found) => {
                depth += 1;
                at += found + open.len();
            }
            None => {
                depth -= 1;
                at = end + close.len();
                if depth == 0 {
                    return Some(at);
                }
            }
        }
    }
}

/// Sets an element directly below an `<item>`: replaces the first one of that name, or adds it at the end.
pub fn set(item: &str, element: &str, content: &str) -> String {
    let (open, close, empty) = (format!("<{element}>"), format!("</{element}>"), format!("<{element}/>"));
    let whole = format!("{open}{content}{close}");
    if let (Some(start), Some(end)) = (item.find(&open), item.find(&close))
        && start < end
    {
        return format!("{}{whole}{}", &item[..start], &item[end + close.len()..]);
    }
    if item.contains(&empty) {
        return item.replacen(&empty, &whole, 1);
    }
    match item.rfind("</") {
        Some(end) => format!("{}{whole}{}", &item[..end], &item[end..]),
        None => item.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_items_of_the_set_itself_are_changed() {
        let answer =
            "<R><set><item><t><item>a</item><item>b</item></t><id>1</id></item><item><id>2</id></item></set></R>";
        let mut seen = Vec::new();
        let out = map_items(answer, "set", |item| {
            seen.push(content(item, "id").unwrap().to_owned());
            (content(item, "id") == Some("2")).then(|| set(item, "new", "x"))
        });
        assert_eq!(seen, ["1", "2"]);
        assert_eq!(out, "<R><set><item><id>2</id><new>x</new></item></set></R>");
        assert_eq!(map_items("<R><set/></R>", "set", |_| None), "<R><set/></R>");
    }

    #[test]
    fn members_are_told_from_those_inside_them() {
        let answer = "<R><Listeners><member><Port>80</Port><Actions><member>a</member></Actions></member> <member><Port>443</Port></member></Listeners></R>";
        let ports = members(answer, "Listeners").into_iter().map(|member| content(member, "Port").unwrap());
        assert_eq!(ports.collect::<Vec<_>>(), ["80", "443"]);
        assert!(members("<R><Listeners/></R>", "Listeners").is_empty());
    }

    #[test]
    fn an_element_is_replaced_filled_or_added() {
        assert_eq!(set("<item><a>1</a></item>", "a", "2"), "<item><a>2</a></item>");
        assert_eq!(set("<item><a/></item>", "a", "2"), "<item><a>2</a></item>");
        assert_eq!(set("<item></item>", "a", "2"), "<item><a>2</a></item>");
    }
}
