//! Reading TOML tables key by key: each read notes the key as known and its problem if it has one, so that at the end
//! everything else is an unknown key, and all problems are reported together.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;

use ipnet::Ipv4Net;
use toml_edit::{Document, Item, Key, TableLike};

use crate::problem::Problems;
use crate::value::{as_network, describe, in_quotes, is_name};

/// Below this similarity (Jaro-Winkler, 0 to 1) a suggestion would only confuse.
const SIMILAR: f64 = 0.75;

/// One table of the file, with what was asked of it.
pub(crate) struct Table {
    /// Dotted path of the table, empty for the root.
    path: String,
    /// Line of its header, counted from 1.
    line: usize,
    entries: BTreeMap<String, Entry>,
    known: Vec<String>,
    /// Lines of the keys inside this table's tables, by their dotted paths.
    inner_lines: BTreeMap<String, usize>,
    /// What was asked for inside this table's tables, by dotted paths.
    inner_known: Vec<String>,
    problems: Problems,
    lines: Lines,
}

struct Entry {
    line: usize,
    item: Item,
}

/// The file's text, to turn offsets into line numbers.
#[derive(Clone)]
struct Lines(Rc<str>);

impl Lines {
    fn of(&self, offset: usize) -> usize {
        self.0.as_bytes()[..offset.min(self.0.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    /// The line of a key; of the table's, `line`, when toml_edit knows no better.
    fn of_key(&self, table: &dyn TableLike, key: &str, line: usize) -> usize {
        let span = table.key(key).and_then(Key::span).or_else(|| table.get(key)?.span());
        span.map_or(line, |span| self.of(span.start))
    }
}

impl Table {
    /// Parses a file.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let lines = Lines(text.into());
        let document = Document::parse(text.to_owned()).map_err(|error| {
            let mut problems = Problems::of(file);
            let line = error.span().map_or(1, |span| lines.of(span.start));
            problems.add(line, "", format!("this is not TOML: {}", error.message().replace('\n', ", ")));
            problems
        })?;
        Ok(Self::new(file, String::new(), 1, document.as_table(), lines))
    }

    fn new(file: &str, path: String, line: usize, table: &dyn TableLike, lines: Lines) -> Self {
        let entry = |key, item: &Item| Entry { line: lines.of_key(table, key, line), item: item.clone() };
        Self {
            path,
            line,
            entries: table.iter().map(|(key, item)| (key.to_owned(), entry(key, item))).collect(),
            known: Vec::new(),
            inner_lines: BTreeMap::new(),
            inner_known: Vec::new(),
            problems: Problems::of(file),
            lines,
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The line of a key, or of the table when the key is absent.
    pub(crate) fn line_of(&self, key: &str) -> usize {
        self.entries.get(key).map_or(self.line, |entry| entry.line)
    }

    /// Notes a problem with a key of this table.
    pub(crate) fn wrong(&mut self, key: &str, message: String) {
        let (line, dotted) = (self.line_of(key), self.dotted(key));
        self.problems.add(line, &dotted, message);
    }

    /// Notes a problem with a key anywhere below this table, by its dotted path. A key that is absent has the line of the
    /// innermost table that is there.
    pub(crate) fn wrong_below(&mut self, dotted: &str, message: impl Into<String>) {
        let mut there = dotted;
        let line = loop {
            if let Some(line) = self.inner_lines.get(there) {
                break *line;
            }
            match there.rsplit_once('.') {
                Some((outer, _)) => there = outer,
                None => break self.line_of(there),
            }
        };
        self.problems.add(line, dotted, message.into());
    }

    /// The item, or a problem when it is absent and there is no default.
    fn item(&mut self, key: &str, required: bool, what: &str) -> Option<Item> {
        self.known.push(key.to_owned());
        let item = self.entries.get(key).map(|entry| entry.item.clone());
        if item.is_none() && required {
            self.wrong(key, format!("this key is missing; it needs {what}"));
        }
        item
    }

    fn mistyped(&mut self, key: &str, what: &str, actual: &Item) {
        self.wrong(key, format!("{what} is needed, but {} is there", describe(actual)));
    }

    /// A string that `check` accepts; its error says what is needed.
    pub(crate) fn string(
        &mut self,
        key: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<String> {
        match self.item(key, default.is_none(), "a string") {
            Some(item) => self.checked_string(key, &item, check),
            None => default.map(str::to_owned),
        }
    }

    /// A string that may be absent; `None` only when it is there and cannot be used.
    pub(crate) fn optional(
        &mut self,
        key: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<Option<String>> {
        match self.item(key, false, "a string") {
            Some(item) => self.checked_string(key, &item, check).map(Some),
            None => Some(None),
        }
    }

    fn checked_string(
        &mut self,
        key: &str,
        item: &Item,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Option<String> {
        let Some(text) = item.as_str() else {
            self.wrong(key, format!("a string is needed, but {} is there{}", describe(item), in_quotes(item)));
            return None;
        };
        if let Err(needed) = check(text) {
            self.wrong(key, format!("{text:?} cannot be used; {needed} is needed"));
            return None;
        }
        Some(text.to_owned())
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Option<bool> {
        let Some(item) = self.item(key, false, "true or false") else { return Some(default) };
        let flag = item.as_bool();
        if flag.is_none() {
            self.mistyped(key, "true or false", &item);
        }
        flag
    }

    /// Notes that a key may stand here although it is not read.
    pub(crate) fn known(&mut self, key: &str) {
        self.known.push(key.to_owned());
    }

    /// Whether a key is there, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, key: &str, default: Option<i64>, range: RangeInclusive<i64>) -> Option<i64> {
        let what = format!("a whole number between {} and {}", range.start(), range.end());
        let Some(item) = self.item(key, default.is_none(), &what) else { return default };
        match item.as_integer() {
            Some(number) if range.contains(&number) => Some(number),
            Some(number) => {
                self.wrong(key, format!("{number} cannot be used; {what} is needed"));
                None
            }
            None => {
                let meant = item.as_float().filter(|number| number.fract() == 0.0 && range.contains(&(*number as i64)));
                match meant {
                    Some(number) => {
                        self.wrong(key, format!("{what} is needed: write {number:.0} without a decimal point"))
                    }
                    None => self.mistyped(key, &what, &item),
                }
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&mut self, key: &str, default: Option<T>, choices: &[(&str, T)]) -> Option<T> {
        let what = choices.iter().map(|(word, _)| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        let Some(item) = self.item(key, default.is_none(), &what) else { return default };
        let choice = item.as_str().and_then(|text| choices.iter().find(|(word, _)| *word == text));
        if choice.is_none() {
            self.mistyped(key, &what, &item);
        }
        choice.map(|(_, value)| *value)
    }

    /// An IPv4 network.
    pub(crate) fn network(&mut self, key: &str, default: Option<Ipv4Net>) -> Option<Ipv4Net> {
        let what = "a network such as \"10.42.0.0/16\"";
        let Some(item) = self.item(key, default.is_none(), what) else { return default };
        let Some(text) = item.as_str() else {
            self.mistyped(key, what, &item);
            return None;
        };
        as_network(text).map_err(|problem| self.wrong(key, problem)).ok()
    }

    /// A list of IPv4 networks.
    pub(crate) fn networks(&mut self, key: &str, default: &[Ipv4Net]) -> Option<Vec<Ipv4Net>> {
        if !self.has(key) {
            self.known(key);
            return Some(default.to_vec());
        }
        let texts = self.strings(key)?;
        let mut networks = Vec::new();
        for text in texts {
            match as_network(&text) {
                Ok(network) => networks.push(network),
                Err(problem) => {
                    self.wrong(key, problem);
                    return None;
                }
            }
        }
        Some(networks)
    }

    /// A list of strings; absent means none.
    pub(crate) fn strings(&mut self, key: &str) -> Option<Vec<String>> {
        let what = "a list of strings";
        let Some(item) = self.item(key, false, what) else { return Some(Vec::new()) };
        let list =
            item.as_array().and_then(|array| array.iter().map(|value| value.as_str().map(str::to_owned)).collect());
        if list.is_none() {
            self.mistyped(key, what, &item);
        }
        list
    }

    /// A table of strings with any keys; absent means none. Each key that is none is named.
    pub(crate) fn map(&mut self, key: &str) -> Option<BTreeMap<String, String>> {
        let what = "a table of strings";
        let Some(item) = self.item(key, false, what) else { return Some(BTreeMap::new()) };
        let Some(table) = item.as_table_like() else {
            self.mistyped(key, what, &item);
            return None;
        };
        let (mut pairs, mut whole) = (BTreeMap::new(), true);
        for (name, value) in table.iter() {
            match value.as_str() {
                Some(text) => {
                    pairs.insert(name.to_owned(), text.to_owned());
                }
                None => {
                    let line = self.lines.of_key(table, name, self.line_of(key));
                    let path = self.dotted(&format!("{key}.{name}"));
                    self.problems.add(
                        line,
                        &path,
                        format!("a string is needed, but {} is there{}", describe(value), in_quotes(value)),
                    );
                    whole = false;
                }
            }
        }
        whole.then_some(pairs)
    }

    /// A table inside this one; an absent one is read as an empty one, so that its keys' defaults hold.
    pub(crate) fn table<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let item = self.item(key, false, "a table").unwrap_or_else(|| Item::Table(toml_edit::Table::new()));
        self.read_inside(key, self.dotted(key), self.line_of(key), &item, read)
    }

    /// A table that may be absent; `None` only when it is there and cannot be used.
    pub(crate) fn optional_table<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.item(key, false, "a table") {
            Some(item) => self.read_inside(key, self.dotted(key), self.line_of(key), &item, read).map(Some),
            None => Some(None),
        }
    }

    /// A table of tables with any names; `example` is one of them. At least one when `required` is set.
    pub(crate) fn tables<T>(
        &mut self,
        key: &str,
        required: bool,
        example: &str,
        mut read: impl FnMut(&str, &mut Self) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let what = &format!("at least one table such as [{example}]");
        let Some(item) = self.item(key, required, what) else { return (!required).then(BTreeMap::new) };
        let Some(outer) = item.as_table_like() else {
            self.mistyped(key, what, &item);
            return None;
        };
        let mut tables = BTreeMap::new();
        let mut whole = true;
        for (name, inner) in outer.iter() {
            let line = self.lines.of_key(outer, name, self.line_of(key));
            let path = self.dotted(&format!("{key}.{name}"));
            if !is_name(name) {
                self.problems.add(
                    line,
                    &path,
                    "such a name has 1 to 24 lower-case letters, digits and single hyphens, none at an end".to_owned(),
                );
                whole = false;
            }
            match self.read_inside(key, path, line, inner, |table| read(name, table)) {
                Some(value) => {
                    tables.insert(name.to_owned(), value);
                }
                None => whole = false,
            }
        }
        if required && tables.is_empty() && whole {
            self.wrong(key, format!("{what} is needed"));
            whole = false;
        }
        whole.then_some(tables)
    }

    fn read_inside<T>(
        &mut self,
        key: &str,
        path: String,
        line: usize,
        item: &Item,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let Some(table) = item.as_table_like() else {
            self.mistyped(key, "a table", item);
            return None;
        };
        let mut inner = Self::new(&self.problems.file, path, line, table, self.lines.clone());
        let value = read(&mut inner);
        self.inner_lines.insert(inner.path.clone(), line);
        for (name, entry) in &inner.entries {
            self.inner_lines.insert(inner.dotted(name), entry.line);
        }
        self.inner_lines.append(&mut inner.inner_lines);
        self.inner_known.extend(inner.known.iter().map(|key| inner.dotted(key)));
        self.inner_known.append(&mut inner.inner_known);
        for problem in inner.finish().problems {
            self.problems.add(problem.line, &problem.key, problem.message);
        }
        value
    }

    /// Every key that may stand anywhere below this table, by dotted paths.
    #[cfg(test)]
    pub(crate) fn all_known(&self) -> impl Iterator<Item = &String> {
        self.known.iter().chain(&self.inner_known)
    }

    /// Reports what nobody asked for, and gives the problems away.
    pub(crate) fn finish(&mut self) -> Problems {
        let unknown: Vec<String> = self.entries.keys().filter(|key| !self.known.contains(key)).cloned().collect();
        for key in unknown {
            let best = self
                .known
                .iter()
                .map(|known| (strsim::jaro_winkler(&key, known), known))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let message = match best {
                Some((score, known)) if score >= SIMILAR => format!("there is no such key; did you mean `{known}`?"),
                _ => format!("there is no such key; the keys here are {}", self.known.join(", ")),
            };
            self.wrong(&key, message);
        }
        std::mem::replace(&mut self.problems, Problems::of(""))
    }
}
