//! The shapes in which answers and rows leave the engine: JSON of the HTTP interface and of the
//! command line. Amounts are decimal texts, times RFC 3339, ids lower-case hyphenated UUIDs.

mod delivery;
mod subject;
mod timeline;

use alloc::{
    borrow::Cow,
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::Serialize;

use crate::{
    conversion::{Conversion, Method, Origin, Params, Received, Root, Source},
    currency::Currency,
    decision::{Decision, Outcome},
    ids::{ConversionId, RequestId, TransactionId},
    message::{Message, MessageState},
    reason::{Note, Reason},
    ruleset::Ruleset,
    time::Timestamp,
    transaction::{Transaction, TransactionResult},
};

pub use delivery::{AttemptView, DeliveryView, RequestShown, TrackingApiView};
pub use subject::{Erased, Subject};
pub use timeline::{Held, Moment, MomentKind, Timeline};

/// The answer of an inbound postback. It holds no amounts and no rule names but commission ids:
/// the sender may be anyone who knows the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer<'a> {
    /// `created`, `updated`, `unchanged` and `duplicate`.
    Accepted(Accepted<'a>),
    /// `refused`.
    Refused(Refused<'a>),
}

/// The answer of a request that is about a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accepted<'a> {
    /// What became of it.
    pub outcome: Outcome,
    /// The log row.
    pub request_id: RequestId,
    /// `duplicate`, for a duplicate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The conversion; of a duplicate, the first one.
    pub conversion_id: ConversionId,
    /// Its type.
    pub r#type: &'a str,
    /// Its transactions.
    pub transactions: Vec<AnsweredTransaction<'a>>,
    /// What happened (R36).
    pub events: Vec<&'static str>,
    /// What is worth knowing.
    pub notes: &'a [Note],
}

/// A transaction as the sender of a postback sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AnsweredTransaction<'a> {
    /// Its id.
    pub id: TransactionId,
    /// The commission that made it.
    pub commission_id: &'a str,
    /// Its status.
    pub result: TransactionResult,
}

/// The answer of a refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused<'a> {
    /// Always `refused`.
    pub outcome: Outcome,
    /// The log row.
    pub request_id: RequestId,
    /// Why.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: &'a str,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'a str>,
    /// What to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// The answer that tells a decision to the sender of the request.
    pub fn of(decision: &'a Decision, request_id: RequestId) -> Self {
        match (&decision.conversion, &decision.refusal) {
            (Some(conversion), refusal) => Self::Accepted(Accepted {
                outcome: decision.outcome,
                request_id,
                reason: refusal.as_ref().map(|refusal| refusal.reason),
                conversion_id: conversion.id,
                r#type: conversion.conversion_type.name(),
                transactions: decision.transactions.iter().map(AnsweredTransaction::of).collect(),
                events: decision.events.iter().map(|event| event.name()).collect(),
                notes: &decision.notes,
            }),
            (None, Some(refusal)) => Self::Refused(Refused {
                outcome: Outcome::Refused,
                request_id,
                reason: refusal.reason,
                message: &refusal.message,
                parameter: refusal.parameter.as_deref(),
                hint: refusal.hint.as_deref(),
            }),
            // No decision is neither about a conversion nor refused; answer rather than panic.
            (None, None) => Self::Refused(Refused {
                outcome: Outcome::Refused,
                request_id,
                reason: Reason::ConversionNotFound,
                message: "the request is about no conversion",
                parameter: None,
                hint: None,
            }),
        }
    }
}

impl<'a> AnsweredTransaction<'a> {
    fn of(transaction: &'a Transaction) -> Self {
        Self {
            id: transaction.id,
            commission_id: transaction.commission_id.as_str(),
            result: transaction.result,
        }
    }
}

/// A conversion as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConversionView {
    /// Its id.
    pub id: ConversionId,
    /// Its type.
    pub r#type: Box<str>,
    /// Its root.
    pub root_id: ConversionId,
    /// How the root came in.
    pub source: Source,
    /// How the request that made it came in.
    pub method: Method,
    /// The root's offer.
    pub offer_id: Box<str>,
    /// The root's advertiser.
    pub advertiser_id: Box<str>,
    /// The root's affiliate.
    pub affiliate_id: Box<str>,
    /// The root's channel.
    pub channel: Option<Box<str>>,
    /// The root's integration.
    pub integration: Option<Box<str>>,
    /// The root's sub ids, `affs1` to `affs10`.
    pub affs: BTreeMap<String, Box<str>>,
    /// The affiliate's own id of the root.
    pub affiliate_click_id: Option<Box<str>>,
    /// The advertiser's id.
    pub external_id: Option<Box<str>>,
    /// The value, in `currency`.
    pub value: Option<String>,
    /// The price, in `currency`.
    pub price: Option<String>,
    /// The tenant's currency.
    pub currency: Currency,
    /// Amounts that came in another currency, as they came, by parameter (R34).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub originals: BTreeMap<&'static str, OriginalAmount>,
    /// Everything else that came.
    pub params: Params,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How many times it changed.
    pub revision: u32,
    /// Its transactions, oldest first.
    pub transactions: Vec<TransactionView>,
}

