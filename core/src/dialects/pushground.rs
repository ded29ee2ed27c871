//! Pushground: a click id and an amount, always answered 200.

use super::{Dialect, Replies, Source, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const S2S: Source = Source::Page("Pushground: S2S Postback Configuration");

pub(super) static PUSHGROUND: Dialect = Dialect {
    name: "pushground",
    system: "Pushground",
    rows: &[
        row("click_id", Parameter::Pcid, "{click_id}", S2S),
        row("payout", Parameter::Commission, "{payout}", S2S),
        row("amount", Parameter::Commission, "", S2S),
    ],
    words: &[],
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickType, on_repeat: OnRepeat::Refuse },
    dedup_source: Source::Uncertain("Pushground publishes no repeat rule; this one pays once"),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: S2S,
    click_macros: &["click_id"],
};
