//! Every check: the table in `mistakes.txt`, and what does not fit in it.

use counterfoil_core::{Issue, Ruleset, RulesetSpec, Severity};

use super::{
    check, compare,
    table::{Section, cells, expected_behind, next_line, sections},
};

/// Right rules that each row adds a mistake to.
const RIGHT: &str = r#"
tenant = "acme"
currency = "EUR"
[[conversion_type]]
name = "deposit"
[[advertiser]]
id = "shoply"
[[affiliate]]
id = "bo"
group = "gold"
[[offer]]
id = "cz"
advertiser = "shoply"
url = "https://shoply.example/"
[[commission]]
id = "first"
type = "sale"
revenue = { fixed = "20" }
"#;

/// One mistake a row, each in a definition of its own.
fn compare_rows(definition: &str, path: &str, rows: &[&str]) {
    let before = format!("{RIGHT}{definition}");
    for row in rows {
        let [line, rest, column, message, hint] = cells(row)[..] else {
            panic!("five cells: {row}");
        };
        let path = format!("{path}{rest}");
        let at = Some((next_line(&before), column.parse().unwrap()));
        let text = format!("{before}{line}\n");
        let issues = check(&text).unwrap_err();
        compare(&text, Severity::Error, &issues, &[(&path, at, message, hint)]);
    }
}

/// All mistakes of one text, which stands behind `head`.
fn compare_text(head: &str, text: &str, rows: &[&str]) {
    let expected = expected_behind(head, rows);
    let text = format!("{head}{text}");
    let issues = check(&text).unwrap_err();
    compare(&text, Severity::Error, &issues, &expected);
    // What may be a secret is not repeated.
    assert!(!format!("{issues:?}").contains("hunter2"));
}

#[test]
fn each_mistake_is_told() {
    check(RIGHT).unwrap();
    let sections = sections(include_str!("mistakes.txt"));
    let rows = sections.iter().map(|section| section.rows.len());
    assert_eq!(rows.sum::<usize>(), 562);
    for Section { kind, path, text, rows } in &sections {
        match *kind {
            "at" => {
                check(&format!("{RIGHT}{text}")).unwrap();
                compare_rows(text, path, rows);
            }
            "into" => compare_rows(text, path, rows),
            "behind" => compare_text(RIGHT, text, rows),
            "alone" => compare_text("", text, rows),
            _ => panic!("no kind of section: {kind}"),
        }
    }
}

/// Whether the keys of two rows are one, or one lies within the other.
fn overlap(one: &str, other: &str) -> bool {
    let key = |row: &str| format!("{}.", row.split(" = ").next().unwrap());
    let (one, other) = (key(one), key(other));
    one.starts_with(&other) || other.starts_with(&one)
}

