//! How a dialect answers.

use alloc::{
    borrow::{Cow, ToOwned},
    format,
};

use super::check_name;
use crate::{
    dialects::{Replies, Text},
    reason::shown,
    rules::item::Item,
};

/// The most bytes of a body.
const BODY_LEN_MAX: usize = 4096;
/// The media types of answers. What a message holds can be made harmless in all of them.
const MEDIA_TYPES: [&str; 5] = [
    "text/plain; charset=utf-8",
    "text/html; charset=utf-8",
    "text/xml; charset=utf-8",
    "application/xml; charset=utf-8",
    "application/json",
];

/// Text.
const PLAIN: &str = "text/plain; charset=utf-8";

/// How it answers: `"json"`, or the texts that senders look for.
pub(super) fn replies(item: &Item<'_>) -> Option<Replies> {
    if let Some(text) = item.as_text() {
        if text != "json" {
            let message = format!("`{}` is no manner of answering", shown(text));
            item.error(message, "write \"json\", or texts as in { success = \"OK\" }");
            return None;
        }
        return Some(Replies::Json);
    }
    let keys = ["success", "success_param", "duplicate", "refusal", "content_type"];
    let table = item.table(&keys, &[])?;
    let success = table.required("success", "success = \"OK\"").and_then(|item| body(&item));
    let duplicate = table.get("duplicate").map(|item| body(&item));
    let refusal = table.get("refusal").map(|item| body(&item));
    let media_type = table.get("content_type").map(|item| media_type(&item));
    let media_type = media_type.unwrap_or(Some(PLAIN));
    let asks = table.get("success_param");
    if let (Some(item), Some(media_type)) = (&asks, media_type)
        && media_type != PLAIN
    {
        let message = format!("what a sender chooses is never sent as `{}`", essence(media_type));
        item.error(message, "leave `content_type` out");
    }
    let success_param = asks.map(|item| item.text().filter(|name| check_name(&item, name)));
    let (success, media_type) = (success?, media_type?);
    Some(Replies::Text {
        media_type,
        success_param: success_param.flatten().map(|name| name.to_owned().into()),
        duplicate: duplicate.flatten().unwrap_or_else(|| success.clone()),
        refusal: refusal.flatten().unwrap_or(Cow::Borrowed("{message}")),
        success,
    })
}

fn body(item: &Item<'_>) -> Option<Text> {
    let text = item.text()?;
    if text.len() > BODY_LEN_MAX {
        let message = format!("the text has more than {BODY_LEN_MAX} bytes");
        item.error(message, "shorten it");
        return None;
    }
    Some(text.to_owned().into())
}

fn media_type(item: &Item<'_>) -> Option<&'static str> {
    item.word("content type of an answer", &MEDIA_TYPES, essence)
}

/// A media type as it is written in rules.
fn essence(media_type: &'static str) -> &'static str {
    media_type.split(';').next().unwrap_or_default()
}
