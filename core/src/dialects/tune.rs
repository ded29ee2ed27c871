//! TUNE (HasOffers): a transaction converts once for each goal; the body says whether it did.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Source, own, row};
use crate::{
    conversion::ConversionType,
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const RECEIVING: Source = Source::Page("https://support.tune.com/hc/en-us/articles/4413247665431");
const UNIQUE: Source = Source::Page("support.tune.com: Limiting Conversion by Unique ID");
const NAME: Source = Source::Uncertain("the name of the parameter is not on the pages at hand");

pub(super) static TUNE: Dialect = Dialect {
    name: Cow::Borrowed("tune"),
    system: Cow::Borrowed("TUNE"),
    rows: Cow::Borrowed(&[
        row("transaction_id", Parameter::Pcid, "TRANSACTION_ID", RECEIVING),
        row("amount", Parameter::Value, "AMOUNT", NAME),
        row("conversion_unique_id", Parameter::ExternalId, "CONVERSION_UNIQUE_ID", UNIQUE),
        row("currency", Parameter::Currency, "", NAME),
        // Numbers of the customer's own: a definition's `status` says what they mean.
        row("goal_id", Parameter::Result, "", NAME),
        own("offer_id", RECEIVING),
        own("adv_sub", NAME),
        own("adv_sub#", NAME),
        own("adv_unique#", UNIQUE),
    ]),
    words: Cow::Borrowed(&[]),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: true,
    dedup: Dedup { key: KeyKind::ClickType, on_repeat: OnRepeat::Refuse },
    dedup_source: Source::Uncertain(
        "the page refuses a duplicate conversion; by which key it does not say, and \
         a network may ask for the unique id alone (`key = \"external\"`)",
    ),
    default_type: Some(ConversionType::Sale),
    replies: Replies::Text {
        media_type: "text/plain; charset=utf-8",
        success: Cow::Borrowed("success=true;"),
        success_param: None,
        duplicate: Cow::Borrowed("success=false; err_msg=Duplicate conversion;"),
        refusal: Cow::Borrowed("success=false; err_msg={message};"),
    },
    replies_source: RECEIVING,
    always_200: false,
    click_macros: Cow::Borrowed(&["transaction_id"]),
};
