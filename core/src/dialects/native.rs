//! The parameters of the semantics, with the other names that they may have.

use alloc::borrow::Cow;

use super::{Dialect, Replies, Row, Source, row};
use crate::{
    parameter::Parameter,
    ruleset::{Dedup, KeyKind, OnRepeat},
};

const fn known(name: &'static str, parameter: Parameter, example: &'static str) -> Row {
    row(name, parameter, example, Source::Own)
}

pub(super) static NATIVE: Dialect = Dialect {
    name: Cow::Borrowed("native"),
    system: Cow::Borrowed("Counterfoil"),
    rows: Cow::Borrowed(&[
        known("pcid", Parameter::Pcid, "{pcid}"),
        known("eid", Parameter::Pcid, ""),
        known("pldk_conversion_id", Parameter::Pcid, ""),
        known("advertiser_id", Parameter::AdvertiserId, ""),
        known("advertiser", Parameter::AdvertiserId, ""),
        known("external_id", Parameter::ExternalId, "{order_id}"),
        known("advertiser_custom_id", Parameter::ExternalId, ""),
        known("advertiser_external_id", Parameter::ExternalId, ""),
        known("commission_id", Parameter::CommissionId, ""),
        known("type", Parameter::Type, "{type}"),
        known("value", Parameter::Value, "{value}"),
        known("commission", Parameter::Commission, ""),
        known("price", Parameter::Price, ""),
        known("result", Parameter::Result, "{result}"),
        known("action", Parameter::Action, ""),
        known("currency", Parameter::Currency, "{currency}"),
    ]),
    words: Cow::Borrowed(&[]),
    events: Cow::Borrowed(&[]),
    fixed: Cow::Borrowed(&[]),
    keeps_unmapped: false,
    dedup: Dedup { key: KeyKind::External, on_repeat: OnRepeat::Refuse },
    dedup_source: Source::Own,
    default_type: None,
    replies: Replies::Json,
    replies_source: Source::Own,
    always_200: false,
    click_macros: Cow::Borrowed(&["pcid"]),
};
