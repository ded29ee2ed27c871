//! Outbound requests, as tracking APIs and steps write them (R40 to R42, R45): the request, its
//! time, its retries, and what of an answer is mapped back.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};

use super::{
    body::body,
    item::{Item, Table},
    template::{Builder, Visibility, each, strict},
    tree::Entry,
    url::url,
};
use crate::{
    answer::POINTER_SEGMENTS_MAX,
    conversion::ExternalId,
    decode::{NAME_LEN_MAX, VALUE_LEN_MAX},
    delivery::{Polling, RETRIES_MAX, RetryPolicy, Schedule, TIMEOUT_DEFAULT},
    macros::{PARAM_MACRO, is_optional},
    money::Amount,
    parameter::Parameter,
    pieces::{Piece, Pieces, Place},
    read::{CAUSE_PARAM, DEPTH_PARAM, TARGET_PARAM},
    reason::shown,
    template::Part,
    time::Period,
    tracking_api::{Call, HttpMethod, Mapping, PendingAnswer, Pointer, RequestTemplate},
    transaction::TransactionResult,
};

/// The keys of a call.
pub(super) const CALL_KEYS: [&str; 5] = ["request", "timeout", "retry", "poll", "set"];

/// The longest that an attempt may take.
const TIMEOUT_MAX: Period = Period::from_ms(5 * 60_000);
/// The shortest timeout, and the shortest wait.
const WAIT_MIN: Period = Period::from_ms(100);
/// The longest wait between two attempts.
const WAIT_MAX: Period = Period::from_ms(30 * 86_400_000);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The most words that a mapping or a pending answer knows.
const WORDS_MAX: usize = 1000;
/// The most parameters that an answer sets: fewer than an update can have.
const MAPPINGS_MAX: usize = 50;
/// Headers that the sender sets, or that concern the connection alone.
const OWN_HEADERS: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];
/// The parameters that an answer may set, beside `param.NAME`.
const SETTABLE: [&str; 5] = ["result", "value", "commission", "price", "external_id"];

/// Reads a call.
pub(super) fn call(table: &Table<'_>, visibility: Visibility) -> Option<Call> {
    let example = "request = { url = \"https://shoply.example/?id={external_id}\" }";
    let item = table.required("request", example);
    let request = item.and_then(|item| request(&item, visibility));
    let timeout = table.get("timeout");
    let timeout = timeout.and_then(|item| period(&item, WAIT_MIN, TIMEOUT_MAX));
    let delivery = table.get("retry").map(|item| schedule(&item));
    let own = |key: &str| {
        let item = table.get(key)?;
        if visibility == Visibility::PayoutOnly {
            let message = format!("an affiliate's own request may not have `{key}`");
            item.key_error(message, "remove it, or let the owner be \"admin\"");
        }
        Some(item)
    };
    let poll = own("poll").and_then(|item| poll(&item));
    let (pending, polling) = poll.unzip();
    let set = own("set").map(|item| set(&item));
    let delivery = delivery.unwrap_or_else(|| Some(Schedule::default()));
    let retry = delivery.map(|delivery| RetryPolicy { delivery, polling });
    if let Some(retry) = &retry {
        check_retries(table, retry);
    }
    Some(Call {
        request: request?,
        timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        retry: retry?,
        pending,
        set: set.unwrap_or_default(),
    })
}

/// A duration between two others.
pub(super) fn period(item: &Item<'_>, least: Period, most: Period) -> Option<Period> {
    let period: Period = item.parsed("duration")?;
    if !(least..=most).contains(&period) {
        let message = format!("`{period}` is out of range");
        item.error(message, format!("from {least} to {most}"));
        return None;
    }
    Some(period)
}

