//! Personal values: e-mail addresses, phone numbers and what the rules list are masked among the
//! parameters before anything is decided on them. So what is stored is what was decided, and
//! nothing behind the reading of a request holds the value: no trace, answer, list, log or message.
//!
//! A masked value is known wherever it comes again (`***`, or `sha256:` and 64 digits): masking
//! twice is masking once, and a log row is read again as it was decided.
//!
//! Where it looks: at every parameter but the external id, which pairs and is the repeat key, and
//! the affiliate's id of its click, which goes back to it. No other parameter with a meaning can
//! hold an address or a number in international form and be accepted, so masking one changes no
//! outcome. Names that the rules list, and numbers that only their name tells, count for the
//! sender's own parameters alone.

mod foreign;
mod named;
mod units;

use alloc::{borrow::Cow, borrow::ToOwned, boxed::Box, format, string::String, vec::Vec};
use core::fmt::Write;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    conversion::Method,
    decode::{PARAM_PREFIX, Pairs},
    dialects::{Dialect, Meaning},
    logged_text::MASK,
    parameter::Parameter,
    read::{CAUSE_PARAM, DEPTH_PARAM, TARGET_PARAM},
    root::is_root_field,
    ruleset::Ruleset,
    token::TenantName,
    tracking_api::Cause,
};

pub use foreign::Sent;
pub(crate) use named::is_same_name;

/// What is done with a personal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is kept as it came.
    Keep,
    /// A hash of it is kept, which tells whether two values are the same.
    Hash,
    /// It is not kept.
    Drop,
}

impl Treatment {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Hash, Self::Drop];

    /// The name in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }
}

/// What the rules say about personal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// E-mail addresses, under any name.
    pub email: Treatment,
    /// Phone numbers.
    pub phone: Treatment,
    /// Names of the senders' own parameters that the rules treat by themselves, in any case and
    /// however their words are joined.
    pub listed: Vec<(Box<str>, Treatment)>,
    /// Goes into each hash, so that the hashes of two tenants cannot be compared.
    pub(crate) tenant: TenantName,
}

/// What became of a personal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Masked {
    /// Only its hash is kept.
    Hashed,
    /// It is not kept.
    Dropped,
}

/// What a name is, where values are masked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The sender's own.
    Own,
    /// It has a meaning whose values are never personal.
    Known,
    /// Its value stays, whatever it is.
    Exempt,
}

/// What a hash begins with.
const HASH_PREFIX: &str = "sha256:";
const HASH_LEN: usize = HASH_PREFIX.len() + 64;

/// What became of a value, where it was masked.
pub(crate) fn masked(value: &str) -> Option<Masked> {
    if let Some(number) = value.strip_prefix(MASK) {
        return number.bytes().all(|b| b.is_ascii_digit()).then_some(Masked::Dropped);
    }
    let digits = value.strip_prefix(HASH_PREFIX)?;
    let is_hash = value.len() == HASH_LEN && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hash.then_some(Masked::Hashed)
}

impl Ruleset {
    /// What becomes of personal values.
    pub fn privacy(&self) -> &Privacy {
        &self.privacy
    }
}

impl Privacy {
    /// E-mail addresses and phone numbers are hashed; nothing is listed.
    pub(crate) fn of_tenant(tenant: TenantName) -> Self {
        Self { email: Treatment::Hash, phone: Treatment::Hash, listed: Vec::new(), tenant }
    }

    /// Masks the parameters of a postback, by the names of the dialect that it is read in.
    pub(crate) fn mask_postback(&self, method: Method, dialect: &Dialect, pairs: &mut Pairs<'_>) {
        self.mask(pairs, |name| match dialect.meaning(name) {
            Some(Meaning::Known(Parameter::ExternalId)) => Scope::Exempt,
            _ if Parameter::secret_named(name).is_some() => Scope::Exempt,
            Some(Meaning::Known(_) | Meaning::Event | Meaning::Listed(_) | Meaning::Ignored) => {
                Scope::Known
            }
            Some(Meaning::Own | Meaning::OwnNumber) | None => {
                let is_of_cause = [TARGET_PARAM, CAUSE_PARAM, DEPTH_PARAM].contains(&name)
                    && Cause::may_stand_with(method);
                if is_of_cause { Scope::Exempt } else { Scope::Own }
            }
        });
    }

