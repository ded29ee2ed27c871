//! The parameters that have a meaning (semantics 2), their names, and R5: one parameter, one value.

use alloc::{boxed::Box, format, vec::Vec};

use crate::{
    conversion::ConversionType,
    decode::{PARAM_PREFIX, Pairs},
    dialects::{Dialect, Meaning, secret_names},
    ids::ConversionId,
    money::Amount,
    nearest::edit_distance,
    reason::{Reason, Refusal, shown},
};

/// A parameter with a meaning of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Parameter {
    /// The conversion to pair with.
    Pcid,
    /// The advertiser.
    AdvertiserId,
    /// The advertiser's id.
    ExternalId,
    /// The commission to apply.
    CommissionId,
    /// The conversion type.
    Type,
    /// The order value.
    Value,
    /// The direct revenue amount.
    Commission,
    /// The price.
    Price,
    /// The status.
    Result,
    /// Create or update.
    Action,
    /// The currency of the amounts.
    Currency,
    /// The definition.
    Id,
    /// A shared secret.
    Token,
    /// The time of a signature.
    Ts,
    /// A signature.
    Sig,
}

/// How many parameters there are.
const COUNT: usize = Parameter::Sig as usize + 1;

impl Parameter {
    /// The parameter of this name in the native dialect, case-sensitive (R2).
    pub(crate) fn named(name: &str) -> Option<Self> {
        match Dialect::native().meaning(name) {
            Some(Meaning::Known(parameter)) => Some(*parameter),
            _ => None,
        }
    }

    /// Its name in the native dialect.
    pub fn name(self) -> &'static str {
        Dialect::native().name_of(self).unwrap_or_default()
    }

    /// Whether its value is masked wherever it is kept.
    pub(crate) const fn is_secret(self) -> bool {
        matches!(self, Self::Token | Self::Ts | Self::Sig)
    }

    /// The secret that a name stands for, or was meant to: a secret under its name in another case
    /// proves nothing (R2), and is masked all the same (P10). So is a param of a root.
    pub(crate) fn secret_named(name: &str) -> Option<Self> {
        let bare = name.strip_prefix(PARAM_PREFIX).unwrap_or(name);
        let meant = secret_names().find(|(known, _)| known.eq_ignore_ascii_case(bare));
        meant.map(|(_, secret)| secret)
    }

    /// Whether it says which conversion is meant (R14).
    pub(crate) const fn identifies(self) -> bool {
        matches!(self, Self::Pcid | Self::AdvertiserId | Self::ExternalId)
    }

    /// Whether two values mean the same after normalising (R5).
    fn is_same(self, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        match self {
            Self::Pcid => equal(one.parse::<ConversionId>(), other.parse()),
            Self::Value | Self::Commission | Self::Price => {
                equal(one.parse::<Amount>(), other.parse())
            }
            Self::Result | Self::Action | Self::Currency => one.eq_ignore_ascii_case(other),
            Self::Type => {
                let built_in = ConversionType::built_in(one);
                built_in.is_some() && built_in == ConversionType::built_in(other)
            }
            _ => false,
        }
    }
}

fn equal<T: PartialEq, E>(one: Result<T, E>, other: Result<T, E>) -> bool {
    matches!((one, other), (Ok(one), Ok(other)) if one == other)
}

/// The reserved name of a dialect that an unknown one was perhaps meant to be: it differs only in
/// case, or, from four letters on, by one edit, from eight letters on by two.
pub(crate) fn similar_name<'d>(dialect: &'d Dialect, unknown: &str) -> Option<&'d str> {
    let folded = unknown.to_ascii_lowercase();
    let letters = letters(&folded);
    let distance_max = |name: &str| match name.len() {
        0..4 => 0,
        4..8 => 1,
        _ => 2,
    };
    let close = dialect.known_names().filter_map(|(name, _)| {
        let most = distance_max(name);
        // Every request with unknown names comes here: most pairs are told apart without counting
        // edits, for an edit changes the length by one and the set of letters by two at most.
        let far = name.len().abs_diff(folded.len()) > most
            || (letters ^ self::letters(name)).count_ones() as usize > 2 * most;
        if far {
            return None;
        }
        let distance = edit_distance(name, &folded);
        (distance <= most).then_some((distance, name))
    });
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Which letters stand in a name, a bit each; everything that is no letter shares one.
fn letters(name: &str) -> u32 {
    name.bytes().fold(0, |set, byte| match byte {
        b'a'..=b'z' => set | 1 << (byte - b'a'),
        _ => set | 1 << 31,
    })
}

/// A value with the name under which it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a str,
}

impl Given<'_> {
    /// R6: an identifier that is still a macro of the dialect.
    ///
    /// # Errors
    /// `unresolved_macro`.
    pub(crate) fn refuse_macro(
        self,
        dialect: &Dialect,
        parameter: Parameter,
    ) -> Result<(), Refusal> {
        if !dialect.is_macro(parameter, self.value) {
            return Ok(());
        }
        let message = format!("`{}` is still the macro `{}`", self.name, shown(self.value));
        Err(Refusal::new(Reason::UnresolvedMacro, message)
            .about(self.name)
            .hint("the sender must replace the macro by a value"))
    }
}

