//! Mistakes of syntax: what the parsers say, with a hint for each.

use alloc::{borrow::ToOwned, format, string::String};

use super::{Issue, Severity, tree::Position};
use crate::reason::shown;

/// How the parser of TOML says that a key stands in a table twice. It does not say which.
const DUPLICATE: &str = "duplicate key";

/// Hints by how a message of the TOML parser begins; the first that fits counts.
const OF_TOML: [(&str, &str); 26] = [
    (
        DUPLICATE,
        "remove one of them; a further definition begins with its name in two brackets, as in \
         [[offer]]",
    ),
    ("string values must be quoted", QUOTES),
    ("invalid float", QUOTES),
    ("invalid boolean", "write true or false, in small letters; text stands in double quotes"),
    (
        "invalid basic string",
        "text ends with a double quote on its line; one within the text is written \\\"",
    ),
    ("missing escaped value", "write \\\\ for a backslash, or put the text in single quotes"),
    (
        "invalid literal string",
        "text in single quotes ends with one on its line; a table holds { key = value }",
    ),
    ("invalid multi-line", "end the text with three quotes"),
    ("unclosed array table", "a definition has two brackets on both sides, as in [[offer]]"),
    ("unclosed table", "close it on its line, as in [privacy]"),
    ("unclosed array", "close the list with ]"),
    ("unclosed inline table", "close the table with }"),
    ("missing comma", "put a comma between the entries, or close the list or table before"),
    ("extra comma", "remove the comma"),
    ("key with no value", ENTRY),
    ("missing assignment", ENTRY),
    ("extra `=`", ENTRY),
    ("invalid key-value pair", "write key = value; JSON is read from files named *.json"),
    ("unexpected key or value", "begin a new line, and put text in double quotes"),
    ("unquoted keys cannot be empty", "a key is missing: write key = value"),
    (
        "invalid unquoted key",
        "write key = value; a key with others than A-Z a-z 0-9 _ - stands in double quotes",
    ),
    ("cannot extend", "write all keys of the table in one place, in braces or with dots"),
    ("cannot recurse", "put fewer lists and tables into each other"),
    ("invalid date", "as in 2026-01-31T12:00:00Z"),
    ("invalid time", "as in 2026-01-31T12:00:00Z"),
    ("unexpected leading zero", NUMBER),
];
const QUOTES: &str = "put text in double quotes, as in \"acme\", and a comma between values";
const ENTRY: &str = "write key = value, as in currency = \"EUR\"";
const NUMBER: &str = "write a number without a zero before it, or text in double quotes";
/// The hint for everything else in TOML.
const TOML: &str = "write key = value, text in double quotes, lists in [ ], tables in { }";

/// Hints by how a message of the JSON parser begins.
const OF_JSON: [(&str, &str); 17] = [
    ("EOF while parsing an object", "close it with }"),
    ("EOF while parsing a list", "close it with ]"),
    ("EOF while parsing a string", "end the text with a double quote"),
    ("EOF while parsing a value", "write one, and close what is open"),
    ("expected `:`", "write \"key\": value"),
    ("expected `,`", "put a comma between the entries, or close the list or object"),
    ("trailing comma", "remove the comma before the closing bracket"),
    ("trailing characters", "nothing follows the last }"),
    ("key must be a string", "put the key in double quotes"),
    ("expected value", VALUE),
    ("expected ident", VALUE),
    ("invalid escape", "write \\\\ for a backslash"),
    ("unexpected end of hex escape", "write \\\\ for a backslash"),
    ("control character", "write \\n for a new line, and end text with a double quote"),
    ("invalid number", NUMBER),
    ("number out of range", "write amounts as text, in double quotes"),
    ("recursion limit exceeded", "put fewer lists and objects into each other"),
];
const VALUE: &str = "a value is text in double quotes, a number, true, false, a list or an object";
/// The hint for everything else in JSON.
const JSON: &str = "JSON has keys and text in double quotes, and no comments";

/// A mistake in TOML; `place` is the text that the parser means.
pub(super) fn in_toml(position: Option<Position>, message: &str, place: &str) -> Issue {
    let hint = hint(message, &OF_TOML).unwrap_or(TOML);
    let message = match message {
        DUPLICATE => format!("{DUPLICATE} `{}`", shown(place)),
        _ => message.to_owned(),
    };
    issue(position, message, hint)
}

/// A mistake in JSON.
pub(super) fn in_json(position: Position, message: &str) -> Issue {
    issue(Some(position), message.to_owned(), hint(message, &OF_JSON).unwrap_or(JSON))
}

/// A mistake of the text as a whole.
pub(super) fn issue(position: Option<Position>, message: String, hint: &str) -> Issue {
    Issue {
        severity: Severity::Error,
        position,
        path: String::new(),
        message,
        hint: Some(hint.to_owned()),
    }
}

fn hint(message: &str, hints: &[(&str, &'static str)]) -> Option<&'static str> {
    let found = hints.iter().find(|(beginning, _)| message.starts_with(beginning));
    found.map(|(_, hint)| *hint)
}
