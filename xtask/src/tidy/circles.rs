//! A test of the modules inside of each crate: siblings import each other in one direction. Parents and children may know each other.
//! Only paths are seen: a call of a method says nothing of the module that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::root;
use super::tokens::{tokens, without_tests};

/// Circles that are still there: the crate's folder, and a module that is in the circle. A release that has ended begins those of apps that
/// are linked to its own.
const LEFT: &[(&str, &str)] = &[("crates/server", "rollout")];
/// What is imported is imported again this often at most.
const MOST_IMPORTS: usize = 8;

/// Names from the crate's root on; the root itself has none.
type Names = Vec<String>;

/// What one file says of other modules, outside of tests.
#[derive(Default)]
struct Module {
    /// Modules with files of their own below it.
    children: Names,
    /// What `use` imports: the name that it has in this file, and its path.
    imports: Vec<(String, Names)>,
    paths: Vec<Names>,
}

/// What a tree of imports has: each name with its path.
fn imported(tokens: &[String], prefix: &[String], found: &mut Vec<(String, Names)>) {
    let mut depth = 0;
    let parts = tokens.split(|token| {
        depth += i32::from(token == "{") - i32::from(token == "}");
        depth == 0 && token == ","
    });
    for part in parts.filter(|part| !part.is_empty()) {
        let end = part.iter().position(|token| token == "{" || token == "as").unwrap_or(part.len());
        let mut path = prefix.to_vec();
        path.extend(part[..end].iter().filter(|token| *token != "::").cloned());
        if part.get(end).is_some_and(|token| token == "{") {
            imported(&part[end + 1..part.len() - 1], &path, found);
            continue;
        }
        path.pop_if(|last| last == "self");
        let name = if end < part.len() { part.last() } else { path.last() };
        found.extend(name.cloned().map(|name| (name, path)));
    }
}

impl Module {
    fn of(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let (mut module, mut at) = (Self::default(), 0);
        let is = |at: usize, token: &str| tokens.get(at).is_some_and(|one| one == token);
        while at < tokens.len() {
            // `use<…>` of a type imports nothing.
            if is(at, "use") && !is(at + 1, "<") {
                let end = (at..tokens.len()).find(|at| is(*at, ";")).unwrap_or(tokens.len());
                imported(&tokens[at + 1..end], &[], &mut module.imports);
                at = end;
            } else if is(at, "mod") && is(at + 2, ";") {
                module.children.push(tokens[at + 1].clone());
                at += 2;
            } else if is(at + 1, "::") {
                let mut path = vec![tokens[at].clone()];
                while is(at + 1, "::") && at + 2 < tokens.len() {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                module.paths.push(path);
            }
            at += 1;
        }
        module
    }
}

struct Modules(BTreeMap<Names, Module>);

impl Modules {
    /// Reads a file and those of the modules below it, which are in `folder`.
    fn read(&mut self, file: &Path, folder: &Path, names: &[String]) {
        let module = Module::of(&std::fs::read_to_string(file).unwrap());
        for child in &module.children {
            let below = folder.join(child);
            self.read(&below.with_extension("rs"), &below, &[names, std::slice::from_ref(child)].concat());
        }
        self.0.insert(names.to_vec(), module);
    }

    /// A path of a file from the crate's root on; `None` when it leads out of the crate.
    fn absolute(&self, from: &[String], path: &[String], imports: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([from, rest].concat()),
            "super" => {
                let above = rest.iter().take_while(|name| *name == "super").count();
                Some([&from[..from.len().checked_sub(above + 1)?], &rest[above..]].concat())
            }
            _ if self.0.contains_key(&[from, &path[..1]].concat()) => Some([from, path].concat()),
            _ => self.imported(from, first, imports).map(|found| [&found[..], rest].concat()),
        }
    }

    /// What a name that a file imports stands for, from the crate's root on.
    fn imported(&self, from: &[String], name: &str, imports: usize) -> Option<Names> {
        let (_, path) = self.0.get(from)?.imports.iter().find(|(known, _)| known == name)?;
        self.absolute(from, path, imports.checked_sub(1)?)
    }

    /// The module that has what is at a path, wherever it is imported again on the way.
    fn owner(&self, path: &[String], imports: usize) -> Names {
        let depth = (0..=path.len()).rev().find(|depth| self.0.contains_key(&path[..*depth])).unwrap_or(0);
        let (module, rest) = path.split_at(depth);
        let further = rest.split_first().and_then(|(name, rest)| {
            let found = self.imported(module, name, imports)?;
            Some(self.owner(&[&found[..], rest].concat(), imports.checked_sub(1)?))
        });
        further.unwrap_or_else(|| module.to_vec())
    }

