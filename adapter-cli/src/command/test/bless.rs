//! `counterfoil test --bless`: what happens becomes what is expected. Only what a scenario names
//! already is rewritten; comments and layout of the file stay.

use std::fs;

use counterfoil_fixtures::{Difference, Loaded, Played, Seen, WorldEngine, compare, play};
use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, TableLike, Value, value};

use crate::failure::Failure;

/// Rewrites the expectations of a file; says how many were wrong.
///
/// # Errors
/// Where a step cannot be made, or the file cannot be written.
pub(super) fn bless(file: &Loaded) -> Result<usize, Failure> {
    let mut document: DocumentMut = file.text.parse().map_err(Failure::could_not)?;
    let mut rewritten = 0;
    for (number, playable) in file.scenarios.iter().enumerate() {
        let Played { steps, broken } = play(playable, &mut WorldEngine::new());
        if let Some(error) = broken {
            let (title, step) = (&playable.scenario.title, steps.len() + 1);
            let what = format_args!("`{title}` cannot be played: step {step}: {error}");
            return Err(Failure::could_not(what).hint("correct the step, then bless again"));
        }
        for (place, (step, seen)) in playable.scenario.step.iter().zip(&steps).enumerate() {
            let differences = compare(step, seen);
            if differences.is_empty() {
                continue;
            }
            let table = step_of(&mut document, number, place).ok_or_else(|| {
                Failure::could_not(format_args!(
                    "cannot find the steps in `{}`",
                    file.path.display()
                ))
            })?;
            rewrite(table, &differences, seen);
            rewritten += differences.len();
        }
    }
    if rewritten > 0 {
        fs::write(&file.path, document.to_string())
            .map_err(|error| Failure::file("write", &file.path, &error))?;
    }
    Ok(rewritten)
}

/// The table of a step in the text.
fn step_of(document: &mut DocumentMut, scenario: usize, step: usize) -> Option<&mut dyn TableLike> {
    let scenario = nth(document.get_mut("scenario")?, scenario)?;
    nth(scenario.get_mut("step")?, step)
}

/// The table at a place of a list, however the list is written.
fn nth(item: &mut Item, place: usize) -> Option<&mut dyn TableLike> {
    match item {
        Item::ArrayOfTables(tables) => tables.get_mut(place).map(|table| table as _),
        Item::Value(Value::Array(array)) => {
            let table = array.get_mut(place)?.as_inline_table_mut();
            table.map(|table| table as _)
        }
        _ => None,
    }
}

fn rewrite(step: &mut dyn TableLike, differences: &[Difference], seen: &Seen) {
    if step.get("expect").is_none() {
        // A step that expects nothing must not be refused; this one was.
        let mut refused = InlineTable::new();
        refused.insert("outcome", "refused".into());
        step.insert("expect", value(refused));
    }
    let Some(expect) = step.get_mut("expect").and_then(Item::as_table_like_mut) else {
        return;
    };
    for difference in differences {
        let path = difference.path.as_str();
        if path.starts_with("transactions (") {
            expect.insert("transactions", value(transactions(seen)));
        } else {
            set(expect, path, &difference.seen);
        }
    }
}

/// Sets the text at a path such as `value`, `params.sub`, `originals.value.rate` or
/// `transactions[0].revenue`.
fn set(table: &mut dyn TableLike, path: &str, text: &str) {
    let split = match path.split_once('.') {
        // The rest is one name, whatever it holds.
        Some((first @ ("affs" | "params"), rest)) => Some((first, rest)),
        split => split,
    };
    let Some((first, rest)) = split.filter(|(first, _)| !first.is_empty()) else {
        return put(table, path, text);
    };
    let inner = match first.strip_suffix(']').and_then(|list| list.split_once('[')) {
        Some((list, place)) => {
            let list = table.get_mut(list);
            list.zip(place.parse().ok()).and_then(|(list, place)| nth(list, place))
        }
        None => table.get_mut(first).and_then(Item::as_table_like_mut),
    };
    match (inner, first) {
        (Some(inner), "affs" | "params") => put(inner, rest, text),
        (Some(inner), _) => set(inner, rest, text),
        (None, _) => {}
    }
}

/// Puts a text in the place of a value, in the form that the value has.
fn put(table: &mut dyn TableLike, name: &str, text: &str) {
    let old = table.get(name).and_then(Item::as_value);
    let mut new = match (old, text.parse::<i64>()) {
        (Some(Value::Array(_)), _) => Value::Array(texts(text)),
        (Some(Value::Integer(_)), Ok(number)) => Value::from(number),
        _ => Value::from(text),
    };
    if let Some(old) = old {
        *new.decor_mut() = old.decor().clone();
    }
    // The key of a value that is there keeps its comment.
    match table.get_mut(name) {
        Some(item) => *item = Item::Value(new),
        None => drop(table.insert(name, Item::Value(new))),
    }
}

/// A list of codes, as a difference joins them.
fn texts(joined: &str) -> Array {
    joined.split(", ").filter(|text| !text.is_empty()).collect()
}

/// The transactions that were seen, by what is most often asked of them.
fn transactions(seen: &Seen) -> Array {
    let rows = seen.row.as_ref().and_then(|row| row.get("transactions"));
    let rows = rows.and_then(Json::as_array);
    let table = |row: &Json| {
        let mut table = InlineTable::new();
        for name in ["commission_id", "result", "revenue", "payout"] {
            if let Some(text) = row.get(name).and_then(Json::as_str) {
                table.insert(name, text.into());
            }
        }
        Value::from(table)
    };
    rows.into_iter().flatten().map(table).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_set_in_their_own_form_and_the_rest_stays() {
        let text = "\
# kept
revision = 1 # kept too
notes = [\"a\"]
params = { \"x.y\" = \"1\" }
transactions = [{ result = \"pending\" }]
[[tables]]
payout = \"1\"
";
        let mut document: DocumentMut = text.parse().unwrap();
        for (path, seen) in [
            ("revision", "2"),
            ("notes", "b, c"),
            ("params.x.y", "3"),
            ("transactions[0].result", "approved"),
            ("tables[0].payout", "2.00"),
        ] {
            set(document.as_table_mut(), path, seen);
        }
        let expected = "\
# kept
revision = 2 # kept too
notes = [\"b\", \"c\"]
params = { \"x.y\" = \"3\" }
transactions = [{ result = \"approved\" }]
[[tables]]
payout = \"2.00\"
";
        assert_eq!(document.to_string(), expected);
    }
}
