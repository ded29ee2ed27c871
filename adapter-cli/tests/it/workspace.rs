//! Rules about the code itself: sizes, arrows between crates, attributes, names, cited rules.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_WIDTH_MAX: usize = 100;
/// The rules of the semantics are numbered from 1 to this.
const RULE_MAX: u32 = 52;

/// Which crates of the workspace a crate may use; tests of every crate may use the fixtures too.
const ARROWS: [(&str, &[&str]); 5] = [
    ("core", &[]),
    ("adapter-sqlite", &["counterfoil-core"]),
    ("adapter-http", &["counterfoil-core"]),
    (
        "adapter-cli",
        &["counterfoil-core", "counterfoil-fixtures", "counterfoil-http", "counterfoil-sqlite"],
    ),
    ("fixtures", &["counterfoil-core"]),
];

/// Words that say nothing about what a thing is.
const EMPTY_WORDS: [&str; 11] = [
    "manager",
    "managers",
    "service",
    "services",
    "helper",
    "helpers",
    "util",
    "utils",
    "processor",
    "data",
    "info",
];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the crate lies in the workspace").into()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All Rust files of the crates, with their text.
fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for (folder, _) in ARROWS {
        gather(&root().join(folder), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn gather(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            gather(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            found.insert(path, text);
        }
    }
}

fn assert_none(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}

#[test]
fn files_and_lines_are_short() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let place = path.display();
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            findings.push(format!("{place}: {lines} lines"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let width = line.chars().count();
            if width > LINE_WIDTH_MAX {
                findings.push(format!("{place}:{number}: {width} columns"));
            }
        }
    }
    assert_none("too long", findings);
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        for (line, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                findings.push(format!("{}:{line}: {length} lines", path.display()));
            }
        }
    }
    assert_none("functions that are too long", findings);
}

/// The line and the length of each function with a body of its own, in formatted code: it ends
/// with the first brace that stands as far in as it began.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        if !begins_function(line.trim_start()) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indent}}}");
        let signature_end = |line: &str| line.ends_with(['{', ';', '}']);
        let signature = lines[start..].iter().position(|line| signature_end(line));
        let opens = signature.filter(|lines_of_it| lines[start + lines_of_it].ends_with('{'));
        let Some(opens) = opens else { continue };
        let body = lines[start + opens..].iter().position(|line| *line == end);
        if let Some(body) = body {
            found.push((start + 1, opens + body + 1));
        }
    }
    found
}

fn begins_function(line: &str) -> bool {
    let before_fn = line.split("fn ").next().unwrap_or_default();
    let qualifier = |word: &str| {
        word.starts_with("pub") || matches!(word, "const" | "async" | "extern" | "\"C\"" | "in")
    };
    before_fn.len() < line.len() && before_fn.split_whitespace().all(qualifier)
}

#[test]
fn the_function_scanner_finds_functions() {
    let text = "impl X {\n    pub(crate) fn a(\n        x: u8,\n    ) -> u8 {\n        x\n    }\n\n\
                \x20   fn b();\n}\nconst fn c() {\n    {\n    }\n}\n";
    assert_eq!(functions(text), [(2, 5), (10, 4)]);
}

#[test]
fn arrows_point_inwards() {
    for (folder, allowed) in ARROWS {
        let text = read(&root().join(folder).join("Cargo.toml"));
        let manifest: toml::Table = text.parse().expect(folder);
        let ours = |section: &str| -> Vec<String> {
            let table = manifest.get(section).and_then(|found| found.as_table());
            let names = table.into_iter().flat_map(|table| table.keys().cloned());
            names.filter(|name| name.starts_with("counterfoil")).collect()
        };
        for name in ours("dependencies").iter().chain(&ours("build-dependencies")) {
            assert!(allowed.contains(&name.as_str()), "{folder} uses {name}");
        }
        for name in ours("dev-dependencies") {
            let allowed = allowed.contains(&name.as_str()) || name == "counterfoil-fixtures";
            assert!(allowed, "tests of {folder} use {name}");
        }
    }
}

