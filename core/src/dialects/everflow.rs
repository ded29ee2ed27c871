//! Everflow: a click converts once, an event is another conversion.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, own, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const S2S: Source =
    Source::Page("https://helpdesk.everflow.io/customer/accessing-editing-s2s-postback-urls");
const ERRORS: Source = Source::Uncertain(
    "its Conversions Error Code Reference Guide refuses duplicates; by which key it does not say",
);
const MACROS: Source = Source::Uncertain(
    "listed as a macro of outgoing postbacks; inbound it is taken to be the same",
);

pub(super) static EVERFLOW: Dialect = Dialect {
    name: Cow::Borrowed("everflow"),
    system: Cow::Borrowed("Everflow"),
    rows: Cow::Borrowed(&[
        row("transaction_id", Parameter::Pcid, "{transaction_id}", S2S),
        row("amount", Parameter::Value, "{amount}", S2S),
        row("order_id", Parameter::ExternalId, "{order_id}", MACROS),
        row("currency", Parameter::Currency, "", MACROS),
        // Numbers of the customer's own: a definition's `status` says what they mean.
        row("event_id", Parameter::Result, "", MACROS),
        row("adv_event_id", Parameter::Result, "", MACROS),
        own("nid", S2S),
        own("adv#", S2S),
        own("sub#", MACROS),
    ]),
    words: Cow::Borrowed(&[]),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickType, on_repeat: OnRepeat::Refuse },
    dedup_source: ERRORS,
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("the status is 200 whatever happens; no body is published"),
    always_200: true,
    click_macros: Cow::Borrowed(&["transaction_id"]),
};
