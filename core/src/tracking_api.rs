//! Outbound definitions (R37 to R43, R45): when something is told to another system, what the
//! request looks like, and what is done with the answer.
//!
//! [`TrackingApi`] is the checked definition. A [`Call`] is the part that tracking APIs and
//! sequence steps share: request, retries, and the mapping back.

use alloc::{boxed::Box, collections::BTreeMap, collections::BTreeSet, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{
    answer::POINTER_SEGMENTS_MAX,
    conversion::{ConversionType, Method, Source},
    decision::Event,
    delivery::RetryPolicy,
    pieces::Pieces,
    time::Period,
    token::{
        AdvertiserId, AffiliateId, Channel, CommissionId, Integration, OfferId, SecretName,
        TrackingApiId,
    },
    transaction::TransactionResult,
};

/// An outbound definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingApi {
    /// Its id.
    pub id: TrackingApiId,
    /// Whose it is (R39).
    pub owner: Owner,
    /// Which events it fires on (R37).
    pub trigger: Trigger,
    /// What else must hold (R38).
    pub conditions: TrackingConditions,
    /// What is sent, and what is done with the answer.
    pub call: Call,
    /// Secrets that sign each message, the first being the newest; none: unsigned.
    pub sign: Vec<SecretName>,
    /// How long messages about a transaction wait for its result (R43).
    pub delay: Option<Period>,
    /// Whether the messages about one conversion keep their order (R44).
    pub ordered: bool,
    /// Whether it fires at all.
    pub active: bool,
}

/// Whose a tracking API is (R39).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The tenant's own.
    Admin,
    /// An affiliate postback: it sees this affiliate's conversions only, and the payout leg only.
    Affiliate(AffiliateId),
}

/// Which events a tracking API fires on (R37).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// Any event of a transaction.
    #[default]
    Transaction,
    /// A transaction was made.
    TransactionCreated,
    /// A transaction was told of again.
    TransactionUpdated,
    /// Any event of a conversion.
    Conversion,
    /// A conversion was made.
    ConversionCreated,
    /// A conversion changed.
    ConversionUpdated,
}

impl Trigger {
    /// All of them, in the order of their numbers 1 to 6.
    pub const ALL: [Self; 6] = [
        Self::Transaction,
        Self::TransactionCreated,
        Self::TransactionUpdated,
        Self::Conversion,
        Self::ConversionCreated,
        Self::ConversionUpdated,
    ];

    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::TransactionCreated => "transaction.created",
            Self::TransactionUpdated => "transaction.updated",
            Self::Conversion => "conversion",
            Self::ConversionCreated => "conversion.created",
            Self::ConversionUpdated => "conversion.updated",
        }
    }

    /// Whether an event fires it.
    pub const fn fires_on(self, event: Event) -> bool {
        match event {
            Event::ConversionCreated => matches!(self, Self::Conversion | Self::ConversionCreated),
            Event::ConversionUpdated => matches!(self, Self::Conversion | Self::ConversionUpdated),
            Event::TransactionCreated(_) => {
                matches!(self, Self::Transaction | Self::TransactionCreated)
            }
            Event::TransactionUpdated(_) => {
                matches!(self, Self::Transaction | Self::TransactionUpdated)
            }
        }
    }

    /// Whether it is about transactions.
    pub const fn is_of_transactions(self) -> bool {
        matches!(self, Self::Transaction | Self::TransactionCreated | Self::TransactionUpdated)
    }
}

/// The conditions of a tracking API (R38). An absent set means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackingConditions {
    /// Sources of the root.
    pub sources: Option<BTreeSet<Source>>,
    /// Conversion types.
    pub types: Option<BTreeSet<ConversionType>>,
    /// Commissions: of the event's transaction, or of one of the conversion's.
    pub commissions: Option<BTreeSet<CommissionId>>,
    /// Affiliates.
    pub affiliates: Option<BTreeSet<AffiliateId>>,
    /// Advertisers.
    pub advertisers: Option<BTreeSet<AdvertiserId>>,
    /// Integrations.
    pub integrations: Option<BTreeSet<Integration>>,
    /// Channels.
    pub channels: Option<BTreeSet<Channel>>,
    /// Offers.
    pub offers: Option<BTreeSet<OfferId>>,
    /// Offers that are left out, whatever `offers` says.
    pub offers_excluded: BTreeSet<OfferId>,
    /// The result.
    pub results: ResultCondition,
}

