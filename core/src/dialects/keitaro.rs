//! Keitaro: a status moves one conversion on; another transaction id is another conversion.

use alloc::borrow::Cow;

use super::{Dialect, Meaning, Replies, Source, Word, kept, own, result, row, typed};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
    transaction::TransactionResult,
};

const POSTBACK: Source = Source::Page("https://docs.keitaro.io/en/conversions/postback.html");

pub(super) static KEITARO: Dialect = Dialect {
    name: Cow::Borrowed("keitaro"),
    system: Cow::Borrowed("Keitaro"),
    rows: Cow::Borrowed(&[
        row("subid", Parameter::Pcid, "{subid}", POSTBACK),
        row("tid", Parameter::ExternalId, "{tid}", POSTBACK),
        row("payout", Parameter::Commission, "{payout}", POSTBACK),
        row("revenue", Parameter::Commission, "", POSTBACK),
        row("status", Parameter::Result, "{status}", POSTBACK),
        row("currency", Parameter::Currency, "{currency}", POSTBACK),
        own("cost", POSTBACK),
        own("sub_id_#", POSTBACK),
        own("return", POSTBACK),
        kept("sale_status", Meaning::Listed(Cow::Borrowed("sale")), POSTBACK),
        kept("lead_status", Meaning::Listed(Cow::Borrowed("lead")), POSTBACK),
        kept("rejected_status", Meaning::Listed(Cow::Borrowed("rejected")), POSTBACK),
        kept("ignore_status", Meaning::Ignored, POSTBACK),
    ]),
    words: Cow::Borrowed(WORDS),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickExternal, on_repeat: OnRepeat::Update },
    dedup_source: POSTBACK,
    default_type: Some(ConversionType::Sale),
    replies: Replies::Text {
        media_type: "text/plain; charset=utf-8",
        success: Cow::Borrowed("Success"),
        success_param: Some(Cow::Borrowed("return")),
        duplicate: Cow::Borrowed("Success"),
        refusal: Cow::Borrowed("Error: {message}"),
    },
    replies_source: Source::Uncertain(
        "the page says that `return` chooses the text of a success; what stands there without it, \
         and after a refusal, it does not say",
    ),
    always_200: false,
    click_macros: Cow::Borrowed(&["subid"]),
};

/// `lead`: not confirmed; `sale`: confirmed; `rebill`: another sale.
const WORDS: &[Word] = &[
    typed("lead", ConversionType::Lead, Some(TransactionResult::Pending), POSTBACK),
    typed("sale", ConversionType::Sale, Some(TransactionResult::Approved), POSTBACK),
    typed("rebill", ConversionType::Sale, Some(TransactionResult::Approved), POSTBACK),
    result("rejected", TransactionResult::Rejected, POSTBACK),
];
