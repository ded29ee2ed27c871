//! The body of an outbound request: JSON as a structure, a form, or text of any kind.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use serde_json::value::RawValue;

use super::{
    item::{Item, Table},
    template::{Builder, Visibility, bounded_text, each, strict},
    tree::Value,
};
use crate::{
    pieces::{Pieces, Place, json_text},
    reason::shown,
    template::{Part, Template},
};

/// Macros that render a number, so that they may stand outside of the strings of raw JSON.
const NUMBERS: [&str; 5] = ["value", "revenue", "payout", "price", "sequence"];
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const JSON_TYPE: &str = "application/json";

/// Reads a body: its content type, and its pieces.
pub(super) fn body(item: &Item<'_>, visibility: Visibility) -> Option<(Box<str>, Pieces)> {
    let table = item.table(&["json", "form", "raw", "content_type"], &[])?;
    let kinds = ["json", "form", "raw"].into_iter();
    let given: Vec<(&str, Item<'_>)> =
        kinds.filter_map(|key| Some((key, table.get(key)?))).collect();
    let kind = content_type(&table, given.first().map(|(key, _)| *key));
    // What `raw` holds is told by the rules alone.
    let stated = kind.as_deref().filter(|_| table.get("content_type").is_some());
    let content = |(key, item): &(&str, Item<'_>)| content(key, item, stated, visibility);
    let mut contents: Vec<Option<Pieces>> = given.iter().map(content).collect();
    if contents.is_empty() && !table.has_unknown_keys() {
        item.error("the body is missing", "as in { json = { click = \"{pcid}\" } }");
    }
    if contents.len() > 1 {
        item.error("`json`, `form` and `raw` exclude each other", "keep one of them");
        return None;
    }
    let content = contents.pop()?;
    Some((kind?.into(), content?))
}

/// The content type: that of `key`, the key of the content, where the rules do not say.
fn content_type(table: &Table<'_>, key: Option<&str>) -> Option<String> {
    if let Some(item) = table.get("content_type") {
        return media_type(&item);
    }
    match key? {
        "json" => Some(JSON_TYPE.into()),
        "form" => Some(FORM_TYPE.into()),
        _ => {
            table.required("content_type", "content_type = \"text/xml\"");
            None
        }
    }
}

fn content(
    key: &str,
    item: &Item<'_>,
    kind: Option<&str>,
    visibility: Visibility,
) -> Option<Pieces> {
    let mut built = Builder::default();
    let right = match key {
        "json" => json(item, visibility, &mut built),
        "form" => form(item, visibility, &mut built),
        _ => raw(item, kind.unwrap_or_default(), visibility, &mut built),
    };
    right.map(|()| built.finish())
}

/// A media type, as it stands in a header: `type/subtype`, perhaps with parameters.
fn media_type(item: &Item<'_>) -> Option<String> {
    const LEN_MAX: usize = 200;
    let text = item.text()?;
    let essence = text.split(';').next().unwrap_or_default().trim_ascii();
    let is_word = |word: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b);
        !word.is_empty() && word.bytes().all(allowed)
    };
    let is_type = essence.split_once('/').is_some_and(|(a, b)| is_word(a) && is_word(b));
    let is_plain = text.len() <= LEN_MAX && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if !is_type || !is_plain {
        let message = format!("`{}` is no content type", shown(text));
        item.error(message, "for example \"text/xml; charset=utf-8\"");
        return None;
    }
    Some(text.into())
}

/// A structure, written as JSON; its strings may hold macros.
fn json(item: &Item<'_>, visibility: Visibility, built: &mut Builder) -> Option<()> {
    match item.value() {
        Value::Null => built.text("null"),
        Value::Flag(flag) => built.text(if *flag { "true" } else { "false" }),
        Value::Number(number) => return json_number(item, number, built),
        Value::Time(time) => {
            // TOML writes a space where JSON readers expect a T.
            built.text(&format!("\"{}\"", json_text(&time.replace(' ', "T"))));
        }
        Value::Text(_) => return json_string(item, visibility, built),
        Value::List(_) => return json_list(item, visibility, built),
        Value::Table(_) => return json_object(item, visibility, built),
    }
    Some(())
}