/// The condition on the result (R38).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ResultCondition {
    /// No filter: conversions without money are told too.
    #[default]
    NotChosen,
    /// Only where there is a transaction.
    All,
    /// Only these results.
    Only(BTreeSet<TransactionResult>),
}

/// One outbound request: what tracking APIs and sequence steps share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The request, with its macros.
    pub request: RequestTemplate,
    /// The longest that one attempt may take (R41).
    pub timeout: Period,
    /// When it is tried again (R42).
    pub retry: RetryPolicy,
    /// Where an answer says that the result is still pending (R42).
    pub pending: Option<PendingAnswer>,
    /// What of an answer is applied to the conversion (R45).
    pub set: Vec<Mapping>,
}

/// The request of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTemplate {
    /// The HTTP method.
    pub method: HttpMethod,
    /// Scheme, host and port of the URL, as in `https://shoply.example:443`: what has a breaker
    /// and a share of the connections of its own.
    pub destination: Box<str>,
    /// The URL; scheme, host and port are literal.
    pub url: Pieces,
    /// Headers, names in lower case.
    pub headers: Vec<(Box<str>, Pieces)>,
    /// The body, with its content type.
    pub body: Option<(Box<str>, Pieces)>,
}

impl RequestTemplate {
    /// The secrets in it, in the order they stand.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let headers = self.headers.iter().map(|(_, pieces)| pieces);
        let body = self.body.iter().map(|(_, pieces)| pieces);
        let all = core::iter::once(&self.url).chain(headers).chain(body);
        all.flat_map(Pieces::secrets)
    }
}

/// The methods of outbound requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl HttpMethod {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The name in rules and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A JSON Pointer (RFC 6901), split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(pub(crate) Vec<Box<str>>);

/// Why a text is no JSON Pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a JSON Pointer begins with `/`, as in /order/state, and has at most 16 segments")]
pub struct PointerError;

impl Pointer {
    /// Reads a pointer; the empty text points at the whole answer.
    ///
    /// # Errors
    /// Where it does not begin with a slash, or has too many segments.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let rest = text.strip_prefix('/').ok_or(PointerError)?;
        let plain = |segment: &str| segment.replace("~1", "/").replace("~0", "~").into();
        let segments: Vec<Box<str>> = rest.split('/').map(plain).collect();
        if segments.len() > POINTER_SEGMENTS_MAX {
            return Err(PointerError);
        }
        Ok(Self(segments))
    }

    /// It as it is written in rules.
    pub fn text(&self) -> String {
        let escaped = |segment: &str| segment.replace('~', "~0").replace('/', "~1");
        self.0.iter().flat_map(|segment| ["/".into(), escaped(segment)]).collect()
    }
}

/// Where an answer says "still pending" (R42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAnswer {
    /// Where.
    pub path: Pointer,
    /// The values that mean it.
    pub among: BTreeSet<Box<str>>,
}

/// One value of an answer that becomes a parameter of an update (R45).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The parameter: `result`, `value`, `commission`, `price`, `external_id` or `param.NAME`.
    pub parameter: Box<str>,
    /// Where the value stands.
    pub path: Pointer,
    /// What its words mean; absent: it is taken as it is.
    pub words: Option<BTreeMap<Box<str>, Box<str>>>,
}

/// Why an update was made: the tracking API or step whose answer brought it, and how many answers
/// came before it in the same chain (R45).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Whose answer it was.
    pub tracking_api: Option<TrackingApiId>,
    /// How long the chain is, this answer included.
    pub depth: u8,
}

/// The longest chain of causes (R45).
pub const CAUSES_MAX: u8 = 5;

impl Cause {
    /// Whether an update by this method can have a cause.
    pub const fn may_stand_with(method: Method) -> bool {
        matches!(method, Method::TrackingApi | Method::Step)
    }
}
