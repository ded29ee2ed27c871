//! Binom: one conversion for each click, statuses in free words.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, Word, own, result, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
    transaction::TransactionResult,
};

const POSTBACK: Source = Source::Page("https://docs.binom.org/postback-url.php");
const PAYOUT: Source = Source::Page("https://docs.binom.org/payout-tracking-v2.php");
const EXAMPLE: Source =
    Source::Uncertain("statuses are free text; the page names this one as an example only");

pub(super) static BINOM: Dialect = Dialect {
    name: Cow::Borrowed("binom"),
    system: Cow::Borrowed("Binom"),
    rows: Cow::Borrowed(&[
        row("cnv_id", Parameter::Pcid, "{clickid}", POSTBACK),
        row("payout", Parameter::Commission, "{payout}", POSTBACK),
        row("cnv_status", Parameter::Result, "{status}", POSTBACK),
        row("cnv_currency", Parameter::Currency, "{currency}", POSTBACK),
        own("cnv_status2", POSTBACK),
        own("event#", PAYOUT),
        own("add_event#", PAYOUT),
        own("to_offer", POSTBACK),
        own("disable_postback", POSTBACK),
    ]),
    words: Cow::Borrowed(WORDS),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::Click, on_repeat: OnRepeat::Update },
    dedup_source: Source::Uncertain(
        "Binom edits a click's conversion, and adds to it where the offer is an upsell \
         (`on_repeat = \"add\"`); its pages do not say what a plain repeat does",
    ),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("Binom publishes no body"),
    always_200: false,
    click_macros: Cow::Borrowed(&["clickid"]),
};

const WORDS: &[Word] = &[
    result("approve", TransactionResult::Approved, EXAMPLE),
    result("reject", TransactionResult::Rejected, EXAMPLE),
    result("hold", TransactionResult::Pending, EXAMPLE),
];
