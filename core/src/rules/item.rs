//! Reading one value, whatever it is about: each reader yields the value, or says what is wrong
//! and yields nothing.

use alloc::{
    borrow::ToOwned,
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{cell::RefCell, fmt, fmt::Display, ops::RangeInclusive, str::FromStr};

use super::{
    Issue, Severity,
    tree::{Entry, Node, Position, Value},
};
use crate::{
    currency::Currency,
    nearest::nearest,
    reason::shown,
    time::Timestamp,
    token::{SecretName, TokenError, is_token},
};

/// The most errors, and the most warnings, that are told of one file.
const ISSUES_MAX: usize = 1000;
/// The most known words that an unknown one is compared with.
const COMPARED_MAX: usize = 1000;
/// The most characters of a name for people.
const NAME_CHARS_MAX: usize = 200;

/// Everything that is wrong so far.
#[derive(Default)]
pub(super) struct Issues {
    errors: RefCell<Vec<Issue>>,
    warnings: RefCell<Vec<Issue>>,
}

impl Issues {
    pub(super) fn any_error(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Errors before warnings, each in the order of the text.
    pub(super) fn sorted(self) -> Vec<Issue> {
        let mut errors = self.errors.into_inner();
        let mut warnings = self.warnings.into_inner();
        errors.sort_by_key(|issue| issue.position);
        warnings.sort_by_key(|issue| issue.position);
        errors.append(&mut warnings);
        errors
    }

    fn is_full(&self) -> bool {
        self.errors.borrow().len() >= ISSUES_MAX
    }

    fn push(&self, issue: Issue) {
        let list = match issue.severity {
            Severity::Error => &self.errors,
            Severity::Warning => &self.warnings,
        };
        let mut issues = list.borrow_mut();
        if issues.len() < ISSUES_MAX {
            issues.push(issue);
        }
    }
}

/// A value with its place, and where its mistakes go.
#[derive(Clone)]
pub(super) struct Item<'t> {
    node: &'t Node,
    /// Where the key stands that it belongs to; entries of lists have none.
    key_position: Option<Position>,
    path: String,
    issues: &'t Issues,
}

/// A table whose keys are known.
#[derive(Clone)]
pub(super) struct Table<'t> {
    pub(super) item: Item<'t>,
    entries: &'t [Entry],
    unknown: Vec<&'t str>,
}

impl<'t> Item<'t> {
    /// The whole file.
    pub(super) fn root(node: &'t Node, issues: &'t Issues) -> Self {
        Self { node, key_position: None, path: String::new(), issues }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn value(&self) -> &'t Value {
        &self.node.value
    }

    /// Something is wrong here.
    pub(super) fn error(&self, message: impl Display, hint: impl Display) {
        self.tell(Severity::Error, self.node.position, message, hint);
    }

    /// Something is suspicious here.
    pub(super) fn warning(&self, message: impl Display, hint: impl Display) {
        self.tell(Severity::Warning, self.node.position, message, hint);
    }

    /// The key itself is wrong.
    pub(super) fn key_error(&self, message: impl Display, hint: impl Display) {
        self.tell(Severity::Error, self.key_position, message, hint);
    }

    /// The key is unknown; one of the known ones was perhaps meant.
    pub(super) fn unknown_key(&self, key: &str, known: &[&str]) {
        let message = format!("the key `{}` is unknown here", shown(key));
        // Whoever names a thing means its id, whatever else is spelt like it.
        let is_id = key.eq_ignore_ascii_case("name") && known.contains(&"id");
        let hint = if is_id { "did you mean `id`?".to_owned() } else { meant(key, known) };
        self.key_error(message, hint);
    }