    /// Masks the fields of a root, or the query of an affiliate link.
    pub fn mask_root(&self, pairs: &mut Pairs<'_>) {
        self.mask(pairs, |name| match name {
            "external_id" | "affiliate_click_id" | "affiliateClickId" => Scope::Exempt,
            _ if is_root_field(name) => Scope::Known,
            _ => Scope::Own,
        });
    }

    /// Masks the value of a parameter that is known in every dialect.
    pub(crate) fn mask_known(&self, name: &str, value: &mut Cow<'_, str>) {
        if let Some(treatment) = self.treatment(name, value, &|_| Scope::Known) {
            *value = self.in_place_of(value, treatment, &mut Vec::new()).into();
        }
    }

    /// Whether a value is personal, and must not be repeated as it came.
    pub fn hides(&self, name: &str, value: &str) -> bool {
        self.treatment(name, value, &|_| Scope::Own).is_some()
    }

    fn mask(&self, pairs: &mut Pairs<'_>, scope: impl Fn(&str) -> Scope) {
        let mut dropped = Vec::new();
        for (name, value) in pairs {
            if let Some(treatment) = self.treatment(name, value, &scope) {
                *value = self.in_place_of(value, treatment, &mut dropped).into();
            }
        }
    }

    /// What is done with a value; nothing, where it stays.
    fn treatment(
        &self,
        name: &str,
        value: &str,
        scope: &dyn Fn(&str) -> Scope,
    ) -> Option<Treatment> {
        let listed = self.listed(name);
        let bare = name.strip_prefix(PARAM_PREFIX).unwrap_or(name);
        // All of a value is looked at, many bytes at a time: nearly none has any of these.
        let has_sign = value.bytes().fold(false, |has, b| has | matches!(b, b'@' | b'%' | b'+'));
        let (is_email, is_phone) = (has_sign && has_email(value), has_sign && has_phone(value));
        let may_be_phone = !is_phone && is_local_number(value) && names_phone(bare);
        if listed.is_none() && !is_email && !is_phone && !may_be_phone {
            return None;
        }
        let scope = scope(name);
        let listed = listed.filter(|_| scope == Scope::Own);
        let is_phone = is_phone || may_be_phone && scope == Scope::Own;
        let shape = match () {
            () if is_email => Some(self.email),
            () if is_phone => Some(self.phone),
            () => None,
        };
        let treatment = match scope {
            Scope::Exempt => None,
            Scope::Own | Scope::Known => listed.or(shape),
        };
        match (treatment?, masked(value)) {
            (Treatment::Keep, _) | (_, Some(Masked::Dropped)) => None,
            (Treatment::Hash, Some(Masked::Hashed)) => None,
            (treatment, _) => Some(treatment),
        }
    }

    fn listed(&self, name: &str) -> Option<Treatment> {
        let bare = name.strip_prefix(PARAM_PREFIX).unwrap_or(name);
        let found = self.listed.iter().find(|(known, _)| is_same_name(known, bare));
        found.map(|(_, treatment)| *treatment)
    }

    /// What stands in place of a value. Different values that are dropped stay different, so that a
    /// conflict is still one when the row is read again (R5).
    fn in_place_of(&self, value: &str, treatment: Treatment, dropped: &mut Vec<String>) -> String {
        if treatment == Treatment::Hash {
            return self.hash(value);
        }
        let place = dropped.iter().position(|known| known == value).unwrap_or_else(|| {
            dropped.push(value.to_owned());
            dropped.len() - 1
        });
        if place == 0 { MASK.to_owned() } else { format!("{MASK}{place}") }
    }

