//! What a store is to look for, and what follows from what it holds.

use alloc::{
    boxed::Box,
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Finding, NameFault, bare, finding::made_at, known};
use crate::{
    conversion::Method,
    decode::{Incoming, Pairs, decode},
    dialects::{DIALECTS, Dialect},
    ids::ConversionId,
    parameter::Parameter,
    postback::Postback,
    read::parse,
    ruleset::Ruleset,
    select::select,
    token::TenantName,
};

/// The least that an id and its beginning must share to be told as the same.
const BEGINNING_LEN_MIN: usize = 4;
/// The least digits of a click id that are looked for.
const DIGITS_MIN: usize = 8;

/// What a store is to look for.
#[derive(Clone, Debug, Default)]
pub struct Sought<'r> {
    /// The parameters, but for secrets, by name and value.
    pairs: Vec<(String, String)>,
    /// The same, as the log keeps them: without what is personal.
    masked: Vec<(String, String)>,
    click: Option<Named>,
    external: Option<Named>,
    meant: Option<Meant<'r>>,
}

/// What it means, where it can be read.
#[derive(Clone, Debug)]
pub(super) struct Meant<'r> {
    pub(super) ruleset: &'r Ruleset,
    /// The dialect of the path, where the path names one.
    pub(super) dialect: Option<Box<str>>,
    pub(super) postback: Postback,
}

/// An id under the name that it came by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: Box<str>,
    value: Box<str>,
}

/// What a store holds of it, of all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Conversions whose id begins as the click id that is sought.
    pub conversions: Vec<(TenantName, ConversionId)>,
    /// External ids of conversions that are like the one that is sought ([`Sought::is_like`]).
    pub external_ids: Vec<(TenantName, Box<str>)>,
}

/// How like a log row is to what is sought, the likest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// All parameters are the same, but for secrets.
    Same,
    /// It is read as the same postback, though it is written in another way.
    SameMeaning,
    /// Click id and external id are the same.
    SameIds,
    /// The click id is the same.
    SameClickId,
    /// The external id is the same.
    SameExternalId,
    /// An id is the same but for its case or its end, or all parameters but one are the same.
    Near,
}

impl Likeness {
    /// Whether it is what is sought, not only like it.
    pub const fn is_same(self) -> bool {
        matches!(self, Self::Same | Self::SameMeaning)
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Same => "the same",
            Self::SameMeaning => "the same in meaning",
            Self::SameIds => "the same ids",
            Self::SameClickId => "the same click id",
            Self::SameExternalId => "the same external id",
            Self::Near => "nearly the same",
        }
    }

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::SameMeaning => "same_meaning",
            Self::SameIds => "same_ids",
            Self::SameClickId => "same_click_id",
            Self::SameExternalId => "same_external_id",
            Self::Near => "near",
        }
    }
}

impl<'r> Sought<'r> {
    /// What is sought of these parameters, read in a dialect, by what was found out about them.
    pub(super) fn of(
        dialect: &Dialect,
        pairs: &Pairs<'_>,
        masked: &Pairs<'_>,
        findings: &[Finding],
        meant: Option<Meant<'r>>,
    ) -> Self {
        let (public, masked) = (public(pairs), public(masked));
        let mut sought = Self { pairs: public, masked, click: None, external: None, meant };
        for (name, value) in pairs {
            let meant = findings.iter().find_map(|finding| match finding {
                Finding::WrongName { name: wrong, meant, because }
                    if **wrong == **name && *because != NameFault::Spelling =>
                {
                    Some(&**meant)
                }
                _ => None,
            });
            let decoded = findings.iter().find_map(|finding| match finding {
                Finding::EncodedTwice { name: twice, decoded, .. } if **twice == **name => {
                    Some(&**decoded)
                }
                _ => None,
            });
            let value = decoded.unwrap_or(value);
            let Some(parameter) = known(dialect, meant.unwrap_or(name)) else {
                continue;
            };
            let slot = match parameter {
                Parameter::Pcid => &mut sought.click,
                Parameter::ExternalId => &mut sought.external,
                _ => continue,
            };
            if slot.is_none() && !dialect.is_macro(parameter, value) {
                *slot = Some(Named { name: (**name).into(), value: value.into() });
            }
        }
        sought
    }

    /// The ids, first and last, between which conversions are that the click id may name: one, or
    /// those that begin with its digits. Absent where too few digits are there.
    pub fn conversions(&self) -> Option<(ConversionId, ConversionId)> {
        let digits = bare(&self.click.as_ref()?.value);
        let is_beginning = (DIGITS_MIN..=32).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let filled = |with: &str| {
            let rest = with.repeat(32_usize.saturating_sub(digits.len()));
            format!("{digits}{rest}").parse().ok()
        };
        if is_beginning { filled("0").zip(filled("f")) } else { None }
    }