/// Numbers of TOML that JSON does not have: `inf`, `nan`, `+1.0`.
fn json_number(item: &Item<'_>, number: &str, built: &mut Builder) -> Option<()> {
    if serde_json::from_str::<&RawValue>(number).is_err() {
        let message = format!("`{}` is no number in JSON", shown(number));
        item.error(message, "write it as text, or in digits");
        return None;
    }
    built.text(number);
    Some(())
}

fn json_string(item: &Item<'_>, visibility: Visibility, built: &mut Builder) -> Option<()> {
    let template = strict(item)?;
    built.text("\"");
    each(&template, |part| match part {
        Part::Text(text) => {
            built.text(&json_text(text));
            Some(())
        }
        Part::Macro(name) => built.value(item, name, visibility, Place::Json),
    })?;
    built.text("\"");
    Some(())
}

fn json_list(item: &Item<'_>, visibility: Visibility, built: &mut Builder) -> Option<()> {
    let mut right = true;
    built.text("[");
    for (place, entry) in item.list()?.iter().enumerate() {
        built.text(if place == 0 { "" } else { "," });
        right &= json(entry, visibility, built).is_some();
    }
    built.text("]");
    right.then_some(())
}

fn json_object(item: &Item<'_>, visibility: Visibility, built: &mut Builder) -> Option<()> {
    let mut right = true;
    built.text("{");
    let entries = item.entries("a table", "")?;
    for (place, (entry, item)) in entries.iter().enumerate() {
        right &= literal_key(&entry.key, item).is_some();
        let comma = if place == 0 { "" } else { "," };
        built.text(&format!("{comma}\"{}\":", json_text(&entry.key)));
        right &= json(item, visibility, built).is_some();
    }
    built.text("}");
    right.then_some(())
}

fn literal_key(key: &str, item: &Item<'_>) -> Option<()> {
    if key.contains(['{', '}']) {
        item.key_error("a macro may not stand in a name", "use macros in values only");
        return None;
    }
    Some(())
}

/// Fields by name, form-encoded.
fn form(item: &Item<'_>, visibility: Visibility, built: &mut Builder) -> Option<()> {
    let mut right = true;
    let entries = item.entries("a table of fields", "as in { click = \"{pcid}\" }")?;
    for (place, (entry, item)) in entries.iter().enumerate() {
        right &= literal_key(&entry.key, item).is_some();
        let ampersand = if place == 0 { "" } else { "&" };
        built.text(&format!("{ampersand}{}=", Place::Form.encode(&entry.key)));
        let field = strict(item).and_then(|template| {
            each(&template, |part| match part {
                Part::Text(text) => {
                    built.text(&Place::Form.encode(text));
                    Some(())
                }
                Part::Macro(name) => built.value(item, name, visibility, Place::Form),
            })
        });
        right &= field.is_some();
    }
    right.then_some(())
}

/// Text as it stands; the content type says how values are encoded.
fn raw(item: &Item<'_>, kind: &str, visibility: Visibility, built: &mut Builder) -> Option<()> {
    let template = Template::parse_loosely(bounded_text(item)?);
    let essence = kind.split(';').next().unwrap_or_default().trim_ascii();
    let essence = essence.to_ascii_lowercase();
    if essence.ends_with("/json") || essence.ends_with("+json") {
        return raw_json(item, &template, visibility, built);
    }
    let place = match &*essence {
        FORM_TYPE => Place::Form,
        xml if xml.ends_with("/xml") || xml.ends_with("+xml") => Place::Xml,
        _ => Place::Raw,
    };
    built.template(item, &template, visibility, place)
}

/// Within a string a value is encoded for it. Outside of one only numbers are safe.
fn raw_json(
    item: &Item<'_>,
    template: &Template,
    visibility: Visibility,
    built: &mut Builder,
) -> Option<()> {
    let mut in_string = false;
    each(template, |part| match part {
        Part::Text(text) => {
            in_string = ends_in_string(text, in_string);
            built.text(text);
            Some(())
        }
        Part::Macro(name) if in_string || NUMBERS.contains(&&**name) => {
            built.value(item, name, visibility, Place::Json)
        }
        Part::Macro(name) => {
            let message = format!("`{{{name}}}` stands outside of a string");
            item.error(message, format!("put it in quotes: \"{{{name}}}\""));
            built.value(item, name, visibility, Place::Json).and(None)
        }
    })
}

/// Whether JSON is within a string after this text.
fn ends_in_string(text: &str, mut in_string: bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            _ => {}
        }
    }
    in_string
}
