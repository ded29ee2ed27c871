//! Making a root (R51): an affiliate link's click, or what is handed in over the API.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use crate::{
    conversion::{Conversion, ConversionType, ExternalId, Method, Origin, Params, Source},
    decode::{
        NAME_LEN_MAX, PAIRS_MAX, PARAM_PREFIX, PARAMS_MAX, Pairs, VALUE_LEN_MAX, json_members,
        json_scalar,
    },
    dialects::Dialect,
    logged_text::masked_text,
    money::Amount,
    nearest::nearest,
    parameter::{Given, Parameter},
    privacy::{Masked, masked},
    reason::{Reason, Refusal, shown},
    ruleset::Ruleset,
    token::{AffiliateId, Channel, Integration, OfferId, TokenError},
};

/// A root to be made, read and typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootRequest {
    /// How it came in: `link` or `api`.
    pub method: Method,
    /// Its type.
    pub conversion_type: ConversionType,
    /// How the visitor came.
    pub source: Source,
    /// The offer.
    pub offer: OfferId,
    /// The affiliate.
    pub affiliate: AffiliateId,
    /// The channel.
    pub channel: Option<Channel>,
    /// The integration.
    pub integration: Option<Integration>,
    /// The affiliate's sub ids, by number (1 to 10).
    pub affs: Vec<(u8, Box<str>)>,
    /// The affiliate's own id of the click.
    pub affiliate_click_id: Option<Box<str>>,
    /// The advertiser's id of a lead.
    pub external_id: Option<ExternalId>,
    /// The value.
    pub value: Option<Amount>,
    /// Everything else.
    pub params: Params,
    /// Parameters whose values were personal, and what became of these.
    pub masked: Vec<(Box<str>, Masked)>,
}

/// The fields of a root over the API, beside `affs1` to `affs10` and `param.NAME`.
const FIELDS: [&str; 9] = [
    "type",
    "source",
    "offer_id",
    "affiliate_id",
    "channel",
    "integration",
    "external_id",
    "value",
    "affiliate_click_id",
];

/// Whether a name is one of the fields of a root, whose values have forms of their own.
pub(crate) fn is_root_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// The number of the sub id that `affsN` names, 1 to 10.
fn aff_number(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("affs").filter(|digits| !digits.starts_with(['0', '+']))?;
    digits.parse().ok().filter(|number| (1..=10).contains(number))
}

/// The parameters of a root from a JSON object; `params` and `affs` may be objects of their own,
/// or null.
///
/// # Errors
/// `malformed`.
pub fn root_pairs(json: &[u8]) -> Result<Pairs<'static>, Refusal> {
    let mut pairs = Pairs::new();
    for (name, raw) in json_members(json)? {
        let prefix = match name.as_str() {
            "params" => PARAM_PREFIX,
            "affs" => "",
            _ => {
                let value = json_scalar(&name, raw)?;
                pairs.extend(value.and_then(kept).map(|value| (name.into(), value.into())));
                continue;
            }
        };
        // Null is absent (R8).
        if raw.get() == "null" {
            continue;
        }
        for (inner, raw) in json_members(raw.get().as_bytes()).map_err(|r| r.about(&name))? {
            let value = json_scalar(&inner, raw)?;
            let full = format!("{prefix}{inner}");
            pairs.extend(value.and_then(kept).map(|value| (full.into(), value.into())));
        }
    }
    Ok(pairs)
}

/// The value without surrounding white space, where anything remains (R4).
fn kept(value: String) -> Option<String> {
    let trimmed = value.trim_matches(|c: char| c.is_ascii_whitespace());
    (!trimmed.is_empty()).then(|| trimmed.into())
}

