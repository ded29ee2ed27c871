//! What an affiliate reads of what is its own: the payout leg alone, never revenue, price, or
//! anything of another (R39). The shapes list what is shown, so that nothing new slips through.

use std::collections::BTreeMap;

use counterfoil_core::{
    AffiliateId, ConversionId, Currency, Params, Source, Timestamp, TransactionId,
    TransactionResult,
    view::{ConversionView, Page, TransactionView},
};
use serde::Serialize;

/// A conversion as its affiliate sees it.
#[derive(Serialize)]
pub(super) struct OwnConversion {
    id: ConversionId,
    r#type: Box<str>,
    root_id: ConversionId,
    source: Source,
    offer_id: Box<str>,
    advertiser_id: Box<str>,
    affiliate_id: Box<str>,
    channel: Option<Box<str>>,
    integration: Option<Box<str>>,
    affs: BTreeMap<String, Box<str>>,
    affiliate_click_id: Option<Box<str>>,
    external_id: Option<Box<str>>,
    value: Option<String>,
    currency: Currency,
    params: Params,
    created_at: Timestamp,
    updated_at: Timestamp,
    revision: u32,
    transactions: Vec<OwnTransaction>,
}

/// A transaction as its affiliate sees it.
#[derive(Serialize)]
struct OwnTransaction {
    id: TransactionId,
    commission_id: Box<str>,
    r#type: Box<str>,
    result: TransactionResult,
    payout: String,
    currency: Currency,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl OwnConversion {
    pub(super) fn of(view: ConversionView) -> Self {
        Self {
            id: view.id,
            r#type: view.r#type,
            root_id: view.root_id,
            source: view.source,
            offer_id: view.offer_id,
            advertiser_id: view.advertiser_id,
            affiliate_id: view.affiliate_id,
            channel: view.channel,
            integration: view.integration,
            affs: view.affs,
            affiliate_click_id: view.affiliate_click_id,
            external_id: view.external_id,
            value: view.value,
            currency: view.currency,
            params: view.params,
            created_at: view.created_at,
            updated_at: view.updated_at,
            revision: view.revision,
            transactions: view.transactions.into_iter().map(OwnTransaction::of).collect(),
        }
    }
}

impl OwnTransaction {
    fn of(view: TransactionView) -> Self {
        Self {
            id: view.id,
            commission_id: view.commission_id,
            r#type: view.r#type,
            result: view.result,
            payout: view.payout,
            currency: view.currency,
            created_at: view.created_at,
            updated_at: view.updated_at,
        }
    }
}

/// A filter on affiliate or owner, narrowed to the affiliate that asks; none: it asks for another,
/// of whom it sees nothing.
pub(super) fn narrowed(given: Option<&str>, affiliate: &AffiliateId) -> Option<String> {
    let affiliate = affiliate.as_str();
    given.is_none_or(|given| given == affiliate).then(|| affiliate.to_owned())
}

/// The page of what is not the affiliate's own.
pub(super) fn nothing<T>() -> Page<T> {
    Page { items: Vec::new(), next_cursor: None }
}