    /// The external id, where there is one.
    pub fn external_id(&self) -> Option<&str> {
        self.external.as_ref().map(|external| &*external.value)
    }

    /// Whether an external id is the one that is sought, or could have become it on the way: in
    /// another case, cut off, with spaces for `+`.
    pub fn is_like(&self, stored: &str) -> bool {
        self.external.as_ref().is_some_and(|given| {
            let given = &*given.value;
            given == stored
                || given.eq_ignore_ascii_case(stored)
                || is_beginning(given, stored)
                || spaced(stored) == given
        })
    }

    /// What follows from what a store holds.
    pub(super) fn compare(&self, tenant: Option<&TenantName>, known: &Known) -> Vec<Finding> {
        let click = self.click.as_ref().and_then(|click| compare_click(click, tenant, known));
        let external = self.external.as_ref();
        let external = external.and_then(|external| compare_external(external, tenant, known));
        // Beside a click id a new order has a new external id, but not one in another case.
        let is_told = |finding: &Finding| {
            self.click.is_none() || matches!(finding, Finding::OtherCase { .. })
        };
        click.into_iter().chain(external.filter(is_told)).collect()
    }

    /// How like a log row is, by the query that it keeps.
    pub fn likeness(&self, logged: &str) -> Option<Likeness> {
        let incoming = Incoming { method: Method::S2s, dialect: None, query: logged, body: None };
        let Ok(pairs) = decode(&incoming) else {
            return self.is_within(logged).then_some(Likeness::Near);
        };
        let likeness = self.likeness_of(&pairs)?;
        let has_id = matches!(
            likeness,
            Likeness::SameIds | Likeness::SameClickId | Likeness::SameExternalId
        );
        let is_meant = |meant: &Meant<'_>| has_id && meant.is(&incoming, pairs);
        if self.meant.as_ref().is_some_and(is_meant) {
            return Some(Likeness::SameMeaning);
        }
        Some(likeness)
    }

    /// How like it is as it is written.
    fn likeness_of(&self, pairs: &Pairs<'_>) -> Option<Likeness> {
        let logged = public(pairs);
        if logged == self.pairs || logged == self.masked {
            return (!logged.is_empty()).then_some(Likeness::Same);
        }
        let of = |sought: &Option<Named>, parameter| {
            let sought = sought.as_ref()?;
            let values = || {
                let is_it = |name: &str| *name == *sought.name || may_be(name, parameter);
                logged.iter().filter(move |(name, _)| is_it(name)).map(|(_, value)| &**value)
            };
            if values().any(|value| same(parameter, value, &sought.value)) {
                return Some(true);
            }
            values().any(|value| is_near(parameter, value, &sought.value)).then_some(false)
        };
        let click = of(&self.click, Parameter::Pcid);
        let external = of(&self.external, Parameter::ExternalId);
        match (click, external) {
            (Some(true), Some(true)) => Some(Likeness::SameIds),
            (Some(true), _) => Some(Likeness::SameClickId),
            (_, Some(true)) => Some(Likeness::SameExternalId),
            (Some(false), _) | (_, Some(false)) => Some(Likeness::Near),
            (None, None) => {
                let is_near = |pairs| self.is_all_but_one(pairs, &logged);
                (is_near(&self.pairs) || is_near(&self.masked)).then_some(Likeness::Near)
            }
        }
    }

    /// Whether an id stands in a text that cannot be decoded.
    fn is_within(&self, text: &str) -> bool {
        let ids = self.click.iter().chain(&self.external);
        let long = |id: &&Named| id.value.len() >= DIGITS_MIN;
        ids.filter(long).any(|id| text.contains(&*id.value))
    }

    /// Where no id is known: whether the same names have the same values, but for one.
    fn is_all_but_one(&self, pairs: &[(String, String)], logged: &[(String, String)]) -> bool {
        let len = pairs.len();
        let equal = pairs.iter().filter(|pair| logged.contains(pair)).count();
        let names = |pairs: &[(String, String)]| -> Vec<String> {
            pairs.iter().map(|(name, _)| name.clone()).collect()
        };
        self.click.is_none()
            && self.external.is_none()
            && len >= 3
            && equal + 1 == len
            && names(pairs) == names(logged)
    }
}