impl RootRequest {
    /// Reads a root from the parameters of [`root_pairs`], or from what a log row kept of them.
    ///
    /// # Errors
    /// `malformed`, `conflicting_parameters`, `invalid_parameter`, `unresolved_macro`,
    /// `invalid_identifier`, `invalid_amount`, `type_required`, `unknown_type`, `unknown_offer`,
    /// `unknown_affiliate`, `type_not_root`.
    pub fn read(ruleset: &Ruleset, method: Method, pairs: &Pairs<'_>) -> Result<Self, Refusal> {
        let OpenFields { affs, params, masked } = open_fields(pairs)?;
        let field = |name: &'static str| {
            pairs.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
        };
        refuse_macro(field("external_id"))?;
        let needed = |name: &'static str| {
            field(name).ok_or_else(|| {
                Refusal::new(Reason::InvalidParameter, format!("a root needs `{name}`"))
                    .about(name)
                    .hint("give type, source, offer_id and affiliate_id")
            })
        };
        let source = source(needed("source")?)?;
        let type_name = field("type").ok_or_else(|| {
            Refusal::new(Reason::TypeRequired, "a root needs its type")
                .about("type")
                .hint("send click, lead, view or send")
        })?;
        let root = Self {
            method,
            conversion_type: root_type(ruleset, type_name)?,
            source,
            offer: token("offer_id", needed("offer_id")?, OfferId::new)?,
            affiliate: token("affiliate_id", needed("affiliate_id")?, AffiliateId::new)?,
            channel: field("channel")
                .map(|text| token("channel", text, Channel::new))
                .transpose()?,
            integration: field("integration")
                .map(|text| token("integration", text, Integration::new))
                .transpose()?,
            affs,
            affiliate_click_id: field("affiliate_click_id").map(Box::from),
            external_id: field("external_id").map(external_id).transpose()?,
            value: field("value").map(value).transpose()?,
            params,
            masked,
        };
        root.origin(ruleset)?;
        root.refuse_other_types()?;
        Ok(root)
    }

    /// Not every type can be a root (R51).
    fn refuse_other_types(&self) -> Result<(), Refusal> {
        if self.conversion_type.may_be_root() {
            return Ok(());
        }
        let message = format!("a `{}` cannot be a root", self.conversion_type);
        Err(Refusal::new(Reason::TypeNotRoot, message)
            .about("type")
            .hint("roots are click, lead, view and send; send others as postbacks"))
    }

    /// A visitor's click on an affiliate link. What the link's query says wrongly is no reason to
    /// turn a visitor away: a channel or an integration that is no token stays as a param.
    ///
    /// # Errors
    /// `unknown_offer`, `unknown_affiliate`.
    pub fn click(
        ruleset: &Ruleset,
        offer: &str,
        affiliate: &str,
        pairs: &Pairs<'_>,
    ) -> Result<Self, Refusal> {
        let mut click = Self {
            method: Method::Link,
            conversion_type: ConversionType::Click,
            source: Source::Link,
            offer: OfferId::new(offer).map_err(|_| unknown_offer(ruleset, offer))?,
            affiliate: AffiliateId::new(affiliate)
                .map_err(|_| unknown_affiliate(ruleset, affiliate))?,
            channel: None,
            integration: None,
            affs: Vec::new(),
            affiliate_click_id: None,
            external_id: None,
            value: None,
            params: Params::new(),
            masked: Vec::new(),
        };
        click.origin(ruleset)?;
        for (name, value) in pairs {
            click.take(name, value);
        }
        click.affs.sort_by_key(|(number, _)| *number);
        Ok(click)
    }

    fn take(&mut self, name: &str, value: &str) {
        if aff_number(name).is_some()
            && let Some(masked) = masked(value)
        {
            self.masked.push((name.into(), masked));
            if masked == Masked::Dropped {
                return;
            }
        }
        if let Some(number) = aff_number(name) {
            if !self.affs.iter().any(|(known, _)| *known == number) {
                self.affs.push((number, value.into()));
            }
            return;
        }
        match name {
            "affiliate_click_id" | "affiliateClickId" => {
                self.affiliate_click_id.get_or_insert_with(|| value.into());
            }
            "channel" => match Channel::new(value) {
                Ok(channel) => self.channel = Some(channel),
                Err(_) => drop(self.params.insert(name.into(), value.into())),
            },
            "integration" => match Integration::new(value) {
                Ok(integration) => self.integration = Some(integration),
                Err(_) => drop(self.params.insert(name.into(), value.into())),
            },
            _ => {}
        }
    }

    /// The request that made a click, as the click itself remembers it. Of personal values that
    /// were dropped it remembers nothing.
    pub fn of_click(click: &Conversion) -> Option<Self> {
        let origin = click.origin.clone()?;
        let is_masked = |(number, value): &(u8, Box<str>)| {
            Some((format!("affs{number}").into(), masked(value)?))
        };
        let masked = origin.affs.iter().filter_map(is_masked).collect();
        Some(Self {
            method: click.method,
            conversion_type: click.conversion_type.clone(),
            source: origin.source,
            offer: origin.offer,
            affiliate: origin.affiliate,
            channel: origin.channel,
            integration: origin.integration,
            affs: origin.affs,
            affiliate_click_id: origin.affiliate_click_id,
            external_id: None,
            value: None,
            params: click.params.clone(),
            masked,
        })
    }

    /// What an affiliate link told of a click, as one form-encoded text: what a log row would keep.
    pub fn text(&self) -> String {
        let fields = [
            ("offer_id", Some(self.offer.as_str())),
            ("affiliate_id", Some(self.affiliate.as_str())),
            ("channel", self.channel.as_ref().map(Channel::as_str)),
            ("integration", self.integration.as_ref().map(Integration::as_str)),
            ("affiliate_click_id", self.affiliate_click_id.as_deref()),
        ];
        let known =
            fields.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
        let affs =
            self.affs.iter().map(|(n, value)| (format!("affs{n}").into(), (&**value).into()));
        let params = self.params.iter().map(|(name, value)| ((&**name).into(), (&**value).into()));
        masked_text(&known.chain(affs).chain(params).collect())
    }

    /// Where the visitor comes from, by the rules of now.
    ///
    /// # Errors
    /// `unknown_offer`, `unknown_affiliate`.
    pub(crate) fn origin(&self, ruleset: &Ruleset) -> Result<Origin, Refusal> {
        let offer = ruleset
            .offer(self.offer.as_str())
            .ok_or_else(|| unknown_offer(ruleset, self.offer.as_str()))?;
        if ruleset.affiliate(self.affiliate.as_str()).is_none() {
            return Err(unknown_affiliate(ruleset, self.affiliate.as_str()));
        }
        Ok(Origin {
            source: self.source,
            offer: self.offer.clone(),
            advertiser: offer.advertiser.clone(),
            affiliate: self.affiliate.clone(),
            channel: self.channel.clone(),
            integration: self.integration.clone(),
            affs: self.affs.clone(),
            affiliate_click_id: self.affiliate_click_id.clone(),
        })
    }
}

