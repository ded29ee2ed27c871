//! A checked set of rules. Whoever holds a [`Ruleset`] holds rules without mistakes: the only way
//! to one is [`Ruleset::check`].

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    authentication::Authentication,
    conversion::{ConversionType, Source},
    currency::Currency,
    dialects::Dialect,
    money::{Amount, Rate},
    privacy::Privacy,
    template::Template,
    time::{Period, Timestamp},
    token::{
        AdvertiserId, AffiliateId, Channel, CommissionId, GroupName, OfferId, PostbackId,
        SecretName, TenantName, TypeName,
    },
    tracking_api::{Call, TrackingApi},
    transaction::{AutoSet, Terms, TransactionResult},
};

/// The rules of one tenant, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    pub(crate) tenant: TenantName,
    pub(crate) currency: Currency,
    pub(crate) conversion_types: BTreeSet<TypeName>,
    pub(crate) advertisers: BTreeMap<AdvertiserId, Advertiser>,
    pub(crate) affiliates: BTreeMap<AffiliateId, Affiliate>,
    pub(crate) offers: BTreeMap<OfferId, Offer>,
    pub(crate) commissions: Vec<Commission>,
    /// The built-in ones, then those of the rules.
    pub(crate) dialects: Vec<Arc<Dialect>>,
    /// In the order of the rules; the global postback is among them unless it was removed.
    pub(crate) postbacks: Vec<PostbackDefinition>,
    /// The global postback, where it is active, for each dialect that is not its own (R13).
    pub(crate) global_spoken: Vec<PostbackDefinition>,
    /// Decides the methods that come from inside (R47).
    pub(crate) built_in: PostbackDefinition,
    pub(crate) exchange_rates: BTreeMap<Currency, Rate>,
    pub(crate) tracking_apis: Vec<TrackingApi>,
    pub(crate) api_tokens: Vec<SecretName>,
    pub(crate) privacy: Privacy,
}

/// Who pays for conversions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertiser {
    /// Its id.
    pub id: AdvertiserId,
    /// Its name for people.
    pub name: String,
}

/// Who brings visitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affiliate {
    /// Its id.
    pub id: AffiliateId,
    /// Its name for people.
    pub name: String,
    /// The group that commissions may ask for.
    pub group: Option<GroupName>,
    /// The secrets whose values read what is the affiliate's own.
    pub api_tokens: Vec<SecretName>,
}

/// What is advertised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its id.
    pub id: OfferId,
    /// Its name for people.
    pub name: String,
    /// Whose offer it is.
    pub advertiser: AdvertiserId,
    /// Where it runs, as the rules write it.
    pub country: Option<String>,
    /// Where an affiliate link leads: http or https, with a literal host. [`Offer::link_url`]
    /// fills its macros.
    pub url: Template,
    /// How long after a click conversions are still made (R52); absent: for ever.
    pub click_window: Option<Period>,
}

/// A rule: when a conversion becomes money, and how much (R24 to R35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commission {
    /// Its id.
    pub id: CommissionId,
    /// The type of the conversions that it pays.
    pub conversion_type: ConversionType,
    /// What else must hold.
    pub conditions: CommissionConditions,
    /// The type of the transactions that it makes (R10).
    pub transaction_type: ConversionType,
    /// The most transactions that it makes under one root (R27); absent: no limit.
    pub recurrence: Option<u32>,
    /// Whether its transactions are approved at birth (R29).
    pub auto_approve: bool,
    /// The results of a request that are taken over at birth (R29).
    pub inherit_result: BTreeSet<TransactionResult>,
    /// The amounts.
    pub terms: Terms,
    /// The result that is set after a period (R35).
    pub auto_set: Option<AutoSet>,
    /// Whether it is considered at all.
    pub active: bool,
}