/// Rows in as few groups as they come to where no two of a group overlap.
fn groups<'t>(rows: &[&'t str]) -> Vec<Vec<&'t str>> {
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for row in rows {
        let free = groups.iter_mut().find(|group| !group.iter().any(|known| overlap(known, row)));
        match free {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// Many mistakes in one definition, that of its id among them.
fn compare_together(definition: &str, path: &str, rows: &[&str]) {
    let wrong = definition.replacen("id = \"", "id = \"?", 1);
    let lines = rows.iter().map(|row| format!("{}\n", cells(row)[0]));
    let text = format!("{RIGHT}{wrong}{}", lines.collect::<String>());
    let mut issues = check(&text).unwrap_err();
    issues.retain(|issue| issue.severity == Severity::Error);
    let id = (wrong != definition).then_some("x | .id | 0 | is no id | 1 to 64");
    for row in id.iter().chain(rows) {
        let [_, rest, _, message, hint] = cells(row)[..] else {
            panic!("five cells: {row}");
        };
        let path = format!("{path}{rest}");
        let found = issues.iter().position(|issue| {
            let given = issue.hint.as_deref().unwrap_or_default();
            issue.path == path && issue.message.contains(message) && given.contains(hint)
        });
        let Some(found) = found else {
            panic!("{text}\nnot told: {row}\n{}", shown(&issues));
        };
        issues.remove(found);
    }
    assert!(issues.is_empty(), "{text}\ntold beside them: {}", shown(&issues));
}

fn shown(issues: &[Issue]) -> String {
    issues.iter().map(|issue| format!("{issue}\n")).collect()
}

/// No reader stops at a mistake: each is told in the company of others as it is told alone.
#[test]
fn mistakes_of_one_definition_are_told_together() {
    for Section { kind, path, text, rows } in &sections(include_str!("mistakes.txt")) {
        if matches!(*kind, "at" | "into") {
            groups(rows).iter().for_each(|rows| compare_together(text, path, rows));
        }
    }
}

#[test]
fn urls_are_bounded() {
    let offer = "[[offer]]\nid = \"x\"\nadvertiser = \"shoply\"\nurl = \"https://a/";
    let of_len = |len: usize| format!("{RIGHT}{offer}{}\"", "x".repeat(len - "https://a/".len()));
    check(&of_len(2048)).unwrap();
    let issues = check(&of_len(2049)).unwrap_err();
    let at = Some((next_line(RIGHT) + 3, 7));
    let expected = [("offer[1].url", at, "more than 2048 bytes", "shorten it")];
    compare("", Severity::Error, &issues, &expected);
}

#[test]
fn where_many_are_known_a_hint_names_none() {
    let one = |n| format!("[[advertiser]]\nid = \"shop-{n}\"\n");
    let many: String = (0..30).map(one).collect();
    let text = format!("{many}[[postback]]\nid = \"x\"\nadvertisers = [\"alza\"]\n");
    let at = Some((next_line(RIGHT) + 62, 16));
    let expected = [("postback[0].advertisers[0]", at, "no advertiser", "look it up")];
    compare("", Severity::Error, &check(&format!("{RIGHT}{text}")).unwrap_err(), &expected);
}

#[test]
fn what_an_answer_sets_is_bounded() {
    let head = "[[tracking_api]]\nid = \"x\"\nrequest.url = \"https://a/\"\n";
    let of = |count: usize| {
        let set = (0..count).map(|n| format!("set.\"param.p{n}\".path = \"/p\"\n"));
        format!("{RIGHT}{head}{}", set.collect::<String>())
    };
    check(&of(50)).unwrap();
    let issues = check(&of(51)).unwrap_err();
    let at = Some((next_line(RIGHT) + 3, 1));
    let expected = [("tracking_api[0].set", at, "more than 50 parameters", "remove some")];
    compare("", Severity::Error, &issues, &expected);
}

#[test]
fn columns_count_characters() {
    let text =
        "tenant = \"a\"\ncurrency = \"EUR\"\nadvertiser = [{ name = \"žž\", id = \"ž\" }]\r\n";
    let expected = [("advertiser[0].id", Some((3, 35)), "`ž` is no id", "1 to 64")];
    compare(text, Severity::Error, &check(text).unwrap_err(), &expected);
}

#[test]
fn syntax_of_toml() {
    for (text, column, message, hint) in [
        ("a = acme", 5, "must be quoted", "in double quotes"),
        ("a = [1 2]", 6, "must be quoted", "a comma between values"),
        ("a = \"acme", 10, "invalid basic string", "a double quote on its line"),
        ("a = 'acme", 10, "invalid literal string", "single quotes"),
        ("a = \"\"\"x", 9, "invalid multi-line", "three quotes"),
        ("a = \"\\q\"", 7, "missing escaped value", "single quotes"),
        ("a = True", 5, "invalid boolean", "in small letters"),
        ("a = null", 5, "invalid float", "in double quotes"),
        ("a = 01", 5, "leading zero", "without a zero"),
        ("a = 1,5", 6, "unexpected key or value", "text in double quotes"),
        ("a = 2026-13-01", 5, "invalid date", "2026-01-31"),
        ("a = [1, 2", 10, "unclosed array", "with ]"),
        ("a = [1,,2]", 8, "extra comma", "remove"),
        ("a = {b = 1", 11, "unclosed inline table", "with }"),
        ("a = {b 1}", 8, "missing assignment", "key = value"),
        ("a", 2, "key with no value", "key = value"),
        ("a: 1", 2, "invalid unquoted key", "A-Z a-z 0-9 _ -"),
        ("= 1", 1, "cannot be empty", "a key is missing"),
        ("{\"a\": 1}", 1, "invalid key-value pair", "*.json"),
        ("[a", 3, "unclosed table", "[privacy]"),
        ("[[a]", 5, "unclosed array table", "[[offer]]"),
        ("a = {b = 1, b = 2}", 13, "duplicate key `b`", "remove one of them"),
        ("# \u{1}", 3, "invalid comment character", "key = value"),
    ] {
        let expected = [("", Some((1, column)), message, hint)];
        compare(text, Severity::Error, &check(text).unwrap_err(), &expected);
    }
    let text = "a = [\"x\"\nb = 1";
    let expected = [("", Some((2, 1)), "missing comma", "close the list")];
    compare(text, Severity::Error, &check(text).unwrap_err(), &expected);
}

#[test]
fn in_json() {
    let head = "\"tenant\": \"a\", \"currency\": \"EUR\"";
    for (text, expected) in [
        ("{".to_owned(), ("", Some((1, 1)), "EOF while parsing an object", "with }")),
        ("[".to_owned(), ("", Some((1, 1)), "EOF while parsing a list", "with ]")),
        ("".to_owned(), ("", Some((1, 1)), "EOF while parsing a value", "write one")),
        ("{}\nx".to_owned(), ("", Some((2, 1)), "trailing characters", "the last }")),
        ("{\"a\" 1}".to_owned(), ("", Some((1, 6)), "expected `:`", "\"key\": value")),
        ("[1 2]".to_owned(), ("", Some((1, 4)), "expected `,` or `]`", "a comma")),
        ("[1,]".to_owned(), ("", Some((1, 4)), "trailing comma", "remove")),
        ("{a: 1}".to_owned(), ("", Some((1, 2)), "key must be a string", "double quotes")),
        ("{\"a\": x}".to_owned(), ("", Some((1, 7)), "expected value", "double quotes")),
        ("[\"\\q\"]".to_owned(), ("", Some((1, 4)), "invalid escape", "\\\\")),
        ("[\"a\nb\"]".to_owned(), ("", Some((2, 1)), "control character", "\\n")),
        ("[01]".to_owned(), ("", Some((1, 3)), "invalid number", "without a zero")),
        ("[]".to_owned(), ("", None, "expected a table, found a list", "braces")),
        (
            format!("{{{head}, \"tenant\": \"b\"}}"),
            ("tenant", None, "the key stands here twice", "remove one"),
        ),
        (
            format!("{{{head}, \"advertiser\": [{{\"id\": \"a\", \"id\": \"b\"}}]}}"),
            ("advertiser[0].id", None, "the key stands here twice", "remove one"),
        ),
        (
            format!("{{{head}, \"advertiser\": null}}"),
            ("advertiser", None, "expected a list of tables, found null", "leave the key out"),
        ),
        (
            format!("{{{head}, \"advertiser\": [{{\"id\": 1.5}}]}}"),
            ("advertiser[0].id", None, "found a number", "\"1.5\""),
        ),
    ] {
        let issues = RulesetSpec::from_json(&text).and_then(Ruleset::check).unwrap_err();
        compare(&text, Severity::Error, &issues, &[expected]);
    }
}
