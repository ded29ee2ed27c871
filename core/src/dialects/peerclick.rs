//! PeerClick: one conversion for each click and transaction id, the last postback's word counts.

use alloc::borrow::Cow;

use super::{Dialect, Meaning, Replies, Source, Word, kept, own, result, row, typed};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
    transaction::TransactionResult,
};

const S2S: Source = Source::Page("PeerClick: Track Conversions via S2S Postback URL");
const STATUSES: Source = Source::Page("PeerClick: Conversion Statuses Settings");
const SCHEME: Source = Source::Uncertain(
    "a name of PeerClick's E-commerce or Subscription scheme; its own statuses are free, and the \
     page calls these names informative",
);

pub(super) static PEERCLICK: Dialect = Dialect {
    name: Cow::Borrowed("peerclick"),
    system: Cow::Borrowed("PeerClick"),
    rows: Cow::Borrowed(&[
        row("cid", Parameter::Pcid, "{clickid}", S2S),
        row("payout", Parameter::Commission, "{payout}", S2S),
        row("status", Parameter::Result, "{status}", S2S),
        row("txid", Parameter::ExternalId, "{txid}", S2S),
        row("currency", Parameter::Currency, "{currency}", S2S),
        own("conversion_id", S2S),
        own("param#", S2S),
        kept("event#", Meaning::OwnNumber, S2S),
    ]),
    words: Cow::Borrowed(WORDS),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickExternal, on_repeat: OnRepeat::Update },
    dedup_source: STATUSES,
    default_type: Some(ConversionType::Sale),
    replies: Replies::Json,
    replies_source: Source::Uncertain("PeerClick publishes no body"),
    always_200: false,
    click_macros: Cow::Borrowed(&["clickid"]),
};

const WORDS: &[Word] = &[
    result("hold", TransactionResult::Pending, SCHEME),
    result("reject", TransactionResult::Rejected, SCHEME),
    typed("sale", ConversionType::Sale, None, SCHEME),
    typed("rebill", ConversionType::Sale, None, SCHEME),
];
