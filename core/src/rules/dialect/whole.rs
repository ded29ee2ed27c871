//! What is wrong or suspicious about a dialect as a whole, its base included.

use alloc::{format, vec::Vec};

use super::LISTED;
use crate::{
    dialects::{Dialect, Meaning},
    parameter::Parameter,
    reason::shown,
    rules::item::{Item, Table},
    transaction::TransactionResult,
};

/// What only the whole table shows.
pub(super) fn check_whole(table: &Table<'_>, dialect: &Dialect) {
    if dialect.name_of(Parameter::Pcid).is_none() && !table.has_unknown_keys() {
        let message = "no name means `pcid`, so no request could say which click it is about";
        table.item.error(message, "as in names = { clickid = \"pcid\" }");
    }
    check_listed(table, dialect);
    check_fixed(table, dialect);
    warn_about_words(table, dialect);
    warn_about_type(table, dialect);
}

/// Each list of words means a word that is known.
fn check_listed(table: &Table<'_>, dialect: &Dialect) {
    for (entry, item) in named(table) {
        let Some(word) = item.as_text().and_then(|text| text.strip_prefix(LISTED)) else {
            continue;
        };
        let is_known = dialect.status(word).is_some() || TransactionResult::named(word).is_some();
        if !is_known && !word.is_empty() && word.trim_ascii() == word {
            let message =
                format!("`{}` lists words for `{}`, which means nothing", entry, shown(word));
            item.error(
                message,
                format!("add it to `status`, as in {{ {word} = {{ type = \"sale\" }} }}"),
            );
        }
    }
}

fn named<'t>(table: &Table<'t>) -> Vec<(&'t str, Item<'t>)> {
    let Some(item) = table.get("names") else {
        return Vec::new();
    };
    item.children().into_iter().map(|(entry, item)| (entry.key.as_str(), item)).collect()
}

fn check_fixed(table: &Table<'_>, dialect: &Dialect) {
    for fixed in dialect.fixed.iter() {
        let Some(name) = dialect.name_of(fixed.parameter) else {
            continue;
        };
        let what = fixed.parameter.name();
        let own = table.get("fixed").and_then(|item| {
            let mut entries = item.children().into_iter();
            entries.find(|(entry, _)| entry.key == what).map(|(_, item)| item)
        });
        let item = own.unwrap_or_else(|| table.item.clone());
        let message = format!("`{what}` is fixed, but requests say it as `{name}`");
        item.error(message, format!("leave it out, or say names = {{ {name} = \"kept\" }}"));
    }
}

fn warn_about_words(table: &Table<'_>, dialect: &Dialect) {
    if let (Some(item), None) = (table.get("status"), dialect.name_of(Parameter::Result)) {
        item.warning("no name means `result`, so nothing brings these words", "name it in `names`");
    }
    let has_event = dialect.rows.iter().any(|row| row.means == Meaning::Event);
    if let (Some(item), false) = (table.get("events"), has_event) {
        let hint = "as in names = { goal = \"event\" }";
        item.warning("no name means `event`, so nothing brings these words", hint);
    }
    if has_event && dialect.events.is_empty() && table.get("events").is_none() {
        let hint = "as in events = { 2 = { type = \"lead\" } }";
        table.item.warning("no word of its events means anything", hint);
    }
}

fn warn_about_type(table: &Table<'_>, dialect: &Dialect) {
    if !dialect.fixed.iter().any(|fixed| fixed.parameter == Parameter::Type) {
        return;
    }
    let message = "the type is fixed, so this one never counts";
    if let Some(item) = table.get("default_type") {
        item.warning(message, "remove it");
    }
    for key in ["status", "events"] {
        let words = table.get(key).map(|item| item.children()).unwrap_or_default();
        for (_, item) in words {
            let mut parts = item.children().into_iter();
            if let Some((_, item)) = parts.find(|(entry, _)| entry.key == "type") {
                item.warning(message, "remove it, or fix no type");
            }
        }
    }
}
