//! Dialects of the rules' own (R47): tables of the same shape as the built-in ones.

mod replies;
mod whole;

use alloc::{
    borrow::{Cow, ToOwned},
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use self::{replies::replies, whole::check_whole};
use super::{
    commission::result,
    item::{Item, Table},
    names::Names,
    postback::{dedup, default_type_of, status},
    tree::Entry,
};
use crate::{
    currency::Currency,
    decode::NAME_LEN_MAX,
    dialects::{Dialect, Fixed, Meaning, NUMBER, Replies, Row, Source, Word, is_common},
    link::CLICK_MACROS,
    money::Amount,
    parameter::Parameter,
    reason::shown,
    ruleset::{Dedup, KeyKind, OnRepeat, StatusMeaning},
    token::DialectName,
};

/// The most dialects of the rules' own.
const DIALECTS_MAX: usize = 100;
/// The most names of one.
const NAMES_MAX: usize = 200;
/// The most words of the status, and of events.
const WORDS_MAX: usize = 1000;
/// The most bytes of a macro.
const MACRO_LEN_MAX: usize = 100;
/// The path of the native dialect.
const HANDLE: &str = "handle";

/// What names may mean.
const MEANT: [Parameter; 11] = [
    Parameter::Pcid,
    Parameter::AdvertiserId,
    Parameter::ExternalId,
    Parameter::CommissionId,
    Parameter::Type,
    Parameter::Value,
    Parameter::Commission,
    Parameter::Price,
    Parameter::Result,
    Parameter::Action,
    Parameter::Currency,
];
/// What else names may mean.
const KEPT: [(&str, Meaning); 4] = [
    ("kept", Meaning::Own),
    ("number", Meaning::OwnNumber),
    ("event", Meaning::Event),
    ("ignored", Meaning::Ignored),
];
/// What stands before the status word that a list of words means.
const LISTED: &str = "status:";

/// The built-in dialects, then those of the rules, in the order of the text.
pub(super) fn dialects(names: &Names<'_>) -> Vec<Arc<Dialect>> {
    let mut known = Dialect::built_in();
    let tables = &names.dialects.tables;
    if let Some((beyond, _)) = tables.get(DIALECTS_MAX) {
        let message = format!("there are more than {DIALECTS_MAX} dialects");
        beyond.item.error(message, "remove some");
    }
    for (table, id) in tables.iter().take(DIALECTS_MAX) {
        let made = dialect(table, id.as_ref(), names, &known);
        known.extend(made.map(Arc::new));
    }
    known
}

fn dialect(
    table: &Table<'_>,
    id: Option<&DialectName>,
    names: &Names<'_>,
    known: &[Arc<Dialect>],
) -> Option<Dialect> {
    let is_free = id.is_none_or(|id| check_id(table, id));
    let extends = table.get("extends");
    let base = extends.as_ref().map(|item| base(item, names, known));
    let system = table.get("system").map(|item| item.name());
    let own = rows(table);
    let statuses = words(table, "status", names);
    let events = words(table, "events", names);
    let fixed = fixed(table, names);
    let default_type = table.get("default_type").map(|item| default_type_of(&item, names));
    let (key, on_repeat) = table.get("dedup").map_or((None, None), |item| dedup(&item));
    let replies = table.get("answer").map(|item| replies(&item));
    let click_macros = table.get("click_macros").map(|item| click_macros(&item));
    let macros = macros(table);
    // A base that cannot be read would make mistakes of what is right.
    let base = match base {
        Some(base) => base?,
        None => Arc::new(bare()),
    };
    let name = id.map(ToString::to_string).unwrap_or_default();
    let dialect = Dialect {
        system: system.flatten().map_or_else(|| name.clone(), ToOwned::to_owned).into(),
        name: name.into(),
        rows: with_macros(macros, over(own, &base.rows)).into(),
        words: words_over(statuses, &base.words).into(),
        events: words_over(events, &base.events).into(),
        fixed: fixed_over(fixed, &base.fixed).into(),
        keeps_unmapped: base.keeps_unmapped,
        dedup: Dedup {
            key: key.unwrap_or(base.dedup.key),
            on_repeat: on_repeat.unwrap_or(base.dedup.on_repeat),
        },
        dedup_source: Source::Rules,
        default_type: default_type.flatten().or_else(|| base.default_type.clone()),
        replies: replies.flatten().unwrap_or_else(|| base.replies.clone()),
        replies_source: Source::Rules,
        always_200: base.always_200,
        click_macros: click_macros.map_or_else(|| base.click_macros.clone(), Cow::Owned),
    };
    check_whole(table, &dialect);
    id.filter(|_| is_free).map(|_| dialect)
}

/// What a dialect is that says nothing and extends nothing.
fn bare() -> Dialect {
    Dialect {
        name: Cow::Borrowed(""),
        system: Cow::Borrowed(""),
        rows: Cow::Borrowed(&[]),
        words: Cow::Borrowed(&[]),
        events: Cow::Borrowed(&[]),
        fixed: Cow::Borrowed(&[]),
        keeps_unmapped: true,
        dedup: Dedup { key: KeyKind::ClickExternal, on_repeat: OnRepeat::Refuse },
        dedup_source: Source::Rules,
        default_type: None,
        replies: Replies::Json,
        replies_source: Source::Rules,
        always_200: false,
        click_macros: Cow::Borrowed(&["pcid"]),
    }
}

/// Whether the id is nobody else's.
fn check_id(table: &Table<'_>, id: &DialectName) -> bool {
    let is_built_in = Dialect::named(id.as_str()).is_some();
    let is_taken = is_built_in || id.as_str() == HANDLE;
    if let (true, Some(item)) = (is_taken, table.get("id")) {
        if is_built_in {
            let hint = format!("choose another id, and say `extends = \"{id}\"`");
            item.error(format!("`{id}` is a built-in dialect"), hint);
        } else {
            item.error(format!("`{id}` is a path of its own"), "choose another id");
        }
    }
    !is_taken
}

fn base(item: &Item<'_>, names: &Names<'_>, known: &[Arc<Dialect>]) -> Option<Arc<Dialect>> {
    let name = item.text()?;
    let found = known.iter().find(|dialect| dialect.name == name).cloned();
    if found.is_some() {
        return found;
    }
    if names.dialects.known(name).is_some() {
        let message = format!("`{}` does not stand before this one, or has a mistake", shown(name));
        item.error(message, "a dialect extends one that comes earlier");
    } else {
        let message = format!("`{}` is no dialect", shown(name));
        item.unknown(message, name, known.iter().map(|dialect| &*dialect.name));
    }
    None
}

/// The names that it says itself, with what a partner is shown in place of values.
fn rows(table: &Table<'_>) -> Vec<Row> {
    let hint = "as in { cid = \"pcid\", payout = \"commission\" }";
    let item = table.get("names");
    let entries = item.and_then(|item| item.entries("a table of names", hint)).unwrap_or_default();
    let mut rows: Vec<Row> = Vec::new();
    for (place, (entry, item)) in entries.iter().enumerate() {
        if place == NAMES_MAX {
            item.key_error(format!("there are more than {NAMES_MAX} names"), "remove some");
            break;
        }
        let is_right = check_name(item, &entry.key);
        let Some(means) = meaning(item).filter(|_| is_right) else {
            continue;
        };
        let is_first = rows.iter().all(|row| row.means != means);
        let example = match &means {
            Meaning::Known(_) if is_first => format!("{{{}}}", entry.key),
            Meaning::Event if is_first && !entry.key.ends_with(NUMBER) => {
                format!("{{{}}}", entry.key)
            }
            _ => String::new(),
        };
        let (name, example) = (entry.key.clone().into(), example.into());
        rows.push(Row { name, means, example, source: Source::Rules });
    }
    rows
}

fn check_name(item: &Item<'_>, name: &str) -> bool {
    let stem = name.strip_suffix(NUMBER).unwrap_or(name);
    if stem.is_empty() || name.len() > NAME_LEN_MAX || stem.contains(['\0', NUMBER]) {
        let message = "no parameter can have this name";
        item.key_error(message, format!("1 to {NAME_LEN_MAX} bytes; a `#` at its end is a number"));
        return false;
    }
    if is_common(name) || Parameter::secret_named(name).is_some() {
        let message = format!("`{name}` means the same in every dialect");
        item.key_error(message, "leave it out");
        return false;
    }
    true
}

fn meaning(item: &Item<'_>) -> Option<Meaning> {
    let text = item.text()?;
    if let Some(word) = text.strip_prefix(LISTED) {
        if word.trim_ascii() != word || word.is_empty() {
            item.error("the status word is missing", "as in \"status:sale\"");
            return None;
        }
        return Some(Meaning::Listed(word.to_owned().into()));
    }
    let known = MEANT.into_iter().find(|parameter| parameter.name() == text);
    let kept = || KEPT.iter().find(|(name, _)| *name == text).map(|(_, means)| means.clone());
    let found = known.map(Meaning::Known).or_else(kept);
    if found.is_none() {
        let message = format!("`{}` is nothing that a name can mean", shown(text));
        let kept = KEPT.iter().map(|(name, _)| *name);
        item.unknown(message, text, MEANT.iter().map(|parameter| parameter.name()).chain(kept));
    }
    found
}

fn words(table: &Table<'_>, key: &str, names: &Names<'_>) -> Vec<Word> {
    let item = table.get(key);
    let words: BTreeMap<Box<str>, StatusMeaning> =
        item.as_ref().map(|item| status(item, names)).unwrap_or_default();
    if let (true, Some(item)) = (words.len() > WORDS_MAX, item) {
        item.error(format!("there are more than {WORDS_MAX} words"), "remove some");
    }
    let word = |(word, meaning): (Box<str>, StatusMeaning)| Word {
        word: String::from(word).into(),
        meaning,
        source: Source::Rules,
    };
    words.into_iter().map(word).collect()
}

/// What every request says.
fn fixed(table: &Table<'_>, names: &Names<'_>) -> Vec<Fixed> {
    const KEYS: [Parameter; 9] = [
        Parameter::AdvertiserId,
        Parameter::CommissionId,
        Parameter::Type,
        Parameter::Value,
        Parameter::Commission,
        Parameter::Price,
        Parameter::Result,
        Parameter::Action,
        Parameter::Currency,
    ];
    let keys = KEYS.map(Parameter::name);
    let Some(table) = table.get("fixed").and_then(|item| item.table(&keys, &[])) else {
        return Vec::new();
    };
    let given = |parameter: Parameter| {
        let item = table.get(parameter.name())?;
        let value = fixed_value(&item, parameter, names)?;
        Some(Fixed { parameter, value: value.into() })
    };
    KEYS.into_iter().filter_map(given).collect()
}

fn fixed_value(item: &Item<'_>, parameter: Parameter, names: &Names<'_>) -> Option<String> {
    Some(match parameter {
        Parameter::AdvertiserId => names.advertisers.find(item)?.to_string(),
        Parameter::CommissionId => names.commissions.find(item)?.to_string(),
        Parameter::Type => default_type_of(item, names)?.to_string(),
        Parameter::Result => result(item)?.to_string(),
        Parameter::Action => action(item)?.to_owned(),
        Parameter::Currency => item.parsed::<Currency>("currency")?.to_string(),
        _ => item.parsed::<Amount>("amount")?.to_string(),
    })
}

fn action(item: &Item<'_>) -> Option<&'static str> {
    item.word("action", &["create", "update"], |known| known)
}

/// What partners are shown in place of the value of a name, where that is right.
struct Macro<'t> {
    name: &'t str,
    item: Item<'t>,
    text: Option<&'t str>,
}

fn macros<'t>(table: &Table<'t>) -> Vec<Macro<'t>> {
    let hint = "as in { cid = \"{clickid}\" }";
    let item = table.get("macros");
    let entries = item.and_then(|item| item.entries("a table of macros", hint));
    let one = |(entry, item): (&'t Entry, Item<'t>)| {
        let text = macro_text(&item);
        Macro { name: &entry.key, item, text }
    };
    entries.unwrap_or_default().into_iter().map(one).collect()
}

