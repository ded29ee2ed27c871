//! Inbound postback definitions (R13, R19, R47 to R50).

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use super::{
    auth::authentication,
    call::{CALL_KEYS, call},
    commission::{result, source},
    item::{Item, Table},
    names::Names,
    template::Visibility,
};
use crate::{
    conversion::ConversionType,
    currency::Currency,
    decode::VALUE_LEN_MAX,
    dialects::Dialect,
    money::Amount,
    reason::shown,
    ruleset::{
        AnswerStyle, BUILT_IN_POSTBACK, KeyKind, Limits, OnRepeat, OwnDefaults, PostbackConditions,
        PostbackDefinition, StatusMeaning,
    },
    token::PostbackId,
    tracking_api::Call,
    transaction::TransactionResult,
};

/// The most steps of a definition.
const STEPS_MAX: usize = 16;

/// The definitions, in the order of the text.
pub(super) fn postbacks(names: &Names<'_>, dialects: &[Arc<Dialect>]) -> Vec<PostbackDefinition> {
    let postback = |(table, id): &(Table<'_>, Option<PostbackId>)| {
        postback(table, id.clone(), names, dialects)
    };
    names.postbacks.tables.iter().filter_map(postback).collect()
}

fn postback(
    table: &Table<'_>,
    id: Option<PostbackId>,
    names: &Names<'_>,
    dialects: &[Arc<Dialect>],
) -> Option<PostbackDefinition> {
    check_id(table, id.as_ref());
    let conditions = PostbackConditions {
        sources: table.condition("sources", source),
        types: table.get("types").and_then(|item| item.set(|item| names.types(item))),
        affiliates: table.condition("affiliates", |item| names.affiliates.find(item)),
        advertisers: table.condition("advertisers", |item| names.advertisers.find(item)),
        offers: table.condition("offers", |item| names.offers.find(item)),
    };
    let answer = table.get("answer").and_then(|item| answer(&item));
    let dialect = table.get("dialect").and_then(|item| dialect(&item, names, dialects));
    let dialect = dialect.cloned().unwrap_or_else(|| Arc::new(Dialect::native().clone()));
    let status = table.get("status").map(|item| status(&item, names));
    let (key, on_repeat) = table.get("dedup").map_or((None, None), |item| dedup(&item));
    let repeat_key = key.unwrap_or(dialect.dedup.key);
    let limits = table.get("limits").and_then(|item| limits(&item, names));
    let default_type = table.get("default_type");
    let default_type = default_type.and_then(|item| default_type_of(&item, names));
    let active = table.flag_or("active", true);
    let authentication = authentication(table, repeat_key);
    let steps = steps(table);
    let definition = PostbackDefinition {
        active,
        authentication,
        conditions,
        answer: answer.unwrap_or(AnswerStyle::Ok),
        status: status.unwrap_or_default(),
        own: OwnDefaults { default_type, key, on_repeat },
        limits: limits.unwrap_or_default(),
        steps,
        ..PostbackDefinition::open(id?)
    };
    let definition = definition.spoken_in(dialect);
    warn_about_default_type(table, &definition);
    warn_about_answer(table, &definition);
    Some(definition)
}

fn check_id(table: &Table<'_>, id: Option<&PostbackId>) {
    if id.is_some_and(|id| id.as_str() == BUILT_IN_POSTBACK)
        && let Some(item) = table.get("id")
    {
        let message = format!("`{BUILT_IN_POSTBACK}` is the definition for what comes from inside");
        item.error(message, "choose another id");
    }
}

fn dialect<'d>(
    item: &Item<'_>,
    names: &Names<'_>,
    dialects: &'d [Arc<Dialect>],
) -> Option<&'d Arc<Dialect>> {
    let name = item.text()?;
    let found = dialects.iter().find(|dialect| dialect.name == name);
    // What is wrong with a dialect of the rules is told there.
    if found.is_none() && names.dialects.known(name).is_none() {
        let message = format!("`{}` is no dialect", shown(name));
        item.unknown(message, name, dialects.iter().map(|dialect| &*dialect.name));
    }
    found
}

fn answer(item: &Item<'_>) -> Option<AnswerStyle> {
    let all = [AnswerStyle::Ok, AnswerStyle::Strict];
    item.word("answer", &all, |style| match style {
        AnswerStyle::Ok => "ok",
        AnswerStyle::Strict => "strict",
    })
}

/// The type of creates that name none: one that a postback may create (R9).
pub(super) fn default_type_of(item: &Item<'_>, names: &Names<'_>) -> Option<ConversionType> {
    let found = names.conversion_type(item)?;
    if !found.is_trackable() {
        let message = format!("no postback may create a `{found}`");
        item.error(message, "name lead, prospect, sale or a registered type");
        return None;
    }
    Some(found)
}

