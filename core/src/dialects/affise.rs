//! Affise: an action is taken once, its first postback counts; statuses are numbers.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, Word, own, result, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
    transaction::TransactionResult,
};

const PARAMETERS: Source = Source::Page(
    "https://help-center.affise.com/en/articles/6475468-affise-postback-url-parameters",
);

pub(super) static AFFISE: Dialect = Dialect {
    name: Cow::Borrowed("affise"),
    system: Cow::Borrowed("Affise"),
    rows: Cow::Borrowed(&[
        row("clickid", Parameter::Pcid, "{clickid}", PARAMETERS),
        row("click_id", Parameter::Pcid, "", PARAMETERS),
        row("action_id", Parameter::ExternalId, "{action_id}", PARAMETERS),
        row("sum", Parameter::Commission, "{sum}", PARAMETERS),
        row("status", Parameter::Result, "{status}", PARAMETERS),
        row("currency", Parameter::Currency, "", Source::Uncertain("not on the vendor's list")),
        own("goal", PARAMETERS),
        own("custom_field#", PARAMETERS),
        own("ip", PARAMETERS),
        own("referrer", PARAMETERS),
        own("comment", PARAMETERS),
        own("fbclid", PARAMETERS),
        own("device_type", PARAMETERS),
        own("aimp_id", PARAMETERS),
        own("promo_code", PARAMETERS),
        own("user_id", PARAMETERS),
    ]),
    words: Cow::Borrowed(WORDS),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickExternal, on_repeat: OnRepeat::Refuse },
    dedup_source: Source::Uncertain(
        "Affise asks for (offer, goal, action_id), whatever the click, else (offer, goal, click); \
         the nearest rule here is taken",
    ),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("Affise publishes no body"),
    always_200: false,
    click_macros: Cow::Borrowed(&["clickid", "click_id"]),
};

const WORDS: &[Word] = &[
    result("1", TransactionResult::Approved, PARAMETERS),
    result("2", TransactionResult::Pending, PARAMETERS),
    result("3", TransactionResult::Rejected, PARAMETERS),
    result("5", TransactionResult::Pending, PARAMETERS),
];