pub(crate) fn looks_like_macro(value: &str) -> bool {
    let wrapped = |open: char, close: char| {
        value.len() > 2 && value.starts_with(open) && value.ends_with(close)
    };
    let braces = value.find('{').is_some_and(|open| value[open..].contains('}'));
    braces || wrapped('[', ']') || wrapped('#', '#') || wrapped('%', '%')
}

/// The parameters of a request, each once (R5).
pub(crate) struct Parameters<'a> {
    given: [Option<Given<'a>>; COUNT],
    /// All other names with their first values, in the order they came.
    pub(crate) others: Vec<(&'a str, &'a str)>,
    /// Other names that came more than once.
    pub(crate) repeated: Vec<Box<str>>,
}

impl<'a> Parameters<'a> {
    /// Gathers the decoded pairs, by the names of a dialect, and what is fixed in it.
    ///
    /// # Errors
    /// `conflicting_parameters` where one parameter has two values (R5).
    pub(crate) fn gather(dialect: &'a Dialect, pairs: &'a Pairs<'_>) -> Result<Self, Refusal> {
        let mut gathered = Self { given: [None; COUNT], others: Vec::new(), repeated: Vec::new() };
        for (name, value) in pairs {
            match dialect.meaning(name) {
                Some(Meaning::Known(parameter)) => {
                    gathered.put(*parameter, Given { name, value })?;
                }
                _ => gathered.put_other(name, value),
            }
        }
        for fixed in dialect.fixed.iter() {
            let given = Given { name: fixed.parameter.name(), value: &fixed.value };
            gathered.put(fixed.parameter, given)?;
        }
        Ok(gathered)
    }

    /// The value of a parameter.
    pub(crate) fn get(&self, parameter: Parameter) -> Option<Given<'a>> {
        self.given.get(parameter as usize).copied().flatten()
    }

    fn put(&mut self, parameter: Parameter, new: Given<'a>) -> Result<(), Refusal> {
        let Some(slot) = self.given.get_mut(parameter as usize) else {
            return Ok(());
        };
        match slot {
            None => *slot = Some(new),
            Some(old) if parameter.is_same(old.value, new.value) => {}
            Some(old) => return Err(conflict(parameter, *old, new)),
        }
        Ok(())
    }

    fn put_other(&mut self, name: &'a str, value: &'a str) {
        if !self.others.iter().any(|(known, _)| *known == name) {
            self.others.push((name, value));
        } else if !self.repeated.iter().any(|known| **known == *name) {
            self.repeated.push(name.into());
        }
    }
}

fn conflict(parameter: Parameter, old: Given<'_>, new: Given<'_>) -> Refusal {
    let message = if parameter.is_secret() {
        format!("`{}` has two different values", new.name)
    } else if old.name == new.name {
        format!("`{}` is both `{}` and `{}`", new.name, shown(old.value), shown(new.value))
    } else {
        format!(
            "`{}` is `{}`, but `{}`, another name of it, is `{}`",
            old.name,
            shown(old.value),
            new.name,
            shown(new.value)
        )
    };
    Refusal::new(Reason::ConflictingParameters, message).about(new.name).hint("send it once")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_told_from_values() {
        for text in ["{x}", "{{x}}", "[x]", "#x#", "%x%", "${x}", "a{b}c", "{}"] {
            assert!(looks_like_macro(text), "{text}");
        }
        for text in ["x", "[x", "#1", "100%", "{", "}{", "[]", "a#b#c", "%%"] {
            assert!(!looks_like_macro(text), "{text}");
        }
    }

    #[test]
    fn similar_names_by_length() {
        let table = [
            ("Type", Some("type")),
            ("PCID", Some("pcid")),
            ("extenal_id", Some("external_id")),
            ("exernal_d", Some("external_id")),
            ("pcidd", Some("pcid")),
            ("ID", Some("id")),
            ("ie", None),
            ("eic", None),
            ("typo_", None),
            ("click", None),
            ("campaign", None),
            ("valeu", Some("value")),
        ];
        for (name, want) in table {
            assert_eq!(similar_name(Dialect::native(), name), want, "{name}");
        }
    }

    #[test]
    fn equal_after_normalising_is_one() {
        let table = [
            ("value", "1.50", "1.5", true),
            ("value", "x", "y", false),
            (
                "pcid",
                "01930000-0000-7ABC-8def-0123456789ab",
                "0193000000007abc8def0123456789ab",
                true,
            ),
            ("type", "Sale", "sale", true),
            ("type", "Deposit", "deposit", false),
            ("result", "APPROVED", "approved", true),
            ("external_id", "A", "a", false),
            ("currency", "eur", "EUR", true),
        ];
        for (name, one, other, same) in table {
            let pairs: Pairs<'_> =
                alloc::vec![(name.into(), one.into()), (name.into(), other.into())];
            let gathered = Parameters::gather(Dialect::native(), &pairs);
            assert_eq!(gathered.is_ok(), same, "{name} {one} {other}");
        }
    }
}
