//! What somebody may have meant.

/// The name that is most like `word`, if one is like it at all.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(word, name);
    let best = names.into_iter().map(|name| (likeness(name), name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_like_it_is_suggested() {
        let names = ["hello", "shop", "shop-admin"];
        assert_eq!(nearest("helo", names), Some("hello"));
        assert_eq!(nearest("hlelo", names), Some("hello"));
        assert_eq!(nearest("shop-admn", names), Some("shop-admin"));
        assert_eq!(nearest("zzz", names), None);
        assert_eq!(nearest("x", []), None);
    }
}
