//! Conversions and their roots (semantics 1 and 3): what happened, unpaid.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    currency::Currency,
    ids::ConversionId,
    money::{Amount, Rate},
    time::Timestamp,
    token::{AdvertiserId, AffiliateId, Channel, CommissionId, Integration, OfferId, TypeName},
};

/// The type of a conversion, and of a transaction (R9, R10).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConversionType {
    /// A visitor followed an affiliate link.
    Click,
    /// Something was shown.
    View,
    /// A lead was passed on.
    Send,
    /// A visitor left contact details.
    Lead,
    /// A lead that the advertiser takes seriously.
    Prospect,
    /// An order.
    Sale,
    /// A type that the rules register.
    Custom(TypeName),
}

impl ConversionType {
    /// The built-in types, in the order of the semantics.
    pub const BUILT_IN: [Self; 6] =
        [Self::Click, Self::View, Self::Send, Self::Lead, Self::Prospect, Self::Sale];

    /// The name in rules and requests.
    pub fn name(&self) -> &str {
        match self {
            Self::Click => "click",
            Self::View => "view",
            Self::Send => "send",
            Self::Lead => "lead",
            Self::Prospect => "prospect",
            Self::Sale => "sale",
            Self::Custom(name) => name.as_str(),
        }
    }

    /// The built-in type of this name, in any case (R2).
    pub fn built_in(name: &str) -> Option<Self> {
        Self::BUILT_IN.into_iter().find(|built_in| built_in.name().eq_ignore_ascii_case(name))
    }

    /// Whether a postback may create it (R9).
    pub const fn is_trackable(&self) -> bool {
        matches!(self, Self::Lead | Self::Prospect | Self::Sale | Self::Custom(_))
    }

    /// Whether it may be a root that is handed in (R51).
    pub const fn may_be_root(&self) -> bool {
        matches!(self, Self::Click | Self::View | Self::Send | Self::Lead)
    }
}

impl fmt::Display for ConversionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a root came in. A property of the root, never the tracking method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// By an affiliate link.
    Link,
    /// By an iframe.
    Iframe,
    /// Over the API.
    Api,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Link, Self::Iframe, Self::Api];

    /// The name in rules and requests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Iframe => "iframe",
            Self::Api => "api",
        }
    }

    /// The source of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// How a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A server-to-server postback.
    S2s,
    /// A pixel in a page.
    Pixel,
    /// The API that hands in roots.
    Api,
    /// A row of an import.
    Import,
    /// A sequence step's answer, mapped back.
    Step,
    /// A tracking API's answer, mapped back.
    TrackingApi,
    /// A result that a commission sets after a period (R35).
    AutoSet,
    /// An edit by an administrator.
    Admin,
    /// A visitor who followed an affiliate link.
    Link,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::S2s,
        Self::Pixel,
        Self::Api,
        Self::Import,
        Self::Step,
        Self::TrackingApi,
        Self::AutoSet,
        Self::Admin,
        Self::Link,
    ];

    /// The name in answers and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S2s => "s2s",
            Self::Pixel => "pixel",
            Self::Api => "api",
            Self::Import => "import",
            Self::Step => "step",
            Self::TrackingApi => "tracking_api",
            Self::AutoSet => "auto_set",
            Self::Admin => "admin",
            Self::Link => "link",
        }
    }

    /// The method of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// Whether the built-in definition decides (R47): no conditions, authentication or limits.
    pub const fn is_internal(self) -> bool {
        !matches!(self, Self::S2s | Self::Pixel)
    }
}

/// Why a text is no external id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an external id is 1 to 255 bytes of UTF-8 without control characters")]
pub struct ExternalIdError;

/// The advertiser's own id of a lead or order: 1 to 255 bytes, no control characters, compared
/// byte for byte; unique only together with the advertiser.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Box<str>")]
pub struct ExternalId(Arc<str>);

impl ExternalId {
    /// The most bytes that it may have.
    pub const LEN_MAX: usize = 255;