/// The conditions of a commission (R24). An absent set means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommissionConditions {
    /// Offers.
    pub offers: Option<BTreeSet<OfferId>>,
    /// Advertisers.
    pub advertisers: Option<BTreeSet<AdvertiserId>>,
    /// Affiliates.
    pub affiliates: Option<BTreeSet<AffiliateId>>,
    /// Groups of affiliates.
    pub groups: Option<BTreeSet<GroupName>>,
    /// Sources.
    pub sources: Option<BTreeSet<Source>>,
    /// Channels.
    pub channels: Option<BTreeSet<Channel>>,
    /// The first moment at which it is valid.
    pub valid_from: Option<Timestamp>,
    /// The first moment at which it is valid no more.
    pub valid_to: Option<Timestamp>,
}

/// An inbound postback definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostbackDefinition {
    /// Its id; `global` is the one that decides where a request names none.
    pub id: PostbackId,
    /// Whether it accepts anything at all.
    pub active: bool,
    /// How a request proves who sends it (R49).
    pub authentication: Authentication,
    /// What must hold for a request to be accepted (R19).
    pub conditions: PostbackConditions,
    /// The dialect that requests are written in.
    pub dialect: Arc<Dialect>,
    /// The type of a request that names none and is no `action=update`: its own, else the
    /// dialect's.
    pub default_type: Option<ConversionType>,
    /// How a refusal is answered (R49).
    pub answer: AnswerStyle,
    /// Foreign status words and what they mean here (R48).
    pub status: BTreeMap<Box<str>, StatusMeaning>,
    /// The repeat rule (R47): its own, else the dialect's.
    pub dedup: Dedup,
    /// What it says itself, whatever the dialect.
    pub(crate) own: OwnDefaults,
    /// What a request may claim (R50).
    pub limits: Limits,
    /// Requests that are made after a request which named this definition (R46).
    pub steps: Vec<Call>,
}

impl PostbackDefinition {
    /// A definition that accepts everything: native, of anyone, without conditions or limits, key
    /// `external`, repeats refused.
    pub(crate) fn open(id: PostbackId) -> Self {
        Self {
            id,
            active: true,
            authentication: Authentication::default(),
            conditions: PostbackConditions::default(),
            dialect: Arc::new(Dialect::native().clone()),
            default_type: None,
            answer: AnswerStyle::Ok,
            status: BTreeMap::new(),
            dedup: Dialect::native().dedup,
            own: OwnDefaults::default(),
            limits: Limits::default(),
            steps: Vec::new(),
        }
    }

    /// The same definition for requests in a dialect: what it does not say itself, the dialect
    /// says (R47).
    pub(crate) fn spoken_in(self, dialect: Arc<Dialect>) -> Self {
        let own = &self.own;
        let dedup = Dedup {
            key: own.key.unwrap_or(dialect.dedup.key),
            on_repeat: own.on_repeat.unwrap_or(dialect.dedup.on_repeat),
        };
        let default_type = own.default_type.clone().or_else(|| dialect.default_type.clone());
        Self { dialect, dedup, default_type, ..self }
    }

    /// What a status word means here: what the definition says of it, else the dialect, else it is
    /// one of ours (R48).
    pub(crate) fn status_meaning(&self, word: &str) -> Option<StatusMeaning> {
        let own = self.status.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        own.map(|(_, meaning)| meaning.clone()).or_else(|| self.dialect.status(word)).or_else(
            || {
                let result = TransactionResult::named(word);
                result.map(|_| StatusMeaning { result, conversion_type: None })
            },
        )
    }
}

/// What a definition says of what its dialect would say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnDefaults {
    pub(crate) default_type: Option<ConversionType>,
    pub(crate) key: Option<KeyKind>,
    pub(crate) on_repeat: Option<OnRepeat>,
}

/// The conditions of a postback definition (R19). An absent set means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostbackConditions {
    /// Sources of the root.
    pub sources: Option<BTreeSet<Source>>,
    /// Conversion types; the word `custom` of the rules is already spelled out.
    pub types: Option<BTreeSet<ConversionType>>,
    /// Affiliates.
    pub affiliates: Option<BTreeSet<AffiliateId>>,
    /// Advertisers.
    pub advertisers: Option<BTreeSet<AdvertiserId>>,
    /// Offers.
    pub offers: Option<BTreeSet<OfferId>>,
}