fn macro_text<'t>(item: &Item<'t>) -> Option<&'t str> {
    let text = item.text()?;
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"&\"<>\\^`|".contains(&byte);
    if text.len() > MACRO_LEN_MAX || !text.bytes().all(is_allowed) {
        let message = format!("`{}` cannot stand in a URL as it is", shown(text));
        item.error(message, "write the macro of the partner, or nothing to leave the name out");
        return None;
    }
    Some(text)
}

/// Puts in what partners are shown in place of values, where the rules say so.
fn with_macros(macros: Vec<Macro<'_>>, mut rows: Vec<Row>) -> Vec<Row> {
    for Macro { name, item, text } in macros {
        let Some(row) = rows.iter_mut().find(|row| row.name == name) else {
            let message = format!("`{}` is no name of this dialect", shown(name));
            item.key_error(message, "add it to `names`");
            continue;
        };
        if let Some(text) = text {
            row.example = text.to_owned().into();
        }
    }
    rows
}

fn click_macros(item: &Item<'_>) -> Vec<&'static str> {
    let read = |item: &Item<'_>| {
        let found = item.word("macro of the click", &CLICK_MACROS, |known| known);
        found.into_iter().collect()
    };
    item.set(read).unwrap_or_default().into_iter().collect()
}

/// Own names, then those of the base that mean something else; its other names of a parameter that
/// has a name of its own here are understood still, but partners are not told of them.
fn over(own: Vec<Row>, base: &[Row]) -> Vec<Row> {
    let others = base.iter().filter(|row| own.iter().all(|known| known.name != row.name));
    let others = others.map(|row| match own.iter().any(|known| known.means == row.means) {
        true => Row { example: Cow::Borrowed(""), ..row.clone() },
        false => row.clone(),
    });
    let others: Vec<Row> = others.collect();
    own.into_iter().chain(others).collect()
}

fn words_over(own: Vec<Word>, base: &[Word]) -> Vec<Word> {
    let is_own = |word: &Word| own.iter().any(|known| known.word.eq_ignore_ascii_case(&word.word));
    let others: Vec<Word> = base.iter().filter(|word| !is_own(word)).cloned().collect();
    own.into_iter().chain(others).collect()
}

fn fixed_over(own: Vec<Fixed>, base: &[Fixed]) -> Vec<Fixed> {
    let is_own = |fixed: &Fixed| own.iter().any(|known| known.parameter == fixed.parameter);
    let others: Vec<Fixed> = base.iter().filter(|fixed| !is_own(fixed)).cloned().collect();
    own.into_iter().chain(others).collect()
}
