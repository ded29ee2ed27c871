//! RedTrack: types and statuses side by side, a repeat edits.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, Word, own, result, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
    transaction::TransactionResult,
};

const TYPES: Source = Source::Page(
    "https://help.redtrack.io/knowledgebase/kb/conversion-tracking/tracking-event-types/",
);
const SUM: Source =
    Source::Uncertain("seen in postback templates; no page of RedTrack was at hand that says it");

pub(super) static REDTRACK: Dialect = Dialect {
    name: Cow::Borrowed("redtrack"),
    system: Cow::Borrowed("RedTrack"),
    rows: Cow::Borrowed(&[
        row("clickid", Parameter::Pcid, "{clickid}", TYPES),
        row("sum", Parameter::Commission, "{sum}", SUM),
        row("currency", Parameter::Currency, "", SUM),
        row("type", Parameter::Type, "{type}", TYPES),
        row("status", Parameter::Result, "{status}", TYPES),
        row("rdtk_event_id", Parameter::ExternalId, "{replace}", TYPES),
        own("sub#", SUM),
    ]),
    words: Cow::Borrowed(WORDS),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickType, on_repeat: OnRepeat::Update },
    dedup_source: Source::Uncertain(
        "RedTrack has six modes for each type and does not say which is the default; this one is \
         `Edit conversion with new data`",
    ),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("RedTrack publishes no body"),
    always_200: false,
    click_macros: Cow::Borrowed(&["clickid"]),
};

const WORDS: &[Word] = &[result("declined", TransactionResult::Rejected, TYPES)];