    /// SHA-256 over the tenant's name and the value, so that ready-made tables do not fit.
    fn hash(&self, value: &str) -> String {
        let digest = Sha256::new()
            .chain_update(b"counterfoil personal value\0")
            .chain_update(self.tenant.as_str())
            .chain_update(b"\0")
            .chain_update(normal(value).as_bytes())
            .finalize();
        let mut text = HASH_PREFIX.to_owned();
        for byte in digest {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

/// One form for values that mean the same person: addresses without case, numbers by their digits.
fn normal(value: &str) -> Cow<'_, str> {
    if value.contains('@') {
        return value.to_ascii_lowercase().into();
    }
    if is_number(value) {
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        return digits.strip_prefix("00").unwrap_or(&digits).to_owned().into();
    }
    value.into()
}

/// Whether an address stands in the value: a word, an at sign (perhaps encoded once more), and a
/// domain with a dot.
fn has_email(value: &str) -> bool {
    let encoded = value.match_indices("%40").map(|(at, sign)| (at, sign.len()));
    let plain = value.match_indices('@').map(|(at, sign)| (at, sign.len()));
    plain.chain(encoded).any(|(at, len)| {
        let is_local = |c: char| c.is_alphanumeric() || "._+-'!#$&*/=?^`{|}~\"".contains(c);
        let before = value.get(..at).unwrap_or_default();
        before.ends_with(is_local)
            && domain_len(value.get(at + len..).unwrap_or_default()).is_some()
    })
}

/// The bytes of the domain that a text begins with; none, where it begins with none.
fn domain_len(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '.' || c == '-'));
    let domain = text.get(..end.unwrap_or(text.len())).unwrap_or_default().trim_end_matches('.');
    let (host, top) = domain.rsplit_once('.')?;
    let is_domain = !host.is_empty()
        && !host.starts_with('.')
        && top.chars().filter(|c| c.is_alphabetic()).count() > 1;
    is_domain.then_some(domain.len())
}

/// The digits of a phone number in international form, as many as there are at least and at most.
const PHONE_DIGITS: core::ops::RangeInclusive<usize> = 8..=15;
/// The least digits of a number that only its name tells.
const LOCAL_DIGITS_MIN: usize = 6;

const fn joins_digits(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/')
}

/// Whether a number in international form stands in the value: a plus sign, not behind a letter or
/// a digit, and 8 to 15 digits, the first of them no zero.
fn has_phone(value: &str) -> bool {
    let bytes = value.as_bytes();
    value.match_indices('+').any(|(at, _)| {
        let is_inside = at.checked_sub(1).and_then(|before| bytes.get(before));
        if is_inside.is_some_and(u8::is_ascii_alphanumeric) {
            return false;
        }
        let rest = bytes.get(at + 1..).unwrap_or_default();
        let number = rest.iter().take_while(|b| b.is_ascii_digit() || joins_digits(**b));
        let mut digits = number.filter(|b| b.is_ascii_digit()).peekable();
        digits.peek().is_some_and(|first| **first != b'0') && PHONE_DIGITS.contains(&digits.count())
    })
}

/// Whether a value may be a number as people of one country write it.
fn is_local_number(value: &str) -> bool {
    is_number(value) && (LOCAL_DIGITS_MIN..=17).contains(&digits_of(value))
}

fn is_number(value: &str) -> bool {
    let value = value.strip_prefix('+').unwrap_or(value);
    value.bytes().all(|b| b.is_ascii_digit() || joins_digits(b))
}

fn digits_of(value: &str) -> usize {
    value.bytes().filter(u8::is_ascii_digit).count()
}

