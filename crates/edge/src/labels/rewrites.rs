//! Regular expressions that change paths: only such as take a time in proportion to the length of a path, whatever the path is.
//!
//! HAProxy's library for expressions tries one way after another, so that `(a+)+$` takes years with a path of a hundred characters, and
//! `a.*b.*c` seconds with one of ten thousand. Whoever asks chooses the path, and one process serves everybody. Therefore expressions are
//! read here, by a grammar with which it can be told how many ways there are: characters, sets of characters and groups that are not
//! within each other, with `?`, `*` and `+` behind characters and sets only. See [`Expression::slow`] for the rule.

use super::values::{LabelError, Labels, Value};
use crate::rules::Rewrite;

/// Pairs of one destination.
const MOST: usize = 8;
const LONGEST: usize = 128;
/// Each may double the number of ways.
const MOST_OPTIONAL: usize = 3;
/// Backreferences have one digit.
const MOST_GROUPS: usize = 9;
/// What a path can have in it and an expression does not need for itself. A comma and a colon divide the label.
const PLAIN: &[u8] = b"/_~-@&;=!%";
/// What stands for itself behind a backslash.
const ESCAPED: &[u8] = b"./-~+*?()[]{}|^$@&;=!%";

/// The pairs that a destination asks for.
pub(super) fn rewrites(labels: &Labels) -> Result<Vec<Rewrite>, LabelError> {
    let mut rewrites = Vec::new();
    match (labels.get("reqPathSearch"), labels.get("reqPathReplace")) {
        (Some(search), Some(replace)) => {
            rewrites.push(rewrite((&search, search.text), (&replace, replace.text), "")?);
        }
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => {
            return Err(one.wrong("com.df.reqPathSearch and com.df.reqPathReplace need each other; one label says both: com.df.reqPathSearchReplace"));
        }
    }
    let Some(value) = labels.get("reqPathSearchReplace") else { return Ok(rewrites) };
    for pair in value.text.split(':') {
        let parts: Vec<&str> = pair.split(',').map(str::trim).collect();
        let (search, replace, flags) = match parts[..] {
            [search, replace] => (search, replace, ""),
            [search, replace, flags] => (search, replace, flags),
            _ => return Err(value.wrong("it is written SEARCH,REPLACE with further pairs behind colons, so neither has a comma or a colon in it")),
        };
        rewrites.push(rewrite((&value, search), (&value, replace), flags)?);
    }
    if rewrites.len() > MOST {
        return Err(value.wrong(format!("{} pairs are too many; {MOST} are made at most", rewrites.len())));
    }
    Ok(rewrites)
}

/// Of an expression and what replaces it, each with the label that says it.
fn rewrite(
    (value, search): (&Value, &str),
    (other, replace): (&Value, &str),
    flags: &str,
) -> Result<Rewrite, LabelError> {
    let (every, any_case) =
        match flags {
            "" => (false, false),
            "g" => (true, false),
            "i" => (false, true),
            "gi" | "ig" => (true, true),
            _ => return Err(value.wrong(
                "behind the second comma of a pair stands `i` for any case, `g` for everything that matches, or both",
            )),
        };
    if search.len() > LONGEST || replace.len() > LONGEST {
        return Err(value.wrong(format!("an expression, and what replaces it, has at most {LONGEST} characters")));
    }
    let expression =
        Expression::read(search, any_case).map_err(|reason| value.wrong(format!("{search:?}: {reason}")))?;
    if let Some(reason) = expression.slow() {
        return Err(value.wrong(format!("{search:?} can be slow: {reason}")));
    }
    if let Some(reason) = bad_replacement(replace, expression.groups) {
        return Err(other.wrong(format!("{replace:?}: {reason}")));
    }
    Ok(Rewrite { search: search.to_owned(), replace: replace.to_owned(), every, any_case })
}

/// Why a text cannot stand in the place of what matched.
fn bad_replacement(text: &str, groups: usize) -> Option<&'static str> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(digit @ b'0'..=b'9') if usize::from(digit - b'0') <= groups => {}
                _ => return Some("behind a backslash stands the number of a group of the expression"),
            },
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
                if !(hex() && hex()) {
                    return Some("behind a percent sign stand two hexadecimal digits");
                }
            }
            b'.' | b'+' => {}
            byte if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) => {}
            _ => return Some("only what may stand in a path replaces a part of one: letters, digits and /._~-@&;=!+%"),
        }
    }
    None
}

/// Bit n is the ASCII character n.
type Set = u128;

const ANY: Set = Set::MAX;

const fn bit(byte: u8) -> Set {
    1_u128 << byte
}

fn range(from: u8, to: u8) -> Set {
    (from..=to).fold(0, |set, byte| set | bit(byte))
}

/// One character of a path, or any number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    set: Set,
    /// Not behind `?` or `*`.
    needed: bool,
    /// Behind `*` or `+`.
    repeated: bool,
}

/// Groups say which part is meant and change nothing about what matches, so only their number is kept.
struct Expression {
    /// Begins with `^`.
    from_start: bool,
    items: Vec<Item>,
    /// Ends with `$`: a path that goes on behind it does not match.
    to_end: bool,
    groups: usize,
}