fn request(item: &Item<'_>, visibility: Visibility) -> Option<RequestTemplate> {
    let table = item.table(&["method", "url", "headers", "body"], &[])?;
    let method = table.get("method");
    let method_given =
        method.as_ref().map(|item| item.word("HTTP method", &HttpMethod::ALL, HttpMethod::name));
    let url = table.required("url", "url = \"https://shoply.example/?id={external_id}\"");
    let url = url.and_then(|item| request_url(&item, visibility));
    let headers = table.get("headers");
    let headers = headers.map(|item| headers_of(&item, visibility));
    let body_given = table.get("body").map(|item| body(&item, visibility));
    let default = if body_given.is_some() { HttpMethod::Post } else { HttpMethod::Get };
    let Target { url, is_encrypted, destination } = url?;
    let request = RequestTemplate {
        method: method_given.unwrap_or(Some(default))?,
        destination,
        url,
        headers: headers.unwrap_or(Some(Vec::new()))?,
        body: match body_given {
            Some(body) => Some(body?),
            None => None,
        },
    };
    if request.method == HttpMethod::Get && request.body.is_some() {
        let item = table.get("body").unwrap_or_else(|| item.clone());
        item.warning("many servers ignore the body of a GET", "choose POST");
    }
    if !is_encrypted && request.secrets().next().is_some() {
        let item = table.get("url").unwrap_or_else(|| item.clone());
        item.warning("a secret is sent over plain http", "begin the url with https://");
    }
    Some(request)
}

/// Where a request goes.
struct Target {
    url: Pieces,
    is_encrypted: bool,
    destination: Box<str>,
}

/// The url in pieces, and where it leads. Before the question mark values are segments of the
/// path, after it values of the query.
fn request_url(item: &Item<'_>, visibility: Visibility) -> Option<Target> {
    let url = url(item)?;
    let has_fragment = url.template.as_str().contains('#');
    if has_fragment {
        item.error("what follows a `#` is never sent", "remove it, or write %23");
    }
    let mut built = Builder::default();
    let mut place = Place::Path;
    each(&url.template, |part| match part {
        Part::Text(text) => {
            if text.contains('?') {
                place = Place::Query;
            }
            built.text(text);
            Some(())
        }
        Part::Macro(name) => built.value(item, name, visibility, place),
    })?;
    if has_fragment || !url.is_right {
        return None;
    }
    let destination = destination(&url);
    let pieces = built.finish();
    warn_of_gaps(item, &pieces);
    Some(Target { url: pieces, is_encrypted: url.is_encrypted, destination })
}

/// Where a segment of the path is empty, the url leads elsewhere: `/orders//paid`, or `/orders/`.
fn warn_of_gaps(item: &Item<'_>, url: &Pieces) {
    let optional = url.0.iter().find_map(|piece| match piece {
        Piece::Macro(name, Place::Path) if is_optional(name) => Some(name),
        _ => None,
    });
    if let Some(name) = optional {
        let message = format!("`{{{name}}}` may be empty, and the path is another one then");
        item.warning(message, "put it behind the `?`, where a receiver can tell that it is empty");
    }
}

/// Scheme, host and port, one spelling for each destination.
fn destination(url: &super::url::Url<'_>) -> Box<str> {
    let (scheme, default_port) = if url.is_encrypted { ("https", 443) } else { ("http", 80) };
    let (host, port) = match url.authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(default_port)),
        _ => (url.authority, default_port),
    };
    let host = host.to_ascii_lowercase();
    format!("{scheme}://{host}:{port}").into()
}

fn headers_of(item: &Item<'_>, visibility: Visibility) -> Option<Vec<(Box<str>, Pieces)>> {
    let hint = "as in { authorization = \"Bearer {secret:NAME}\" }";
    let entries = item.entries("a table of headers", hint)?;
    if entries.len() > HEADERS_MAX {
        item.error(format!("there are more than {HEADERS_MAX} headers"), "remove some");
    }
    let mut headers: Vec<(Box<str>, Option<Pieces>)> = Vec::new();
    let mut right = entries.len() <= HEADERS_MAX;
    for (entry, item) in entries.iter().take(HEADERS_MAX) {
        let name = header_name(item, &entry.key);
        let value = header_value(item, visibility);
        let Some(name) = name else {
            right = false;
            continue;
        };
        if headers.iter().any(|(known, _)| **known == *name) {
            let message = format!("the header `{name}` stands here twice");
            item.key_error(message, "names of headers have no case: remove one of them");
            right = false;
        }
        // One whose value is wrong counts as one, so that its repetition is told as well.
        headers.push((name.into(), value));
    }
    let whole = |(name, value): (Box<str>, Option<Pieces>)| Some((name, value?));
    headers.into_iter().map(whole).collect::<Option<_>>().filter(|_| right)
}