/// How a refusal is answered (R49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStyle {
    /// 200 whatever the outcome.
    Ok,
    /// 422 where the request was refused.
    Strict,
}

/// What a foreign status word means (R48).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusMeaning {
    /// The result that it stands for.
    pub result: Option<TransactionResult>,
    /// The type that it stands for.
    pub conversion_type: Option<ConversionType>,
}

/// What makes two creates the same, and what a repeat does (R47).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// The key.
    pub key: KeyKind,
    /// The reaction.
    pub on_repeat: OnRepeat,
}

/// The kinds of repeat keys (R47).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyKind {
    /// Advertiser, external id and type; no key without an external id (R20).
    External,
    /// The root.
    Click,
    /// The root and the type.
    ClickType,
    /// The root and the external id, or none.
    ClickExternal,
    /// No key: nothing is a repeat.
    None,
}

impl KeyKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::External, Self::Click, Self::ClickType, Self::ClickExternal, Self::None];

    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Click => "click",
            Self::ClickType => "click+type",
            Self::ClickExternal => "click+external",
            Self::None => "none",
        }
    }

    /// Whether the type is part of the key.
    pub const fn has_type(self) -> bool {
        matches!(self, Self::External | Self::ClickType)
    }
}

/// What a repeat does (R47).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OnRepeat {
    /// It is refused as `duplicate`.
    Refuse,
    /// It is applied as an update of the first.
    Update,
    /// As update, but value and commission are added to what was there.
    Add,
}

impl OnRepeat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refuse, Self::Update, Self::Add];

    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Update => "update",
            Self::Add => "add",
        }
    }
}

/// The most that a request may claim (R50). Absent: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Conversion types.
    pub types: Option<BTreeSet<ConversionType>>,
    /// Results.
    pub results: Option<BTreeSet<TransactionResult>>,
    /// Currencies.
    pub currencies: Option<BTreeSet<Currency>>,
    /// The most `value`, in the tenant's currency.
    pub value_max: Option<Amount>,
    /// The most `commission`, in the tenant's currency.
    pub commission_max: Option<Amount>,
}

/// The global postback as requests on the paths of other dialects meet it (R13).
pub(crate) fn global_spoken(
    postbacks: &[PostbackDefinition],
    dialects: &[Arc<Dialect>],
) -> Vec<PostbackDefinition> {
    let is_global = |one: &&PostbackDefinition| one.active && one.id.as_str() == GLOBAL_POSTBACK;
    let Some(global) = postbacks.iter().find(is_global) else {
        return Vec::new();
    };
    let others = dialects.iter().filter(|dialect| dialect.name != global.dialect.name);
    others.map(|dialect| global.clone().spoken_in(Arc::clone(dialect))).collect()
}

/// The id of the definition that decides where a request names none.
pub const GLOBAL_POSTBACK: &str = "global";

/// The id of the definition that decides the methods from inside (R47). Rules may not use it.
pub const BUILT_IN_POSTBACK: &str = "built-in";

impl Ruleset {
    /// The tenant that these rules are for.
    pub fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// The one currency of the tenant (R34).
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The registered custom types.
    pub fn conversion_types(&self) -> impl Iterator<Item = &TypeName> {
        self.conversion_types.iter()
    }