    /// Checks `text` and makes the id.
    ///
    /// # Errors
    /// Where it is empty, too long, or has a control character.
    pub fn new(text: &str) -> Result<Self, ExternalIdError> {
        let fits = (1..=Self::LEN_MAX).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            return Ok(Self(text.into()));
        }
        Err(ExternalIdError)
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<Box<str>> for ExternalId {
    type Error = ExternalIdError;
    fn try_from(text: Box<str>) -> Result<Self, ExternalIdError> {
        Self::new(&text)
    }
}

impl Serialize for ExternalId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parameters that have no meaning of their own, kept verbatim by name.
pub type Params = BTreeMap<Box<str>, Box<str>>;

/// What a root knows about where the visitor came from; every conversion under it shares this
/// (R15). It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// How the root came in.
    pub source: Source,
    /// The offer.
    pub offer: OfferId,
    /// The offer's advertiser at the time of the root.
    pub advertiser: AdvertiserId,
    /// The affiliate.
    pub affiliate: AffiliateId,
    /// The channel, where one was named.
    pub channel: Option<Channel>,
    /// The integration, where one was named.
    pub integration: Option<Integration>,
    /// The affiliate's own sub ids: number (1 to 10) and text, by number.
    pub affs: Vec<(u8, Box<str>)>,
    /// The affiliate's own id of the click.
    pub affiliate_click_id: Option<Box<str>>,
}

/// A root as the conversions under it see it: what can never change about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its id: the `{pcid}` of macros.
    pub id: ConversionId,
    /// Its type, as it was made.
    pub conversion_type: ConversionType,
    /// Where the visitor came from.
    pub origin: Origin,
    /// When it was made.
    pub created_at: Timestamp,
}

/// An amount as it came, and what it is worth in the tenant's currency (R34).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// The amount in the tenant's currency, rounded to six decimals; everything works on this.
    pub amount: Amount,
    /// The amount as it came, where it came in another currency.
    pub original: Option<(Amount, Currency)>,
}

/// A record that something happened. Unpaid; money is in its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// Its id.
    pub id: ConversionId,
    /// Its root's id; a root names itself.
    pub root_id: ConversionId,
    /// Its type. Changes only by R47.
    pub conversion_type: ConversionType,
    /// How the request that made it came in.
    pub method: Method,
    /// Where the visitor came from; only a root has this.
    pub origin: Option<Origin>,
    /// The advertiser's id, where one is known.
    pub external_id: Option<ExternalId>,
    /// The order value.
    pub value: Option<Received>,
    /// The price received from the advertiser; informational.
    pub price: Option<Received>,
    /// A direct amount (R30) that no transaction has taken yet.
    pub untaken_commission: Option<Received>,
    /// Its own currency: that of the request which made it, else the tenant's (R34).
    pub currency: Currency,
    /// Rates frozen at the first use of a foreign currency (R34).
    pub rates: Vec<(Currency, Rate)>,
    /// Everything else that came with it.
    pub params: Params,
    /// Commissions that the recurrence limit kept from making a transaction here (R20, R27).
    pub exhausted: Vec<CommissionId>,
    /// When it was made: the arrival of its request (import: its date).
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// How many times it changed; 1 when it is made.
    pub revision: u32,
}

impl Conversion {
    /// A conversion that was just made and holds nothing yet but its type and its place.
    pub(crate) fn new(
        id: ConversionId,
        root_id: ConversionId,
        conversion_type: ConversionType,
        method: Method,
        currency: Currency,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            root_id,
            conversion_type,
            method,
            origin: None,
            external_id: None,
            value: None,
            price: None,
            untaken_commission: None,
            currency,
            rates: Vec::new(),
            params: Params::new(),
            exhausted: Vec::new(),
            created_at: at,
            updated_at: at,
            revision: 1,
        }
    }

    /// Whether this is a root.
    pub fn is_root(&self) -> bool {
        self.id == self.root_id
    }

    /// What the conversions under it see, where this is a root.
    pub fn as_root(&self) -> Option<Root> {
        self.origin.as_ref().map(|origin| Root {
            id: self.id,
            conversion_type: self.conversion_type.clone(),
            origin: origin.clone(),
            created_at: self.created_at,
        })
    }

    /// The rate that was frozen for a currency at its first use (R34).
    pub fn frozen_rate(&self, currency: Currency) -> Option<Rate> {
        self.rates.iter().find(|(frozen, _)| *frozen == currency).map(|(_, rate)| *rate)
    }
}

/// The name under which a raw status word that was mapped is kept in the params (R48).
pub const RAW_RESULT_PARAM: &str = "result";