#[test]
fn every_crate_forbids_unsafe_code_and_core_has_no_standard_library() {
    for (folder, _) in ARROWS {
        let roots = ["src/lib.rs", "src/main.rs"].map(|file| root().join(folder).join(file));
        for file in roots.iter().filter(|file| file.exists()) {
            let text = read(file);
            let place = file.display();
            assert!(text.contains("#![forbid(unsafe_code)]"), "{place}");
        }
    }
    assert!(read(&root().join("core/src/lib.rs")).contains("#![no_std]"));
}

#[test]
fn the_changelog_is_kept() {
    let text = read(&root().join("CHANGELOG.md"));
    assert!(text.starts_with("# Changelog"), "the title is missing");
    assert!(text.contains("keepachangelog.com"), "the form is not named");
    let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
    let version = |heading: &&str| heading.starts_with("## [");
    assert!(!headings.is_empty() && headings.iter().all(version), "{headings:?}");
    let newest = ["## [Unreleased]", "## [0.1.0]"];
    assert!(newest.iter().any(|form| headings[0].starts_with(form)), "{}", headings[0]);
    let kinds = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("### ") {
            assert!(kinds.contains(&kind), "`{kind}` is no kind of change");
        }
    }
}

#[test]
fn names_say_what_things_are() {
    let mut findings = Vec::new();
    for (path, text) in sources() {
        let in_core = path.starts_with(root().join("core"));
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for name in declared_names(&text).into_iter().chain([stem]) {
            let empty = |word: &String| {
                EMPTY_WORDS.contains(&word.as_str())
                    || in_core && matches!(word.as_str(), "handler" | "handlers")
            };
            if words(&name).iter().any(empty) {
                findings.push(format!("{}: `{name}`", path.display()));
            }
        }
    }
    assert_none("names of empty words", findings);
}

/// Names of items, variables, fields and parameters as they are declared.
fn declared_names(text: &str) -> Vec<String> {
    const KEYWORDS: [&str; 10] =
        ["fn", "struct", "enum", "trait", "mod", "type", "const", "static", "let", "mut"];
    let mut names = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("//") {
            continue;
        }
        let code = line.split(" //").next().unwrap_or_default();
        let tokens: Vec<&str> = code.split_whitespace().collect();
        for pair in tokens.windows(2) {
            if KEYWORDS.contains(&pair[0]) {
                names.push(identifier(pair[1]));
            }
        }
        // Fields and parameters: a name, then a colon that is no path's.
        let parts = code.split([' ', '(', '|', '{']);
        let typed = parts.filter_map(|part| part.strip_suffix(':'));
        names.extend(typed.filter(|name| !name.ends_with(':')).map(identifier));
    }
    names
}

fn identifier(text: &str) -> String {
    let part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    text.chars().take_while(part).collect()
}

/// The words of a name, in lower case: `TrackingApi` and `tracking_api` are both two.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && after_lower {
            words.push(String::new());
        }
        after_lower = c.is_lowercase();
        if let (Some(word), true) = (words.last_mut(), c != '_') {
            word.push(c.to_ascii_lowercase());
        }
    }
    words
}

#[test]
fn the_name_scanner_finds_names() {
    let fields = "pub struct Row {\n    pub(crate) row_id: u8,\n}\n";
    assert_eq!(declared_names(fields), ["Row", "row_id"]);
    assert_eq!(declared_names("let mut rows = 1; // fn no"), ["mut", "rows"]);
    assert_eq!(words("RowManager"), ["row", "manager"]);
    assert_eq!(words("row_data"), ["row", "data"]);
    assert_eq!(words("ID_MAX"), ["id", "max"]);
}

#[test]
fn cited_rules_exist() {
    let mut findings = Vec::new();
    let mut cited = 0;
    for (path, text) in sources() {
        for number in citations(&text) {
            cited += 1;
            if !(1..=RULE_MAX).contains(&number) {
                findings.push(format!("{}: R{number}", path.display()));
            }
        }
    }
    assert_none("rules that do not exist", findings);
    assert!(cited > 20, "the citations were not found");
}

/// The numbers of the rules that a text cites: an R and digits that stand alone.
fn citations(text: &str) -> Vec<u32> {
    let separated = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    separated.filter_map(|word| word.strip_prefix('R')?.parse().ok()).collect()
}