    /// What stands here is unknown; one of the known words was perhaps meant.
    pub(super) fn unknown<'a>(
        &self,
        message: impl Display,
        word: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        if self.issues.is_full() {
            return;
        }
        let known: Vec<&str> = known.into_iter().take(COMPARED_MAX).collect();
        self.error(message, meant(word, &known));
    }

    fn tell(
        &self,
        severity: Severity,
        position: Option<Position>,
        message: impl Display,
        hint: impl Display,
    ) {
        let hint = hint.to_string();
        self.issues.push(Issue {
            severity,
            position,
            path: self.path.clone(),
            message: message.to_string(),
            hint: (!hint.is_empty()).then_some(hint),
        });
    }

    fn expected<T>(&self, what: &str, hint: impl Display) -> Option<T> {
        let message = format!("expected {what}, found {}", self.node.value.kind());
        match self.node.value {
            Value::Null => self.error(message, "leave the key out"),
            _ => self.error(message, hint),
        }
        None
    }

    /// Text of any kind.
    pub(super) fn text(&self) -> Option<&'t str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Number(number) => {
                self.expected("text", format!("put it in quotes: \"{}\"", shown(number)))
            }
            _ => self.expected("text", "put text in quotes"),
        }
    }

    /// Text, where it is that; nothing is said where it is not.
    pub(super) fn as_text(&self) -> Option<&'t str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text for people: something, on one line.
    pub(super) fn name(&self) -> Option<&'t str> {
        let text = self.text()?;
        let chars = text.chars().count();
        if text.trim().is_empty() || chars > NAME_CHARS_MAX || text.chars().any(char::is_control) {
            let hint = format!("1 to {NAME_CHARS_MAX} characters, without control characters");
            self.error(format!("`{}` is no name", shown(text)), hint);
            return None;
        }
        Some(text)
    }

    /// A token (R1).
    pub(super) fn token<T>(&self, make: fn(&str) -> Result<T, TokenError>) -> Option<T> {
        let text = self.text()?;
        let token = make(text).ok();
        if token.is_none() {
            let hint = "an id is 1 to 64 of the characters A-Z a-z 0-9 . _ -";
            self.error(format!("`{}` is no id", shown(text)), hint);
        }
        token
    }

    /// What is written as text with a grammar of its own: amounts, percentages, durations.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, what: &str) -> Option<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(format!("`{}` is no {what}", shown(text)), error);
                None
            }
        }
    }

    pub(super) fn currency(&self) -> Option<Currency> {
        self.parsed("currency")
    }

    /// One of a few words, in any case.
    pub(super) fn word<T: Copy>(
        &self,
        what: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text()?;
        let named = |one: &&T| name(**one).eq_ignore_ascii_case(text);
        let found = all.iter().find(named).copied();
        if found.is_none() {
            let message = format!("`{}` is no {what}", shown(text));
            self.unknown(message, text, all.iter().map(|one| name(*one)));
        }
        found
    }

    pub(super) fn flag(&self) -> Option<bool> {
        match self.node.value {
            Value::Flag(flag) => Some(flag),
            _ => self.expected("true or false", "write true or false, without quotes"),
        }
    }

    /// A whole number within a range.
    pub(super) fn whole(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let Value::Number(number) = &self.node.value else {
            return self.expected("a whole number", "write it without quotes");
        };
        let whole = number.parse().ok().filter(|whole| range.contains(whole));
        if whole.is_none() {
            let hint = format!("a whole number from {} to {}", range.start(), range.end());
            self.error(format!("`{}` is out of range", shown(number)), hint);
        }
        whole
    }

    /// A moment: a date and time of TOML, or text as in RFC 3339.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let text = match &self.node.value {
            Value::Time(time) => time,
            Value::Text(text) => text,
            _ => return self.expected("a time", "for example 2026-01-31T12:00:00Z"),
        };
        let time = text.parse().ok();
        if time.is_none() {
            let hint = "write date, time and offset, for example 2026-01-31T12:00:00Z";
            self.error(format!("`{}` is no moment", shown(text)), hint);
        }
        time
    }

    /// The name of a secret. What was written instead is never repeated: it may be the secret.
    pub(super) fn secret(&self) -> Option<SecretName> {
        let text = self.text()?;
        let name = text.strip_prefix("{secret:").and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = name else {
            let hint = "name it, as in `{secret:NAME}`, and keep its value in a file or a variable";
            self.error("secrets are never written in rules", hint);
            return None;
        };
        let secret = SecretName::new(name).ok();
        if secret.is_none() {
            let hint = "1 to 64 of the characters A-Z a-z 0-9 . _ -";
            self.error("this is no name of a secret", hint);
        }
        secret
    }

    pub(super) fn list(&self) -> Option<Vec<Item<'t>>> {
        let Value::List(nodes) = &self.node.value else {
            return self.expected("a list", "write it in square brackets");
        };
        let item = |(index, node): (usize, &'t Node)| Item {
            node,
            key_position: None,
            path: format!("{}[{index}]", self.path),
            issues: self.issues,
        };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    /// A list that narrows something down: not empty, nothing twice. `read` yields what one entry
    /// stands for.
    pub(super) fn set<T: Ord>(&self, read: impl Fn(&Item<'t>) -> Vec<T>) -> Option<BTreeSet<T>> {
        let items = self.list()?;
        if items.is_empty() {
            self.error("nothing can match an empty list", "leave the key out to match all");
            return None;
        }
        let mut set = BTreeSet::new();
        for item in &items {
            for value in read(item) {
                if !set.insert(value) {
                    item.warning("this is already in the list", "write it once");
                }
            }
        }
        Some(set)
    }

    /// A table, all of whose keys are known; those of `later` come with a later version.
    pub(super) fn table(&self, keys: &[&str], later: &[&str]) -> Option<Table<'t>> {
        let hint = "write it in braces, as in { key = \"...\" }";
        let mut unknown = Vec::new();
        for (entry, item) in self.entries("a table", hint)? {
            let key = entry.key.as_str();
            if keys.contains(&key) {
                continue;
            }
            if later.contains(&key) {
                let message = format!("`{key}` is not available in this version");
                item.key_error(message, "remove it");
            } else {
                item.unknown_key(key, keys);
                unknown.push(key);
            }
        }
        let Value::Table(entries) = &self.node.value else {
            return None;
        };
        let item = self.clone();
        Some(Table { item, entries, unknown })
    }

    /// The entries of a table, each key once; `what` says what is expected here, `hint` how it
    /// is written.
    pub(super) fn entries(&self, what: &str, hint: &str) -> Option<Vec<(&'t Entry, Item<'t>)>> {
        let Value::Table(entries) = &self.node.value else {
            return self.expected(what, hint);
        };
        let mut seen = BTreeSet::new();
        let mut children = Vec::with_capacity(entries.len());
        for entry in entries {
            let item = self.child(entry);
            if seen.insert(entry.key.as_str()) {
                children.push((entry, item));
            } else {
                item.key_error("the key stands here twice", "remove one of them");
            }
        }
        Some(children)
    }

    /// The entries of a table; nothing is said where it is none.
    pub(super) fn children(&self) -> Vec<(&'t Entry, Item<'t>)> {
        let Value::Table(entries) = &self.node.value else {
            return Vec::new();
        };
        entries.iter().map(|entry| (entry, self.child(entry))).collect()
    }

    fn child(&self, entry: &'t Entry) -> Item<'t> {
        let dot = if self.path.is_empty() { "" } else { "." };
        Item {
            node: &entry.node,
            key_position: entry.key_position,
            path: format!("{}{dot}{}", self.path, Key(&entry.key)),
            issues: self.issues,
        }
    }
}