impl Meant<'_> {
    /// Whether a log row is read as the same postback. What is personal in it is masked already,
    /// or else masked here, so that both are compared as they would be kept.
    fn is(&self, logged: &Incoming<'_>, mut pairs: Pairs<'_>) -> bool {
        let logged = Incoming { dialect: self.dialect.as_deref(), ..*logged };
        let read = select(self.ruleset, &logged, &mut pairs)
            .and_then(|definition| parse(self.ruleset, definition, Method::S2s, &pairs));
        read.is_ok_and(|read| bare_meaning(read) == bare_meaning(self.postback.clone()))
    }
}

/// A postback without what only tells how it was written.
fn bare_meaning(postback: Postback) -> Postback {
    let currency = postback.currency.map(|code| code.to_ascii_uppercase().into());
    Postback { currency, notes: Vec::new(), steps: Vec::new(), ..postback }
}

/// The parameters without secrets, in the order of their names.
fn public(pairs: &Pairs<'_>) -> Vec<(String, String)> {
    let is_public = |name: &str| Parameter::secret_named(name).is_none();
    let public = pairs.iter().filter(|(name, _)| is_public(name));
    let mut public: Vec<(String, String)> =
        public.map(|(name, value)| (name.to_string(), value.to_string())).collect();
    public.sort_unstable();
    public.dedup();
    public
}

/// Whether some dialect means this parameter by a name.
fn may_be(name: &str, parameter: Parameter) -> bool {
    DIALECTS.into_iter().any(|dialect| known(dialect, name) == Some(parameter))
}

fn same(parameter: Parameter, one: &str, other: &str) -> bool {
    if parameter == Parameter::Pcid { bare(one) == bare(other) } else { one == other }
}

fn is_near(parameter: Parameter, one: &str, other: &str) -> bool {
    if parameter == Parameter::Pcid {
        let (one, other) = (bare(one), bare(other));
        let starts = |long: &str, short: &str| short.len() >= DIGITS_MIN && long.starts_with(short);
        return starts(&one, &other) || starts(&other, &one);
    }
    one.eq_ignore_ascii_case(other)
        || is_beginning(one, other)
        || is_beginning(other, one)
        || spaced(one) == spaced(other)
}

fn is_beginning(short: &str, long: &str) -> bool {
    short.len() >= BEGINNING_LEN_MIN && short.len() < long.len() && long.starts_with(short)
}

fn spaced(id: &str) -> String {
    id.replace('+', " ")
}

fn compare_click(given: &Named, tenant: Option<&TenantName>, known: &Known) -> Option<Finding> {
    let Named { name, value } = given.clone();
    let id = value.parse::<ConversionId>().ok();
    let is_ours = |owner: &TenantName| tenant.is_none_or(|tenant| tenant == owner);
    let Some(id) = id else {
        let mut ours = known.conversions.iter().filter(|(owner, _)| is_ours(owner));
        let (_, whole) = ours.next()?;
        let whole = whole.to_string().into();
        return Some(Finding::Truncated { name, value, whole });
    };
    let mut holders = known.conversions.iter().filter(|(_, stored)| *stored == id);
    match holders.next() {
        Some((owner, _)) if is_ours(owner) => None,
        Some((owner, _)) => Some(Finding::OtherTenant { name, value, tenant: owner.clone() }),
        None => Some(Finding::NotStored { name, value, made_at: made_at(&id) }),
    }
}

fn compare_external(given: &Named, tenant: Option<&TenantName>, known: &Known) -> Option<Finding> {
    let Named { name, value } = given.clone();
    let is_ours = |owner: &TenantName| tenant.is_none_or(|tenant| tenant == owner);
    let (ours, theirs): (Vec<_>, Vec<_>) =
        known.external_ids.iter().partition(|(owner, _)| is_ours(owner));
    let find = |fits: &dyn Fn(&str) -> bool| ours.iter().find(|(_, id)| fits(id)).map(|(_, id)| id);
    if find(&|id| id == &*value).is_some() {
        return None;
    }
    if let Some((tenant, _)) = theirs.iter().find(|(_, id)| *id == value) {
        return Some(Finding::OtherTenant { name, value, tenant: tenant.clone() });
    }
    if let Some(stored) = find(&|id| id.eq_ignore_ascii_case(&value)) {
        return Some(Finding::OtherCase { name, value, stored: stored.clone() });
    }
    if let Some(meant) = find(&|id| spaced(id) == *value) {
        return Some(Finding::WrongValue { name, value, meant: meant.clone() });
    }
    match find(&|id| is_beginning(&value, id)) {
        Some(whole) => Some(Finding::Truncated { name, value, whole: whole.clone() }),
        None => Some(Finding::NotStored { name, value, made_at: None }),
    }
}
