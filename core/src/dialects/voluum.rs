//! Voluum: a transaction id is unique within its click; what repeats it is ignored.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, own, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const PARAMETERS: Source =
    Source::Page("https://doc.voluum.com/article/parameters-in-postback-urls");
const TRACKING: Source =
    Source::Page("https://doc.voluum.com/en/tracking_conversions_postback.html");
const UPSELLING: Source =
    Source::Page("doc.voluum.com: Upselling: Tracking Subsequent Conversions");

pub(super) static VOLUUM: Dialect = Dialect {
    name: Cow::Borrowed("voluum"),
    system: Cow::Borrowed("Voluum"),
    rows: Cow::Borrowed(&[
        row("cid", Parameter::Pcid, "{clickid}", PARAMETERS),
        row("payout", Parameter::Commission, "{payout}", PARAMETERS),
        row("txid", Parameter::ExternalId, "{txid}", PARAMETERS),
        row("currency", Parameter::Currency, "{currency}", TRACKING),
        // The values of `et` are the customer's own: a definition's `status` says what they mean.
        row("et", Parameter::Result, "{event}", TRACKING),
        own("param#", TRACKING),
    ]),
    words: Cow::Borrowed(&[]),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickExternal, on_repeat: OnRepeat::Refuse },
    dedup_source: UPSELLING,
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("Voluum publishes no body"),
    always_200: false,
    click_macros: Cow::Borrowed(&["clickid"]),
};
