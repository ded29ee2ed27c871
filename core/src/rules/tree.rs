//! The tree that a rules file is read from: TOML and JSON become the same [`Node`]s, and those of
//! TOML know where they stood. Nothing here knows what the rules mean.

use alloc::{
    borrow::{Cow, ToOwned},
    format,
    string::String,
    string::ToString,
    vec::Vec,
};
use core::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Issue, syntax};

/// Line and column, from 1.
pub(super) type Position = (u32, u32);

/// The most bytes of a rules file.
const TEXT_LEN_MAX: usize = 16 << 20;

/// A value, and where it stood.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where the value begins; unknown in JSON.
    pub(super) position: Option<Position>,
    /// What it is.
    pub(super) value: Value,
}

/// What a rules file can hold.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// JSON only.
    Null,
    Flag(bool),
    /// A number, as it was written where the parser tells.
    Number(String),
    Text(String),
    /// A date, a time of day or both; TOML only.
    Time(String),
    List(Vec<Node>),
    /// In the order of the text; in JSON a key may stand here more than once.
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_position: Option<Position>,
    pub(super) node: Node,
}

impl Value {
    /// What it is, for people.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Time(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Reads TOML; every mistake of syntax at once.
pub(super) fn from_toml(text: &str) -> Result<Node, Vec<Issue>> {
    check_len(text)?;
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    if errors.is_empty() {
        let position = None;
        let value = toml_table(table.into_inner(), &lines);
        return Ok(Node { position, value });
    }
    let issue = |error: &toml::de::Error| {
        let position = error.span().map(|span| lines.position(span.start));
        let place = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        syntax::in_toml(position, error.message(), place)
    };
    let mut issues: Vec<Issue> = errors.iter().map(issue).collect();
    issues.sort_by_key(|issue| issue.position);
    // What follows a mistake on its line is mostly its consequence.
    let line = |issue: &Issue| issue.position.map(|(line, _)| line);
    issues.dedup_by(|one, before| line(one).is_some() && line(one) == line(before));
    Err(issues)
}

/// Reads JSON; the parser stops at the first mistake of syntax.
pub(super) fn from_json(text: &str) -> Result<Node, Vec<Issue>> {
    check_len(text)?;
    serde_json::from_str(text).map_err(|error| {
        let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX).max(1);
        let position = (number(error.line()), number(error.column()));
        let message = error.to_string();
        // The position is told apart.
        let message = message.split(" at line ").next().unwrap_or_default();
        Vec::from([syntax::in_json(position, message)])
    })
}

fn check_len(text: &str) -> Result<(), Vec<Issue>> {
    if text.len() <= TEXT_LEN_MAX {
        return Ok(());
    }
    let message = format!("the text has more than {} MiB", TEXT_LEN_MAX >> 20);
    Err(Vec::from([syntax::issue(None, message, "split the programme, or remove what is old")]))
}

/// Where the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The last byte asked for and its column: places are asked for mostly in order, and a line
    /// may be as long as the text.
    last: Cell<(usize, usize)>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = core::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        let last = Cell::new((0, 1));
        Self { text, starts, last }
    }

    /// The position of a byte; columns count characters.
    fn position(&self, at: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        let (known, column) = match self.last.get() {
            (last, column) if (start..=at).contains(&last) => (last, column),
            _ => (start, 1),
        };
        let between = self.text.as_bytes().get(known..at).unwrap_or_default();
        // Bytes that continue a character begin with the bits 10.
        let chars = between.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        let column = column.saturating_add(chars);
        self.last.set((at, column));
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(line), number(column))
    }
}

fn toml_table(table: DeTable<'_>, lines: &Lines<'_>) -> Value {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)| Entry {
        key_position: Some(lines.position(key.span().start)),
        key: key.into_inner().into_owned(),
        node: toml_node(value, lines),
    };
    Value::Table(entries.into_iter().map(entry).collect())
}

fn toml_node(value: Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let position = Some(lines.position(value.span().start));
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => {
            let whole = i64::from_str_radix(number.as_str(), number.radix());
            Value::Number(whole.map_or_else(|_| number.to_string(), |whole| whole.to_string()))
        }
        DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| toml_node(item, lines)).collect())
        }
        DeValue::Table(table) => toml_table(table, lines),
    };
    Node { position, value }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = from.deserialize_any(ValueVisitor)?;
        Ok(Self { position: None, value })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    // Only ever shown in a message: no rule takes a number with a fraction.
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = from.next_entry()? {
            entries.push(Entry { key, key_position: None, node });
        }
        Ok(Value::Table(entries))
    }
}