/// An amount as it came (R34).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginalAmount {
    /// The amount.
    pub amount: String,
    /// Its currency.
    pub currency: Currency,
    /// The rate that was frozen for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
}

impl ConversionView {
    /// The view of a conversion under its root, in the tenant's currency.
    pub fn of(
        conversion: &Conversion,
        root: &Root,
        transactions: &[Transaction],
        currency: Currency,
    ) -> Self {
        let Origin { source, offer, advertiser, affiliate, channel, integration, .. } =
            &root.origin;
        let amount =
            |received: &Option<Received>| received.map(|received| received.amount.text(currency));
        Self {
            id: conversion.id,
            r#type: conversion.conversion_type.name().into(),
            root_id: conversion.root_id,
            source: *source,
            method: conversion.method,
            offer_id: offer.as_str().into(),
            advertiser_id: advertiser.as_str().into(),
            affiliate_id: affiliate.as_str().into(),
            channel: channel.as_ref().map(|channel| channel.as_str().into()),
            integration: integration.as_ref().map(|integration| integration.as_str().into()),
            affs: root
                .origin
                .affs
                .iter()
                .map(|(n, text)| (format!("affs{n}"), text.clone()))
                .collect(),
            affiliate_click_id: root.origin.affiliate_click_id.clone(),
            external_id: conversion.external_id.as_ref().map(|id| id.as_str().into()),
            value: amount(&conversion.value),
            price: amount(&conversion.price),
            currency,
            originals: [("value", conversion.value), ("price", conversion.price)]
                .into_iter()
                .filter_map(|(name, received)| Some((name, original(received, Some(conversion))?)))
                .collect(),
            params: conversion.params.clone(),
            created_at: conversion.created_at,
            updated_at: conversion.updated_at,
            revision: conversion.revision,
            transactions: transactions
                .iter()
                .map(|transaction| TransactionView {
                    original: original(transaction.direct_amount, Some(conversion)),
                    ..TransactionView::of(transaction, root)
                })
                .collect(),
        }
    }
}

/// An amount as it came, where it came in another currency; the rate is the conversion's.
fn original(received: Option<Received>, conversion: Option<&Conversion>) -> Option<OriginalAmount> {
    let (amount, currency) = received?.original?;
    let rate = conversion.and_then(|conversion| conversion.frozen_rate(currency));
    let rate = rate.map(|rate| rate.to_string());
    Some(OriginalAmount { amount: amount.text(currency), currency, rate })
}

/// A transaction as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TransactionView {
    /// Its id.
    pub id: TransactionId,
    /// The conversion that it pays.
    pub conversion_id: ConversionId,
    /// The root's affiliate.
    pub affiliate_id: Box<str>,
    /// The root's offer.
    pub offer_id: Box<str>,
    /// The root's advertiser.
    pub advertiser_id: Box<str>,
    /// The commission that made it.
    pub commission_id: Box<str>,
    /// Its own type.
    pub r#type: Box<str>,
    /// Its status.
    pub result: TransactionResult,
    /// What the advertiser owes, with exactly the currency's digits.
    pub revenue: String,
    /// What the affiliate gets, with exactly the currency's digits.
    pub payout: String,
    /// The tenant's currency.
    pub currency: Currency,
    /// The direct amount as it came, where it came in another currency (R34); its rate where the
    /// transaction is shown with its conversion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalAmount>,
    /// When an auto-set is due, where the commission has one (R35).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_set_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How many times it changed.
    pub revision: u32,
}

impl TransactionView {
    /// The view of a transaction under its root.
    pub fn of(transaction: &Transaction, root: &Root) -> Self {
        let currency = transaction.currency;
        Self {
            id: transaction.id,
            conversion_id: transaction.conversion_id,
            affiliate_id: root.origin.affiliate.as_str().into(),
            offer_id: root.origin.offer.as_str().into(),
            advertiser_id: root.origin.advertiser.as_str().into(),
            commission_id: transaction.commission_id.as_str().into(),
            r#type: transaction.transaction_type.name().into(),
            result: transaction.result,
            revenue: transaction.revenue.text(currency),
            payout: transaction.payout.text(currency),
            currency,
            original: original(transaction.direct_amount, None),
            auto_set_at: transaction.auto_set.map(|due| due.at),
            created_at: transaction.created_at,
            updated_at: transaction.updated_at,
            revision: transaction.revision,
        }
    }
}