fn header_name(item: &Item<'_>, name: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(allowed) {
        let message = format!("`{}` is no name of a header", shown(name));
        item.key_error(message, "for example authorization");
        return None;
    }
    let name = name.to_ascii_lowercase();
    if name == "content-type" {
        let message = "the content type belongs to the body";
        item.key_error(message, "write `body.content_type`");
        return None;
    }
    if OWN_HEADERS.contains(&&*name) {
        let message = format!("the header `{name}` is set by the sender alone");
        item.key_error(message, "remove it");
        return None;
    }
    Some(name)
}

fn header_value(item: &Item<'_>, visibility: Visibility) -> Option<Pieces> {
    let template = strict(item)?;
    let text = template.as_str();
    // Neither hides what is wrong with the macros.
    if let Some(odd) = text.chars().find(|char| !matches!(char, ' '..='~')) {
        let message = format!("`{}` cannot stand in a header", odd.escape_default());
        item.error(message, "write printable ASCII");
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        item.error("a header neither begins nor ends with a space", "remove it");
    }
    let mut built = Builder::default();
    built.template(item, &template, visibility, Place::Header)?;
    Some(built.finish())
}

fn schedule(item: &Item<'_>) -> Option<Schedule> {
    let table = item.table(&["max", "every", "schedule"], &[])?;
    let wait = |item: &Item<'_>| period(item, WAIT_MIN, WAIT_MAX);
    let max_given = table.get("max");
    let max = max_given.as_ref().and_then(|item| retries(item, 0));
    let every_given = table.get("every");
    let every = every_given.as_ref().and_then(wait);
    if let Some(waits) = table.get("schedule") {
        if max_given.is_some() || every_given.is_some() {
            item.error("`schedule` excludes `max` and `every`", "keep one of both");
        }
        let items = waits.list()?;
        // A wait that is wrong counts as one of them.
        let waits = items.iter().map(|item| wait(item).unwrap_or(WAIT_MIN));
        return Some(Schedule::Waits(waits.collect()));
    }
    table.required("max", "max = 9, or schedule = [\"5s\", \"5m\"]");
    // Who never tries again needs no wait.
    let every = match (max?, &every_given) {
        (0, None) => Some(WAIT_MIN),
        _ => table.required("every", "every = \"5m\"").and(every),
    };
    Some(Schedule::Every { max: max?, every: every? })
}

fn retries(item: &Item<'_>, least: u32) -> Option<u8> {
    let max = item.whole(least..=u32::from(RETRIES_MAX))?;
    u8::try_from(max).ok()
}

fn poll(item: &Item<'_>) -> Option<(PendingAnswer, Polling)> {
    let table = item.table(&["pending", "every", "max"], &[])?;
    let pending =
        table.required("pending", "pending = { path = \"/state\", in = [\"processing\"] }");
    let pending = pending.and_then(|item| pending_answer(&item));
    let every = table.required("every", "every = \"10m\"");
    let every = every.and_then(|item| period(&item, WAIT_MIN, WAIT_MAX));
    let max = table.required("max", "max = 20").and_then(|item| retries(&item, 1));
    let polling = Polling { max: max?, every: every? };
    Some((pending?, polling))
}

fn pending_answer(item: &Item<'_>) -> Option<PendingAnswer> {
    let table = item.table(&["path", "in"], &[])?;
    let path = path(&table);
    let among = table.required("in", "in = [\"processing\"]");
    let among = among.and_then(|item| {
        let words: BTreeSet<Box<str>> =
            item.set(|item| item.text().map(Box::from).into_iter().collect())?;
        few(&item, words.len())?;
        Some(words)
    });
    Some(PendingAnswer { path: path?, among: among? })
}

fn few(item: &Item<'_>, count: usize) -> Option<()> {
    if count > WORDS_MAX {
        item.error(format!("there are more than {WORDS_MAX} words"), "remove some");
        return None;
    }
    Some(())
}

fn path(table: &Table<'_>) -> Option<Pointer> {
    let item = table.required("path", "path = \"/order/state\"")?;
    let text = item.text()?;
    let pointer = Pointer::parse(text).ok();
    if pointer.is_none() {
        let message = format!("`{}` is no JSON Pointer", shown(text));
        let hint = format!("as in /order/state, with at most {POINTER_SEGMENTS_MAX} segments");
        item.error(message, hint);
    }
    pointer
}