impl Expression {
    /// Reads an expression of the grammar above.
    fn read(text: &str, any_case: bool) -> Result<Self, String> {
        let mut rest = text.as_bytes();
        let mut expression = Self { from_start: false, items: Vec::new(), to_end: false, groups: 0 };
        if let Some(behind) = rest.strip_prefix(b"^") {
            (expression.from_start, rest) = (true, behind);
        }
        let mut open = false;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            let set = match byte {
                b'$' if rest.is_empty() && !open => {
                    expression.to_end = true;
                    continue;
                }
                b'(' if !open && !rest.starts_with(b"?") && !rest.starts_with(b"*") => {
                    open = true;
                    expression.groups += 1;
                    continue;
                }
                b')' if open => {
                    open = false;
                    if rest.first().is_some_and(|byte| b"?*+{".contains(byte)) {
                        return Err("a group stands once; what is repeated stands in the group".to_owned());
                    }
                    continue;
                }
                b'|' => return Err("one expression has no alternatives; write a pair for each".to_owned()),
                b'{' | b'}' => return Err("counts in braces are not read; write the character as often".to_owned()),
                b'(' | b')' => return Err("groups stand beside each other, begin with ( and end with )".to_owned()),
                b'.' => ANY,
                b'[' => class(&mut rest)?,
                b'\\' => escaped(&mut rest)?,
                byte if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) => bit(byte),
                _ => {
                    return Err(format!(
                        "{:?} is not read where it stands; a backslash before it may help",
                        char::from(byte)
                    ));
                }
            };
            let set = if any_case { both_cases(set) } else { set };
            let (needed, repeated) = match rest.first() {
                Some(b'?') => (false, false),
                Some(b'*') => (false, true),
                Some(b'+') => (true, true),
                _ => (true, false),
            };
            if repeated || !needed {
                rest = &rest[1..];
                if rest.first().is_some_and(|byte| b"?*+{".contains(byte)) {
                    return Err("one of ? * + stands behind a character, and no second one".to_owned());
                }
            }
            expression.items.push(Item { set, needed, repeated });
        }
        if open {
            return Err("a group begins with ( and ends with )".to_owned());
        }
        Ok(expression)
    }

    /// Why it may take longer than in proportion to the length of a path.
    ///
    /// An item that is repeated ends at each of its characters, one after the other, until what is behind it matches. That is tried once
    /// for each place where the whole may begin. So an expression with `^` has one beginning, and may have any number of such items if
    /// they leave no choice: what follows is needed, and is none of its characters, so that there is one end only. The last one may leave
    /// a choice, since what follows it has a length. Without `^` there are as many beginnings as characters, so that only an item at the
    /// very end may be repeated: then the first beginning that is found is the last.
    fn slow(&self) -> Option<&'static str> {
        if self.groups > MOST_GROUPS {
            return Some("it has more than nine groups");
        }
        if !self.items.iter().any(|item| item.needed) {
            return Some("nothing in it has to be there, so it matches everywhere");
        }
        if self.items.iter().filter(|item| !item.needed && !item.repeated).count() > MOST_OPTIONAL {
            return Some("more than three characters with ? behind them");
        }
        let last = self.items.iter().rposition(|item| item.repeated)?;
        if !self.from_start {
            let alone = self.items.iter().filter(|item| item.repeated).count() == 1;
            let at_end = last + 1 == self.items.len() && (!self.to_end || self.items[last].set == ANY);
            if alone && at_end {
                return None;
            }
            return Some("without ^ at its beginning only its very end may be repeated with * or +; begin it with ^");
        }
        let chooses = |pair: &[Item]| pair[0].repeated && !(pair[1].needed && pair[0].set & pair[1].set == 0);
        self.items[..=last].windows(2).any(chooses).then_some(
            "what stands behind * or + could be one of the repeated characters; repeat fewer, as in ^/([^/]+)/(.*) instead of ^/(.+)/(.*)",
        )
    }
}

fn both_cases(set: Set) -> Set {
    let letters = (b'a'..=b'z').chain(b'A'..=b'Z');
    letters.filter(|letter| set & bit(*letter) != 0).fold(set, |set, letter| set | bit(letter ^ 0x20))
}

/// What stands behind a backslash.
fn escaped(rest: &mut &[u8]) -> Result<Set, String> {
    let Some((byte, behind)) = rest.split_first() else {
        return Err("nothing stands behind its last backslash".to_owned());
    };
    *rest = behind;
    match byte {
        b'd' => Ok(range(b'0', b'9')),
        b'w' => Ok(range(b'0', b'9') | range(b'a', b'z') | range(b'A', b'Z') | bit(b'_')),
        byte if ESCAPED.contains(byte) => Ok(bit(*byte)),
        _ => Err("behind a backslash stands d, w, or a character that is meant itself".to_owned()),
    }
}

/// A set in brackets, behind the first of them.
fn class(rest: &mut &[u8]) -> Result<Set, String> {
    let mut all_but = false;
    if let Some(behind) = rest.strip_prefix(b"^") {
        (all_but, *rest) = (true, behind);
    }
    let (mut set, mut from): (Set, Option<u8>) = (0, None);
    loop {
        let Some((&byte, behind)) = rest.split_first() else {
            return Err("a set begins with [ and ends with ]".to_owned());
        };
        *rest = behind;
        let more = match byte {
            b']' if set != 0 => return Ok(if all_but { !set } else { set }),
            b'-' if set == 0 || rest.starts_with(b"]") => bit(b'-'),
            b'-' => {
                let ends = from.take().zip(rest.first().copied());
                let alike: [fn(&u8) -> bool; 3] = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
                let (first, last) = ends
                    .filter(|(first, last)| first <= last && alike.iter().any(|is| is(first) && is(last)))
                    .ok_or("a range goes from one digit, or letter of one case, to a later one; a - that is meant itself stands last")?;
                *rest = &rest[1..];
                range(first, last)
            }
            b'\\' => {
                from = None;
                escaped(rest)?
            }
            byte if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) || b".+*?()$".contains(&byte) => {
                from = byte.is_ascii_alphanumeric().then_some(byte);
                bit(byte)
            }
            _ => return Err(format!("{:?} is not read in a set; a backslash before it may help", char::from(byte))),
        };
        set |= more;
    }
}