    /// Every type that conversions can have: the built-in ones, then the registered ones.
    pub fn all_types(&self) -> impl Iterator<Item = ConversionType> + '_ {
        let custom = self.conversion_types.iter().cloned().map(ConversionType::Custom);
        ConversionType::BUILT_IN.into_iter().chain(custom)
    }

    /// The type of this name: a built-in one in any case, or a registered one (R2, R9).
    pub fn conversion_type(&self, name: &str) -> Option<ConversionType> {
        let registered = || self.conversion_types.get(name).cloned().map(ConversionType::Custom);
        ConversionType::built_in(name).or_else(registered)
    }

    /// The advertisers, by id.
    pub fn advertisers(&self) -> impl Iterator<Item = &Advertiser> {
        self.advertisers.values()
    }

    /// The affiliates, by id.
    pub fn affiliates(&self) -> impl Iterator<Item = &Affiliate> {
        self.affiliates.values()
    }

    /// The affiliate of this id.
    pub fn affiliate(&self, id: &str) -> Option<&Affiliate> {
        self.affiliates.get(id)
    }

    /// The offers, by id.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values()
    }

    /// The offer of this id.
    pub fn offer(&self, id: &str) -> Option<&Offer> {
        self.offers.get(id)
    }

    /// The commissions, in the order of the rules.
    pub fn commissions(&self) -> &[Commission] {
        &self.commissions
    }

    /// The commission of this id.
    pub fn commission(&self, id: &CommissionId) -> Option<&Commission> {
        self.commissions.iter().find(|commission| commission.id == *id)
    }

    /// The dialects that can be spoken here: the built-in ones, then those of the rules.
    pub fn dialects(&self) -> &[Arc<Dialect>] {
        &self.dialects
    }

    /// The dialect of this name.
    pub fn dialect(&self, name: &str) -> Option<&Arc<Dialect>> {
        self.dialects.iter().find(|dialect| dialect.name == name)
    }

    /// The inbound definitions, in the order of the rules, the global one among them unless it
    /// was removed.
    pub fn postbacks(&self) -> &[PostbackDefinition] {
        &self.postbacks
    }

    /// The definition at a place of a trace: one of [`Self::postbacks`], or behind them the global
    /// one as it is spoken on the path of a dialect (R13).
    pub fn definition_at(&self, place: usize) -> Option<&PostbackDefinition> {
        self.postbacks.iter().chain(&self.global_spoken).nth(place)
    }

    /// The place of a definition; none of the built-in one.
    pub(crate) fn place_of(&self, definition: &PostbackDefinition) -> Option<usize> {
        let mut all = self.postbacks.iter().chain(&self.global_spoken);
        all.position(|known| core::ptr::eq(known, definition))
    }

    /// The definition that decides the methods that come from inside: import, step, tracking_api,
    /// auto_set, admin, and roots (R47).
    pub fn built_in_postback(&self) -> &PostbackDefinition {
        &self.built_in
    }

    /// What one unit of `from` is worth in the tenant's currency, by the rules (R34).
    pub fn exchange_rate(&self, from: Currency) -> Option<Rate> {
        self.exchange_rates.get(&from).copied()
    }

    /// The outbound definitions, in the order of the rules.
    pub fn tracking_apis(&self) -> &[TrackingApi] {
        &self.tracking_apis
    }

    /// The outbound definition of this id.
    pub fn tracking_api(&self, id: &str) -> Option<&TrackingApi> {
        self.tracking_apis.iter().find(|api| api.id.as_str() == id)
    }

    /// The secrets whose values may create roots over HTTP.
    pub fn api_tokens(&self) -> &[SecretName] {
        &self.api_tokens
    }

    /// The secrets that sign messages, as often as the rules name them.
    pub fn signing_secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.tracking_apis.iter().flat_map(|api| &api.sign)
    }

    /// Every secret that the rules name, as often as they name it.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        let steps = self.postbacks.iter().flat_map(|postback| &postback.steps);
        let calls = self.tracking_apis.iter().map(|api| &api.call).chain(steps);
        let affiliates = self.affiliates.values();
        let senders = self.postbacks.iter().flat_map(|postback| postback.authentication.secrets());
        self.api_tokens
            .iter()
            .chain(senders)
            .chain(affiliates.flat_map(|affiliate| &affiliate.api_tokens))
            .chain(self.signing_secrets())
            .chain(calls.flat_map(|call| call.request.secrets()))
    }
}