/// The fields of a root that are open.
#[derive(Default)]
struct OpenFields {
    /// Sub ids by number.
    affs: Vec<(u8, Box<str>)>,
    params: Params,
    masked: Vec<(Box<str>, Masked)>,
}

/// The sub ids and the params of a root; any other field must be known, and come once. The limits
/// are those of a postback's parameters (semantics 2).
fn open_fields(pairs: &Pairs<'_>) -> Result<OpenFields, Refusal> {
    let malformed = |message: String| Refusal::new(Reason::Malformed, message);
    if pairs.len() > PAIRS_MAX {
        return Err(malformed(format!("there are more than {PAIRS_MAX} fields")).hint("send fewer"));
    }
    let mut open = OpenFields::default();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs.iter().take(at).any(|(earlier, other)| earlier == name && other != value) {
            let message = format!("`{}` has two different values", shown(name));
            return Err(Refusal::new(Reason::ConflictingParameters, message)
                .about(name)
                .hint("send it once"));
        }
        if name.contains('\0') {
            return Err(
                malformed("the name of a field has a NUL character".into()).hint("send text")
            );
        }
        if value.len() > VALUE_LEN_MAX {
            let message = format!("the value of `{}` has {} bytes", shown(name), value.len());
            return Err(malformed(message)
                .about(name)
                .hint(format!("a value has at most {VALUE_LEN_MAX} bytes")));
        }
        if let Some(number) = aff_number(name) {
            if open.keeps(name, value) {
                open.affs.retain(|(known, _)| *known != number);
                open.affs.push((number, (**value).into()));
            }
        } else if let Some(param) = name.strip_prefix(PARAM_PREFIX).filter(|p| !p.is_empty()) {
            refuse_param(param)?;
            if open.keeps(param, value) {
                open.params.insert(param.into(), (**value).into());
            }
        } else if !FIELDS.contains(&&**name) {
            return Err(unknown_field(name));
        }
    }
    if open.params.len() > PARAMS_MAX {
        return Err(malformed(format!("{} params", open.params.len()))
            .about("params")
            .hint(format!("send at most {PARAMS_MAX}")));
    }
    open.affs.sort_by_key(|(number, _)| *number);
    Ok(open)
}