impl<'t> Table<'t> {
    /// The value of a key, where there is one.
    pub(super) fn get(&self, key: &str) -> Option<Item<'t>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.item.child(entry))
    }

    /// The value of a key that must be there; `example` shows how it is written.
    pub(super) fn required(&self, key: &str, example: &str) -> Option<Item<'t>> {
        let item = self.get(key);
        if item.is_none() && !self.misspells(key) {
            let hint = format!("add it, as in `{example}`");
            self.item.error(format!("`{key}` is missing"), hint);
        }
        item
    }

    /// Whether an unknown key, of which that was told, probably means this one.
    fn misspells(&self, key: &str) -> bool {
        let mut unknown = self.unknown.iter();
        unknown.any(|word| nearest(word, [key]).is_some())
    }

    /// Whether some of the keys are unknown, of which that was told.
    pub(super) fn has_unknown_keys(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// The tables of a list of tables, as in `[[offer]]`.
    pub(super) fn tables(&self, key: &str) -> Vec<Item<'t>> {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        match &item.node.value {
            Value::List(_) => item.list().unwrap_or_default(),
            Value::Table(_) => {
                item.expected("a list of tables", format!("write `[[{key}]]`")).unwrap_or_default()
            }
            _ => item
                .expected("a list of tables", format!("begin each with `[[{key}]]`"))
                .unwrap_or_default(),
        }
    }

    pub(super) fn flag_or(&self, key: &str, default: bool) -> bool {
        let flag = self.get(key).and_then(|item| item.flag());
        flag.unwrap_or(default)
    }

    /// A condition: absent means all.
    pub(super) fn condition<T: Ord>(
        &self,
        key: &str,
        read: impl Fn(&Item<'t>) -> Option<T>,
    ) -> Option<BTreeSet<T>> {
        self.get(key)?.set(|item| read(item).into_iter().collect())
    }
}

/// A hint: the word that was perhaps meant, else all that are known, where they are few.
fn meant(word: &str, known: &[&str]) -> String {
    const LISTED_MAX: usize = 24;
    if let Some(near) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    match known {
        [] => "there is none".to_owned(),
        known if known.len() <= LISTED_MAX => {
            let quoted: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("known are {}", quoted.join(", "))
        }
        _ => "nothing that is known is spelt like it: look it up where it is defined".to_owned(),
    }
}

/// A key as a path shows it: in quotes where it is no bare word.
struct Key<'k>(&'k str);

impl Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_token(self.0) && !self.0.contains('.') {
            f.write_str(self.0)
        } else {
            write!(f, "\"{}\"", shown(self.0))
        }
    }
}