    /// Which siblings each module needs, for itself or for a module below it.
    fn arrows(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let mut arrows: BTreeMap<Names, BTreeSet<Names>> = BTreeMap::new();
        for (names, module) in &self.0 {
            for path in module.imports.iter().map(|(_, path)| path).chain(&module.paths) {
                let Some(path) = self.absolute(names, path, MOST_IMPORTS) else { continue };
                let owner = self.owner(&path, MOST_IMPORTS);
                let same = names.iter().zip(&owner).take_while(|(one, other)| one == other).count();
                if same < names.len().min(owner.len()) {
                    arrows.entry(names[..=same].to_vec()).or_default().insert(owner[..=same].to_vec());
                }
            }
        }
        arrows
    }

    /// The modules of each circle.
    fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let arrows = self.arrows();
        let reached = |from: &Names| {
            let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
            while let Some(names) = next.pop() {
                next.extend(arrows.get(names).into_iter().flatten().filter(|to| reached.insert((*to).clone())));
            }
            reached
        };
        let all: BTreeMap<&Names, BTreeSet<Names>> = arrows.keys().map(|names| (names, reached(names))).collect();
        let is_back = |from: &Names, to: &Names| all.get(to).is_some_and(|reached| reached.contains(from));
        let circle = |(from, reached): (&&Names, &BTreeSet<Names>)| -> BTreeSet<String> {
            reached.iter().filter(|to| is_back(from, to)).map(|names| names.join("::")).collect()
        };
        all.iter().map(circle).filter(|circle| !circle.is_empty()).collect()
    }
}

fn found(files: &[(&str, &str)]) -> Vec<String> {
    let names = |path: &str| path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect::<Names>();
    let modules = Modules(files.iter().map(|(path, text)| (names(path), Module::of(text))).collect());
    modules.circles().iter().map(|circle| circle.iter().cloned().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn circles_of_siblings_are_found() {
    for b in [
        "use crate::a;",
        "use super::{c::{self, X as Y}, a::One};",
        "fn f() { crate::a::one::<u8>() }",
        "use crate::One;",
        "use super::a as other;",
    ] {
        let files = [("", "mod a; mod b; mod c; pub use a::One;"), ("a", "use crate::b::{self};"), ("b", b), ("c", "")];
        assert_eq!(found(&files), ["a b"], "{b}");
    }
    let files = [("", ""), ("a", "use crate::b;"), ("b", ""), ("b::d", "fn f() { super::super::a::one() }")];
    assert_eq!(found(&files), ["a b"]);
}

#[test]
fn what_is_no_circle_of_siblings_is_left_alone() {
    for b in [
        "use crate::two;",
        "use std::a; fn f() { other::a::one(); }",
        "// use crate::a;\n/* crate::a::one */ const A: &str = \"crate::a::one\"; const B: &str = r#\"\"crate::a::b\"#;",
        "#[cfg(test)]\nmod tests { use crate::a; fn f() { let [x] = [1]; } }",
        "#[cfg(test)] use super::a::{One, Two};",
        "mod d; use d::One;",
    ] {
        let files = [("", "mod a; mod b; fn f() { a::one(); b::two() }"), ("a", "use crate::b;"), ("b", b)];
        let files = [&files[..], &[("b::d", "use super::Two; fn f(x: &'static str) -> char { '\"' }")]].concat();
        assert_eq!(found(&files), Vec::<String>::new(), "{b}");
    }
}

#[test]
fn modules_of_a_crate_import_each_other_in_one_direction() {
    let mut crates: Vec<PathBuf> = vec!["xtask".into(), "e2e".into()];
    let folder = std::fs::read_dir(root().join("crates")).unwrap();
    crates.extend(folder.map(|entry| Path::new("crates").join(entry.unwrap().file_name())));
    let (mut wrong, mut left, mut read) = (Vec::new(), BTreeSet::new(), 0);
    for one in crates {
        let source = root().join(&one).join("src");
        for file in ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().filter(|file| file.exists()) {
            let mut modules = Modules(BTreeMap::new());
            modules.read(&file, &source, &[]);
            read += modules.0.len();
            for circle in modules.circles() {
                match LEFT.iter().find(|(folder, module)| one == Path::new(folder) && circle.contains(*module)) {
                    Some(known) => {
                        left.insert(known);
                    }
                    None => wrong.push(format!("{}: {circle:?} import each other", one.display())),
                }
            }
        }
    }
    assert!(read > 300, "only {read} modules were found");
    assert!(wrong.is_empty(), "move what both need into a module below them:\n{}", wrong.join("\n"));
    let gone: Vec<_> = LEFT.iter().filter(|known| !left.contains(known)).collect();
    assert!(gone.is_empty(), "there is no such circle any more; take it out of LEFT: {gone:?}");
}