/// R42: retries of both kinds together.
fn check_retries(table: &Table<'_>, retry: &RetryPolicy) {
    let count = retry.retries();
    if count <= usize::from(RETRIES_MAX) {
        return;
    }
    let at = table.get("poll").or_else(|| table.get("retry"));
    let message = format!("this comes to {count} retries, and at most {RETRIES_MAX} are made");
    let hint = match table.get("retry") {
        Some(_) => "shorten `retry` or `poll`",
        None => "shorten `poll`, or give a `retry`: the default one tries 9 times again",
    };
    at.unwrap_or_else(|| table.item.clone()).error(message, hint);
}

/// What of an answer becomes a parameter (R45), in the order of the text.
fn set(item: &Item<'_>) -> Vec<Mapping> {
    let entries = item.entries("a table of parameters", "as in { result = { path = \"/state\" } }");
    let entries = entries.unwrap_or_default();
    if entries.len() > MAPPINGS_MAX {
        let message = format!("there are more than {MAPPINGS_MAX} parameters");
        item.error(message, "remove some");
    }
    let mapping = |(entry, item): &(&Entry, Item<'_>)| {
        if entry.key == "param" {
            item.key_error("the name is two keys", "put it in quotes: \"param.NAME\"");
            return None;
        }
        let is_settable = check_settable(item, &entry.key).is_some();
        mapping(item, &entry.key).filter(|_| is_settable)
    };
    entries.iter().filter_map(mapping).collect()
}

fn check_settable(item: &Item<'_>, name: &str) -> Option<()> {
    let Some(param) = name.strip_prefix(PARAM_MACRO) else {
        if SETTABLE.contains(&name) {
            return Some(());
        }
        item.unknown_key(name, &[&SETTABLE[..], &["param.NAME"]].concat());
        return None;
    };
    let is_reserved = Parameter::named(param).is_some() || Parameter::secret_named(param).is_some();
    if is_reserved || [TARGET_PARAM, CAUSE_PARAM, DEPTH_PARAM].contains(&param) {
        let message = format!("`{param}` has a meaning of its own, and is no name of a param");
        item.key_error(message, "choose another name");
        return None;
    }
    if param.is_empty() || param.len() > NAME_LEN_MAX || param.contains('\0') {
        let message = format!("`{}` is no name of a param", shown(param));
        item.key_error(message, format!("1 to {NAME_LEN_MAX} bytes"));
        return None;
    }
    Some(())
}

fn mapping(item: &Item<'_>, parameter: &str) -> Option<Mapping> {
    let table = item.table(&["path", "map"], &[])?;
    let path = path(&table);
    let words = table.get("map").map(|item| words(&item, parameter));
    Some(Mapping {
        parameter: parameter.into(),
        path: path?,
        words: match words {
            Some(words) => Some(words?),
            None => None,
        },
    })
}

/// What the words of another system mean.
fn words(item: &Item<'_>, parameter: &str) -> Option<BTreeMap<Box<str>, Box<str>>> {
    let entries = item.entries("a table of words", "as in { paid = \"approved\" }")?;
    if entries.is_empty() {
        item.error("nothing is ever mapped", "leave `map` out to take values as they are");
    }
    let are_few = few(item, entries.len());
    let meaning = |(entry, item): &(&Entry, Item<'_>)| {
        Some((entry.key.as_str().into(), meaning(item, parameter)?))
    };
    let words = entries.iter().filter_map(meaning).collect();
    are_few.map(|()| words)
}

/// A value that the parameter can have.
fn meaning(item: &Item<'_>, parameter: &str) -> Option<Box<str>> {
    match parameter {
        "result" => {
            let result = super::commission::result(item);
            return result.map(|result: TransactionResult| result.name().into());
        }
        "value" | "commission" | "price" => {
            item.parsed::<Amount>("amount")?;
        }
        "external_id" => {
            if let Err(error) = ExternalId::new(item.text()?) {
                item.error("this is no external id", error);
                return None;
            }
        }
        _ => {}
    }
    let text = item.text()?;
    if text.trim_ascii().is_empty() || text.len() > VALUE_LEN_MAX {
        let hint = format!("1 to {VALUE_LEN_MAX} bytes");
        item.error("no param can have this value", hint);
        return None;
    }
    Some(text.into())
}