pub(super) fn status(item: &Item<'_>, names: &Names<'_>) -> BTreeMap<Box<str>, StatusMeaning> {
    let hint = "as in { hold = { result = \"pending\" } }";
    let entries = item.entries("a table of words", hint).unwrap_or_default();
    let mut words: BTreeMap<Box<str>, StatusMeaning> = BTreeMap::new();
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for (entry, item) in entries {
        let word = entry.key.as_str();
        check_word(&item, word);
        // A word whose meaning is wrong counts as one, so that its repetition is told as well.
        if let Some(known) = known.insert(word.to_ascii_lowercase(), word) {
            let message = format!("status words are compared without case, and `{known}` is one");
            item.key_error(message, "remove one of them");
        }
        if let Some(meaning) = meaning(&item, names) {
            words.insert(word.into(), meaning);
        }
    }
    words
}

fn check_word(item: &Item<'_>, word: &str) {
    if word.is_empty() || word.trim_ascii() != word || word.len() > VALUE_LEN_MAX {
        let message = "no request can have this status word";
        item.key_error(message, "values are trimmed, and empty ones count as absent");
    }
    if let Some(own) = TransactionResult::named(word) {
        item.key_error(format!("`{own}` means itself"), "it cannot mean anything else");
    }
}

fn meaning(item: &Item<'_>, names: &Names<'_>) -> Option<StatusMeaning> {
    let table = item.table(&["result", "type"], &[])?;
    let meaning = StatusMeaning {
        result: table.get("result").and_then(|item| result(&item)),
        conversion_type: table.get("type").and_then(|item| names.conversion_type(&item)),
    };
    let is_empty = table.get("result").is_none() && table.get("type").is_none();
    if is_empty && !table.has_unknown_keys() {
        item.error("the word means nothing", "give it a `result`, a `type` or both");
    }
    Some(meaning)
}

/// The parts of the repeat rule that are written; the dialect says the others (R47).
pub(super) fn dedup(item: &Item<'_>) -> (Option<KeyKind>, Option<OnRepeat>) {
    let Some(table) = item.table(&["key", "on_repeat"], &[]) else {
        return (None, None);
    };
    let key = table.get("key");
    let key = key.and_then(|item| item.word("kind of repeat key", &KeyKind::ALL, KeyKind::name));
    let reaction = table.get("on_repeat");
    let on_repeat = reaction
        .as_ref()
        .and_then(|item| item.word("reaction to a repeat", &OnRepeat::ALL, OnRepeat::name));
    if let (Some(item), Some(OnRepeat::Add)) = (&reaction, on_repeat) {
        let message = "under `add` a request that is sent again counts twice";
        item.warning(message, "choose `update` unless each request brings a part of the sum");
    }
    (key, on_repeat)
}

fn limits(item: &Item<'_>, names: &Names<'_>) -> Option<Limits> {
    let keys = ["types", "results", "currencies", "value_max", "commission_max"];
    let table = item.table(&keys, &[])?;
    let amount = |key: &str| table.get(key)?.parsed::<Amount>("amount");
    Some(Limits {
        types: table.get("types").and_then(|item| item.set(|item| names.types(item))),
        results: table.condition("results", result),
        currencies: table.condition("currencies", |item| item.parsed::<Currency>("currency")),
        value_max: amount("value_max"),
        commission_max: amount("commission_max"),
    })
}

/// The requests that follow one which named this definition (R46).
fn steps(table: &Table<'_>) -> Vec<Call> {
    let items = table.tables("step");
    if let Some(beyond) = items.get(STEPS_MAX) {
        let message = format!("there are more than {STEPS_MAX} steps");
        beyond.error(message, "remove some");
    }
    let step = |item: &Item<'_>| {
        let table = item.table(&CALL_KEYS, &[])?;
        call(&table, Visibility::All)
    };
    items.iter().take(STEPS_MAX).filter_map(step).collect()
}

fn warn_about_answer(table: &Table<'_>, definition: &PostbackDefinition) {
    let dialect = &definition.dialect;
    if let (AnswerStyle::Strict, true) = (definition.answer, dialect.always_200)
        && let Some(item) = table.get("answer")
    {
        let system = &dialect.system;
        let message =
            format!("{system} answers 200 always, so its senders may repeat every refusal");
        item.warning(message, "leave it out, unless the sender takes a 422 for an answer");
    }
}

fn warn_about_default_type(table: &Table<'_>, definition: &PostbackDefinition) {
    let (Some(default), Some(item)) = (&definition.default_type, table.get("default_type")) else {
        return;
    };
    for (types, what) in
        [(&definition.conditions.types, "types"), (&definition.limits.types, "limits.types")]
    {
        if types.as_ref().is_some_and(|types| !types.contains(default)) {
            let message = format!("`{default}` is not in `{what}`, so each use of it is refused");
            item.warning(message, format!("add it to `{what}`, or choose another"));
        }
    }
}
