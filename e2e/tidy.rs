//! What the house promises about its own tree, kept by tests: which room may name which, file headers and sizes, that
//! every file is compiled, that documents point at what exists. It reads text; it knows nothing of what the code does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A file fits in one sitting.
const LINES_MAX: usize = 500;

/// Files that may be longer, each with why.
const LONG_FILES: &[(&str, &str)] = &[];

/// Folders that hold no source of ours: build results, caches, version control.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules"];

#[test]
fn rooms_name_only_rooms_below_them() {
    let allowed = room_table();
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let Some(room) = room_of(&file) else { continue };
        let Some(may_name) = allowed.get(&room) else {
            wrong.push(format!("{}: src/README.md has no row for `{room}`", file.display()));
            continue;
        };
        for (line, named) in rooms_named(&read(&file)) {
            if named != room && allowed.contains_key(&named) && !may_name.contains(&named) {
                wrong.push(format!("{}:{line}: `{room}` may not name `{named}`", file.display()));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_file_opens_with_its_purpose() {
    let header_missing = |file: &PathBuf| {
        let text = read(file);
        // A stub of a line has nothing to explain.
        text.lines().count() > 1
            && !text.starts_with("//! ")
            && !text.starts_with("#![doc = include_str!(")
    };
    let mut wrong: Vec<_> = rust_files("src").into_iter().chain(rust_files("e2e")).collect();
    wrong.retain(|file| header_missing(file));
    assert_none(
        &wrong
            .iter()
            .map(|file| format!("{}: does not open with `//! `", file.display()))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn files_fit_in_one_sitting() {
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("e2e")) {
        let name = file.to_str().unwrap();
        let lines = read(&file).lines().count();
        let excused = LONG_FILES.iter().any(|(long, _)| *long == name);
        if lines > LINES_MAX && !excused {
            wrong.push(format!("{name}: {lines} lines, more than {LINES_MAX}: split it at a seam"));
        }
        if lines <= LINES_MAX && excused {
            wrong.push(format!("{name}: is short enough now: take it out of LONG_FILES"));
        }
    }
    for (long, _) in LONG_FILES {
        if !root().join(long).exists() {
            wrong.push(format!("{long}: is in LONG_FILES and does not exist"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_file_is_compiled() {
    let mut compiled = BTreeSet::new();
    for start in ["src/lib.rs", "src/main.rs"].map(PathBuf::from).into_iter().chain(targets()) {
        follow_modules(&start, &mut compiled);
    }
    let wrong: Vec<_> = ["src", "e2e", "benches", "examples"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| !compiled.contains(file))
        .map(|file| format!("{}: no `mod` declaration leads to it", file.display()))
        .collect();
    assert_none(&wrong);
}

#[test]
fn no_test_is_switched_off_and_nothing_is_unsafe() {
    // Written apart, so that this file does not find itself.
    let forbidden = [
        concat!("#[", "ignore"),
        concat!("unsafe", " {"),
        concat!("unsafe", " fn"),
        concat!("unsafe", " impl"),
    ];
    let mut wrong = Vec::new();
    for file in rust_files("src").into_iter().chain(rust_files("e2e")) {
        for (number, line) in read(&file).lines().enumerate() {
            for word in forbidden.iter().filter(|word| without_comment(line).contains(**word)) {
                wrong.push(format!("{}:{}: `{word}`", file.display(), number + 1));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let forbidden = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let mut wrong = Vec::new();
    for file in files("") {
        let text =
            String::from_utf8_lossy(&std::fs::read(root().join(&file)).unwrap()).into_owned();
        for (number, line) in text.lines().enumerate() {
            for place in forbidden {
                if line.match_indices(place).any(|(at, _)| starts_a_path(line, at)) {
                    wrong.push(format!("{}:{}: names `{place}`", file.display(), number + 1));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for file in files("").into_iter().filter(|file| file.extension().is_some_and(|e| e == "md")) {
        let folder = file.parent().unwrap().to_path_buf();
        for (line, link) in links(&read(&file)) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { folder.join(path) };
            if !root().join(&target).exists() {
                wrong.push(format!("{}:{line}: `{path}` does not exist", file.display()));
            } else if !anchor.is_empty() && !anchors(&read(&target)).contains(anchor) {
                wrong.push(format!("{}:{line}: `{link}` has no such heading", file.display()));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_checks_see_what_they_look_for() {
    let named = |text| rooms_named(text).into_iter().map(|(_, room)| room).collect::<Vec<_>>();
    assert_eq!(named("use crate::json::Node;"), ["json"]);
    assert_eq!(
        named("use crate::{cel::{self, Env}, json, policy::Request};"),
        ["cel", "json", "policy"]
    );
    assert_eq!(named("let x: crate::policy::Request; // crate::server"), ["policy"]);
    assert_eq!(module_declared("pub(crate) mod plan; // later"), Some("plan"));
    assert_eq!(module_declared("mod tests {"), None);
    assert_eq!(links("[a](b.md) [c](https://d) [e](#f)").len(), 2);
    assert!(anchors("## The way of a `request`!").contains("the-way-of-a-request"));
    let machine = concat!("see /wo", "rk/main");
    assert!(starts_a_path(machine, 4));
    assert!(!starts_a_path("a.b/wo", 3));
    let table = room_table();
    assert!(table["admission"].contains("json") && !table["json"].contains("cel"));
    assert!(!table["server"].contains("controller") && table["cli"].contains("server"));
}

// ---- rooms

/// `src/README.md`'s table: room -> the rooms it may name.
fn room_table() -> BTreeMap<String, BTreeSet<String>> {
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let text = read(Path::new("src/README.md"));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let everyone: BTreeSet<String> = rows.iter().flat_map(|row| quoted(row[1])).collect();
    for row in &rows {
        let (room, may_name) = (quoted(row[1]).remove(0), row[3]);
        let mut rooms: BTreeSet<String> = quoted(may_name).into_iter().collect();
        if may_name == "all" {
            rooms.clone_from(&everyone);
        } else if may_name.ends_with("and below") {
            for below in rooms.clone() {
                rooms.extend(table.get(&below).cloned().unwrap_or_default());
            }
        }
        table.insert(room, rooms);
    }
    assert!(table.len() > 5, "src/README.md: the room table could not be read");
    table
}

fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The room a file belongs to; `lib.rs` and `main.rs` belong to none.
fn room_of(file: &Path) -> Option<String> {
    let below_src = file.strip_prefix("src").ok()?;
    let first = below_src.components().next()?.as_os_str().to_str()?;
    match first {
        "lib.rs" | "main.rs" => None,
        first => Some(first.trim_end_matches(".rs").to_owned()),
    }
}

/// Every `crate::ROOM` and `crate::{ROOM, ROOM::..}` of a file, with its line.
fn rooms_named(text: &str) -> Vec<(usize, String)> {
    let code = text.lines().map(without_comment).collect::<Vec<_>>().join("\n");
    let mut named = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            named.extend(heads_of_group(group).into_iter().map(|head| (line, head)));
        } else {
            named.push((line, word(rest)));
        }
    }
    named
}

/// The first word of each item at the top level of `{a, b::{c, d}, e}`, without the opening brace.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut item) = (Vec::new(), 0, String::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(word(std::mem::take(&mut item).trim_start())),
            _ => item.push(c),
        }
    }
    heads.push(word(item.trim_start()));
    heads
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// A line up to its comment. (A `//` in a string is taken for one too, unless it belongs to a URL.)
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

// ---- modules

/// The roots of all test, bench and example targets that `Cargo.toml` names.
fn targets() -> Vec<PathBuf> {
    let manifest = read(Path::new("Cargo.toml"));
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \""));
    paths.map(|path| PathBuf::from(path.trim_end_matches('"'))).collect()
}

/// Adds a file and everything its `mod name;` lines lead to.
fn follow_modules(file: &Path, compiled: &mut BTreeSet<PathBuf>) {
    if !root().join(file).exists() || !compiled.insert(file.to_path_buf()) {
        return;
    }
    let folder = file.parent().unwrap();
    let is_root = targets().iter().any(|target| target == file);
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let inner = if is_root || ["mod", "lib", "main"].contains(&stem) {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    let mut explicit = None;
    for line in read(file).lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"") {
            explicit = path.strip_suffix("\"]").map(|path| folder.join(path));
        } else if let Some(name) = module_declared(line) {
            let candidates = match explicit.take() {
                Some(path) => vec![path],
                None => vec![inner.join(format!("{name}.rs")), inner.join(name).join("mod.rs")],
            };
            for candidate in &candidates {
                follow_modules(candidate, compiled);
            }
        }
    }
}

/// `name` of a line `mod name;`, `pub mod name;` or `pub(crate) mod name;`.
fn module_declared(line: &str) -> Option<&str> {
    let line = without_comment(line).trim().strip_suffix(';')?;
    let (visibility, name) = line.split_once("mod ")?;
    let visible = visibility.trim();
    (visible.is_empty() || visible == "pub" || visible.starts_with("pub(")).then_some(name)
}

// ---- documents

/// Every relative link of a Markdown text with its line; code blocks are passed over.
fn links(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut in_code) = (Vec::new(), false);
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let link = rest.split(')').next().unwrap();
            if !link.contains("://") && !link.starts_with("mailto:") {
                found.push((number + 1, link.to_owned()));
            }
        }
    }
    found
}

/// The anchors that a Markdown text's headings make, as GitHub spells them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// Whether an absolute path starts at `at`, and not the middle of a URL or of a longer word.
fn starts_a_path(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before.is_some_and(|c| c.is_alphanumeric() || "-_.}*/".contains(c))
}

// ---- files

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs")).collect()
}

/// All files of ours under a folder of the tree, relative to its root, in order.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root().join(&folder)) else { continue };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !NOT_OURS.iter().any(|skipped| name == *skipped) {
                folders.push(path);
            } else if kind.is_file() && name != ".git" {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