/// Whether a name says that its value is a phone number.
fn names_phone(name: &str) -> bool {
    const PARTS: [&str; 3] = ["phone", "msisdn", "whatsapp"];
    const WHOLE: [&str; 8] =
        ["tel", "mobile", "mobil", "gsm", "cell", "fax", "mobile_number", "tel_number"];
    let has = |part: &str| {
        name.as_bytes().windows(part.len()).any(|w| w.eq_ignore_ascii_case(part.as_bytes()))
    };
    WHOLE.iter().any(|whole| name.eq_ignore_ascii_case(whole)) || PARTS.into_iter().any(has)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const HASHED: &str = "sha256:";

    fn acme() -> Privacy {
        Privacy::of_tenant(TenantName::new("acme").unwrap())
    }

    fn told(privacy: &Privacy, pairs: &[(&str, &str)]) -> Vec<String> {
        let mut given: Pairs<'_> =
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        privacy.mask_postback(Method::S2s, Dialect::native(), &mut given);
        let once = given.clone();
        privacy.mask_postback(Method::S2s, Dialect::native(), &mut given);
        assert_eq!(given, once, "masking twice is masking once");
        given.into_iter().map(|(_, value)| value.into_owned()).collect()
    }

    fn one(privacy: &Privacy, name: &str, value: &str) -> String {
        told(privacy, &[(name, value)]).remove(0)
    }

    #[test]
    fn shapes_are_told_from_other_values() {
        for (name, value) in [
            ("x", "john.doe+1@shop.example"),
            ("x", "John <JOHN@shop.co.uk>, hello"),
            ("x", "john%40shop.example"),
            ("x", "mailto:jan.novák@obchod.example."),
            ("x", "+420777123456"),
            ("x", "call +420 777-123-456 now"),
            ("x", "+1 (555) 123-4567"),
            ("phone", "420777123456"),
            ("UserPhone", "777 123 456"),
            ("param.tel", "00420777123456"),
            ("value", "john@shop.example"),
        ] {
            assert!(one(&acme(), name, value).starts_with(HASHED), "{name}={value}");
        }
        for (name, value) in [
            ("pcid", "01930000-0000-7abc-8def-0123456789ab"),
            ("external_id", "john@shop.example"),
            ("advertiser_external_id", "+420777123456"),
            ("value", "1234567890.5"),
            ("order", "420777123456"),
            ("at", "2026-01-31T12:00:00+01:00"),
            ("ip", "192.168.100.200"),
            ("phone", "12345"),
            ("phone_model", "pixel 9"),
            ("mobile_campaign", "123456789"),
            ("x", "@handle.example"),
            ("x", "me@localhost"),
            ("x", "a @ b.example"),
            ("x", "100%"),
            ("x", "1+123456789"),
            ("x", "+0123456789"),
            ("x", "+1234567"),
        ] {
            assert_eq!(one(&acme(), name, value), value, "{name}");
        }
    }

    #[test]
    fn a_hash_tells_the_same_person_and_not_over_tenants() {
        let hash = |name, value| one(&acme(), name, value);
        assert_eq!(hash("a", "John@Shop.example"), hash("b", "john@shop.EXAMPLE"));
        assert_eq!(hash("a", "+420 777 123 456"), hash("phone", "420777123456"));
        assert_ne!(hash("a", "john@shop.example"), hash("a", "joan@shop.example"));
        let other = Privacy::of_tenant(TenantName::new("other").unwrap());
        assert_ne!(hash("a", "john@shop.example"), one(&other, "a", "john@shop.example"));
        assert_eq!(masked(&hash("a", "john@shop.example")), Some(Masked::Hashed));
    }

    #[test]
    fn what_the_rules_list_beats_the_shape_and_holds_for_own_names_alone() {
        let mut privacy = acme();
        privacy.email = Treatment::Drop;
        privacy.listed = vec![
            ("first_name".into(), Treatment::Drop),
            ("customer".into(), Treatment::Hash),
            ("shop_mail".into(), Treatment::Keep),
            ("tid".into(), Treatment::Drop),
        ];
        for name in ["First_Name", "firstName", "FIRST-NAME", "firstname", "param.firstName"] {
            assert_eq!(one(&privacy, name, "John"), "***", "{name}");
        }
        for name in ["first_name2", "xfirst_name", "first", "first.name", "_", ""] {
            assert_eq!(one(&privacy, name, "John"), "John", "{name}");
        }
        assert!(one(&privacy, "customer", "4711").starts_with(HASHED));
        assert_eq!(one(&privacy, "shop_mail", "info@shop.example"), "info@shop.example");
        assert_eq!(one(&privacy, "x", "john@shop.example"), "***");
        // Values that conflict go on doing so.
        let conflict =
            [("value", "a@b.example"), ("value", "c@d.example"), ("value", "a@b.example")];
        assert_eq!(told(&privacy, &conflict), ["***", "***1", "***"]);
        // A name that the dialect knows is not the sender's own.
        let mut pairs: Pairs<'_> = vec![("tid".into(), "A-1".into())];
        let keitaro = Dialect::named("keitaro").unwrap();
        privacy.mask_postback(Method::S2s, keitaro, &mut pairs);
        assert_eq!(pairs, [("tid".into(), "A-1".into())]);
        assert_eq!(one(&privacy, "tid", "A-1"), "***");
    }

    #[test]
    fn with_everything_kept_nothing_changes() {
        let mut privacy = acme();
        (privacy.email, privacy.phone) = (Treatment::Keep, Treatment::Keep);
        for value in ["john@shop.example", "+420777123456", "***", "sha256:x"] {
            assert_eq!(one(&privacy, "phone", value), value);
        }
    }
}