impl OpenFields {
    /// Whether anything is kept of a value; notes what was done with a personal one.
    fn keeps(&mut self, name: &str, value: &str) -> bool {
        let masked = masked(value);
        self.masked.extend(masked.map(|masked| (name.into(), masked)));
        masked != Some(Masked::Dropped)
    }
}

/// A param of a root whose name is too long, or that of a secret: those are never stored.
fn refuse_param(name: &str) -> Result<(), Refusal> {
    if name.len() > NAME_LEN_MAX {
        let message = format!("the name `{}` is too long", shown(name));
        return Err(Refusal::new(Reason::Malformed, message)
            .about(name)
            .hint(format!("a name has at most {NAME_LEN_MAX} bytes")));
    }
    if Parameter::secret_named(name).is_some() {
        let message = format!("`{name}` is the name of a secret and is never stored");
        return Err(Refusal::new(Reason::InvalidParameter, message)
            .about(name)
            .hint("call it otherwise"));
    }
    Ok(())
}

fn unknown_field(name: &str) -> Refusal {
    let message = format!("a root has no `{}`", shown(name));
    let refusal = Refusal::new(Reason::InvalidParameter, message).about(name);
    match nearest(name, FIELDS) {
        Some(close) => refusal.hint(format!("did you mean `{close}`?")),
        None => refusal.hint("put what is your own under `params`"),
    }
}

fn source(text: &str) -> Result<Source, Refusal> {
    Source::named(text).filter(|source| *source != Source::Link).ok_or_else(|| {
        let message = format!("`source` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidParameter, message).about("source").hint("send iframe or api")
    })
}

fn root_type(ruleset: &Ruleset, name: &str) -> Result<ConversionType, Refusal> {
    ruleset.conversion_type(name).ok_or_else(|| {
        let message = format!("no conversion type is called `{}`", shown(name));
        Refusal::new(Reason::UnknownType, message)
            .about("type")
            .hint("send click, lead, view or send")
    })
}

fn token<T>(
    name: &str,
    text: &str,
    make: impl FnOnce(&str) -> Result<T, TokenError>,
) -> Result<T, Refusal> {
    make(text).map_err(|error| {
        let message = format!("`{name}` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidIdentifier, message).about(name).hint(format!("{error}"))
    })
}

/// R6: else all roots of that advertiser would be repeats of the first.
fn refuse_macro(external_id: Option<&str>) -> Result<(), Refusal> {
    let Some(value) = external_id else {
        return Ok(());
    };
    Given { name: "external_id", value }.refuse_macro(Dialect::native(), Parameter::ExternalId)
}

fn external_id(text: &str) -> Result<ExternalId, Refusal> {
    ExternalId::new(text).map_err(|error| {
        let message = format!("`external_id` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidIdentifier, message)
            .about("external_id")
            .hint(format!("{error}"))
    })
}

fn value(text: &str) -> Result<Amount, Refusal> {
    text.parse().map_err(|error| {
        let message = format!("`value` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidAmount, message).about("value").hint(format!("{error}"))
    })
}

fn unknown_offer(ruleset: &Ruleset, id: &str) -> Refusal {
    let known = ruleset.offers().map(|offer| offer.id.as_str());
    unknown(Reason::UnknownOffer, "offer", id, nearest(id, known))
}

fn unknown_affiliate(ruleset: &Ruleset, id: &str) -> Refusal {
    let known = ruleset.affiliates().map(|affiliate| affiliate.id.as_str());
    unknown(Reason::UnknownAffiliate, "affiliate", id, nearest(id, known))
}

fn unknown(reason: Reason, what: &str, id: &str, close: Option<&str>) -> Refusal {
    let message = format!("the rules have no {what} `{}`", shown(id));
    let refusal = Refusal::new(reason, message).about(&format!("{what}_id"));
    match close {
        Some(close) => refusal.hint(format!("did you mean `{close}`?")),
        None => refusal.hint(format!("add it to the rules as [[{what}]]")),
    }
}