/// A log row as administrators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// Its id.
    pub id: RequestId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// How it came in.
    pub method: Method,
    /// Where it came from.
    pub remote_addr: Option<Box<str>>,
    /// Its parameters, secrets masked.
    pub query: String,
    /// The definition that decided; absent where none was found.
    pub postback_id: Option<Box<str>>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused or is a duplicate.
    pub reason: Option<Reason>,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Cow<'static, str>>,
    /// The parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<Box<str>>,
    /// What to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Cow<'static, str>>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
    /// The conversion that it is about.
    pub conversion_id: Option<ConversionId>,
    /// The transactions that it made or changed.
    pub transaction_ids: Vec<TransactionId>,
    /// How the decision came about, in words.
    pub trace: Vec<String>,
}

/// The answer of `explain` and `send`: everything, amounts included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What became of it, or would.
    pub outcome: Outcome,
    /// Why it was refused or is a duplicate.
    pub reason: Option<Reason>,
    /// Why, in a sentence.
    pub message: Option<Cow<'static, str>>,
    /// The parameter at fault.
    pub parameter: Option<Box<str>>,
    /// What to try.
    pub hint: Option<Cow<'static, str>>,
    /// What is worth knowing.
    pub notes: Vec<Note>,
    /// The conversion in its state at the end.
    pub conversion: Option<ConversionView>,
    /// Its transactions in their state at the end.
    pub transactions: Vec<TransactionView>,
    /// What happened (R36).
    pub events: Vec<&'static str>,
    /// What is sent out, or would be: messages as they are made, without attempts.
    pub deliveries: Vec<DeliveryView>,
    /// How the decision came about, in words.
    pub trace: Vec<String>,
}

impl Explanation {
    /// The explanation of a decision under the rules that made it.
    pub fn of(decision: &Decision, ruleset: &Ruleset) -> Self {
        let root = decision.root.as_deref();
        let refusal = decision.refusal.as_ref();
        let transactions = decision.transactions.as_slice();
        let view = |conversion: &Conversion| {
            root.map(|root| ConversionView::of(conversion, root, transactions, ruleset.currency()))
        };
        let told = |message: &Message| DeliveryView::of(message, None, Vec::new());
        let conversion = decision.conversion.as_deref().and_then(view);
        Self {
            outcome: decision.outcome,
            reason: refusal.map(|refusal| refusal.reason),
            message: refusal.map(|refusal| refusal.message.clone()),
            parameter: refusal.and_then(|refusal| refusal.parameter.clone()),
            hint: refusal.and_then(|refusal| refusal.hint.clone()),
            notes: decision.notes.clone(),
            transactions: conversion.as_ref().map_or_else(Vec::new, |c| c.transactions.clone()),
            conversion,
            events: decision.events.iter().map(|event| event.name()).collect(),
            deliveries: decision.messages().map(told).collect(),
            trace: decision.trace.lines(ruleset, decision.outcome),
        }
    }
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which rows of a list are wanted. Absent: all. Filters that a list has no column for match
/// nothing of it, and adapters refuse them beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The row's own id.
    pub id: Option<String>,
    /// The advertiser's id.
    pub external_id: Option<String>,
    /// The type.
    pub r#type: Option<String>,
    /// The result.
    pub result: Option<TransactionResult>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// The reason.
    pub reason: Option<Reason>,
    /// The root's affiliate.
    pub affiliate: Option<String>,
    /// The root's offer.
    pub offer: Option<String>,
    /// The root's advertiser.
    pub advertiser: Option<String>,
    /// Whose a tracking API or a message is: `admin` or an affiliate's id.
    pub owner: Option<String>,
    /// Where a message stands.
    pub state: Option<MessageState>,
    /// The tracking API of a message.
    pub tracking_api: Option<String>,
    /// The postback definition whose step a message is.
    pub postback: Option<String>,
    /// The conversion that a message is about.
    pub conversion: Option<String>,
    /// Made or received at this moment or later.
    pub since: Option<Timestamp>,
    /// Made or received before this moment.
    pub until: Option<Timestamp>,
    /// The most rows of a page: 1 to 1000.
    pub limit: Option<u32>,
    /// Where the page begins, as [`Page::next_cursor`] said.
    pub cursor: Option<String>,
}

impl Filter {
    /// Rows on a page where none is asked for.
    pub const LIMIT_DEFAULT: u32 = 50;
    /// The most rows on a page.
    pub const LIMIT_MAX: u32 = 1000;

    /// The number of rows on a page.
    pub fn page_len(&self) -> u32 {
        self.limit.unwrap_or(Self::LIMIT_DEFAULT).clamp(1, Self::LIMIT_MAX)
    }
}
