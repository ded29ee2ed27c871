//! Money: exact decimals from end to end (R7, R33, R34). Every rounding names its mode.

use alloc::string::String;
use core::{fmt, str::FromStr};

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::currency::Currency;

/// Digits after the dot that an amount may have (R7).
pub(crate) const AMOUNT_FRACTION_MAX: u32 = 6;
/// Digits before the dot that an amount may have (R7).
pub(crate) const AMOUNT_DIGITS_MAX: usize = 12;
/// Micro-units in one unit of a currency: how amounts are stored.
const MICROS_PER_UNIT: i64 = 1_000_000;
/// The first amount that is too large: 10^12 units (R7).
const AMOUNT_LIMIT: i64 = 1_000_000_000_000;
/// The one rounding of this crate (R33, R34).
const ROUNDING: RoundingStrategy = RoundingStrategy::MidpointAwayFromZero;

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an amount is digits, optionally a dot and 1 to 6 digits; at most 12 digits before the dot"
)]
pub struct AmountError;

/// The result of a computation lies beyond what an amount can hold (reason `amount_out_of_range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the amount has more than 12 digits before the dot")]
pub struct OutOfRange;

/// An amount of money: not negative, below 10^12, with at most six digits after the dot (R7).
/// It does not know its currency; what holds it does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The amount of so many micro-units, as a store keeps it.
    ///
    /// # Errors
    /// Where it is negative or too large.
    pub fn from_micros(micros: i64) -> Result<Self, OutOfRange> {
        let amount = Decimal::from_i128_with_scale(i128::from(micros), AMOUNT_FRACTION_MAX);
        Self::within_range(amount)
    }

    /// The amount in micro-units, exact.
    pub fn as_micros(&self) -> i64 {
        let mut scaled = self.0;
        scaled.rescale(AMOUNT_FRACTION_MAX);
        i64::try_from(scaled.mantissa()).unwrap_or(i64::MAX)
    }

    /// The sum, exact.
    ///
    /// # Errors
    /// Where the sum is too large.
    pub fn plus(self, other: Self) -> Result<Self, OutOfRange> {
        Self::within_range(self.0.checked_add(other.0).ok_or(OutOfRange)?)
    }

    /// Rounded to the currency's minor unit, half away from zero (R33).
    ///
    /// # Errors
    /// Where rounding up leaves the range.
    pub fn rounded(self, currency: Currency) -> Result<Self, OutOfRange> {
        round(self.0, currency.digits())
    }

    /// So many percent of this, rounded once to the currency's minor unit, half away from zero
    /// (R33).
    ///
    /// # Errors
    /// Where the result is too large.
    pub fn percent(self, percent: Percent, currency: Currency) -> Result<Self, OutOfRange> {
        let product = self.0.checked_mul(percent.0).ok_or(OutOfRange)?;
        let exact = product.checked_mul(Decimal::new(1, 2)).ok_or(OutOfRange)?;
        round(exact, currency.digits())
    }

    /// Converted with a rate and rounded to six decimals, half away from zero (R34).
    ///
    /// # Errors
    /// Where the result is too large.
    pub fn converted(self, rate: Rate) -> Result<Self, OutOfRange> {
        round(self.0.checked_mul(rate.0).ok_or(OutOfRange)?, AMOUNT_FRACTION_MAX)
    }

    /// The amount with at least the currency's digits and at most six: `10.00`, `0.125`, `1990`.
    pub fn text(self, currency: Currency) -> String {
        let mut shown = self.0.normalize();
        if shown.scale() < currency.digits() {
            shown.rescale(currency.digits());
        }
        alloc::format!("{shown}")
    }

    fn within_range(amount: Decimal) -> Result<Self, OutOfRange> {
        if amount.is_sign_negative() && !amount.is_zero() || amount >= Decimal::from(AMOUNT_LIMIT) {
            return Err(OutOfRange);
        }
        Ok(Self(amount.normalize()))
    }
}

fn round(exact: Decimal, digits: u32) -> Result<Amount, OutOfRange> {
    Amount::within_range(exact.round_dp_with_strategy(digits, ROUNDING))
}

impl FromStr for Amount {
    type Err = AmountError;
    /// Reads the grammar of R7 and nothing else: no sign, exponent, separator or comma.
    fn from_str(text: &str) -> Result<Self, AmountError> {
        let whole =
            plain_decimal(text, AMOUNT_DIGITS_MAX, AMOUNT_FRACTION_MAX).ok_or(AmountError)?;
        Self::within_range(whole).map_err(|_| AmountError)
    }
}

/// Digits, optionally a dot and more digits, within the given lengths.
fn plain_decimal(text: &str, before_max: usize, after_max: u32) -> Option<Decimal> {
    let (before, after) = match text.split_once('.') {
        Some((before, after)) if !after.is_empty() => (before, after),
        Some(_) => return None,
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let fits = (1..=before_max).contains(&before.len()) && after.len() <= after_max as usize;
    if !fits || !digits(before) || !digits(after) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.as_micros().serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            return String::deserialize(from)?.parse().map_err(serde::de::Error::custom);
        }
        Self::from_micros(i64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// Why a text is no percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is digits, at most 3 before and 4 after the dot, without a percent sign")]
pub struct PercentError;

/// A percentage: at most three digits before and four after the dot (R33).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(Decimal);

impl Percent {
    /// Whether it takes more than the whole.
    pub fn is_above_hundred(&self) -> bool {
        self.0 > Decimal::ONE_HUNDRED
    }
}

impl FromStr for Percent {
    type Err = PercentError;
    fn from_str(text: &str) -> Result<Self, PercentError> {
        plain_decimal(text, 3, 4).map(|d| Self(d.normalize())).ok_or(PercentError)
    }
}

/// Why a text is no exchange rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number above zero with at most 10 significant digits, for example 0.92")]
pub struct RateError;

/// An exchange rate: above zero, at most ten significant digits (R33).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(Decimal);

impl FromStr for Rate {
    type Err = RateError;
    fn from_str(text: &str) -> Result<Self, RateError> {
        let rate = plain_decimal(text, 10, 18).ok_or(RateError)?.normalize();
        // 18 digits of an amount times 10 of a rate are exact in 28.
        if rate.is_zero() || rate.mantissa() >= 10_i128.pow(10) {
            return Err(RateError);
        }
        Ok(Self(rate))
    }
}

macro_rules! decimal_text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                if to.is_human_readable() {
                    return to.collect_str(self);
                }
                let mantissa = i64::try_from(self.0.mantissa()).unwrap_or(i64::MAX);
                (mantissa, self.0.scale()).serialize(to)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                if from.is_human_readable() {
                    return String::deserialize(from)?.parse().map_err(D::Error::custom);
                }
                let (mantissa, scale) = <(i64, u32)>::deserialize(from)?;
                Decimal::try_from_i128_with_scale(i128::from(mantissa), scale)
                    .map(Self)
                    .map_err(D::Error::custom)
            }
        }
    )+};
}

decimal_text!(Percent, Rate);

const _: () = assert!(AMOUNT_LIMIT.checked_mul(MICROS_PER_UNIT).is_some(), "amounts fit in i64");

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn the_grammar_of_r7_and_nothing_else() {
        for (text, shown) in [
            ("0", "0"),
            ("007", "7"),
            ("1.50", "1.5"),
            ("0.000001", "0.000001"),
            ("999999999999.999999", "999999999999.999999"),
        ] {
            assert_eq!(alloc::format!("{}", amount(text)), shown);
        }
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1_000",
            "1,5",
            "1 000",
            "0x1",
            "١",
            "1.0000001",
            "1000000000000",
            "0000000000001",
            "NaN",
            "1.2.3",
        ] {
            assert_eq!(bad.parse::<Amount>(), Err(AmountError), "{bad}");
        }
    }

    #[test]
    fn stored_form_is_exact() {
        for text in ["0", "0.000001", "12.34", "999999999999.999999"] {
            assert_eq!(Amount::from_micros(amount(text).as_micros()).unwrap(), amount(text));
        }
        assert_eq!(Amount::from_micros(-1), Err(OutOfRange));
        assert_eq!(Amount::from_micros(i64::MAX), Err(OutOfRange));
    }

    #[test]
    fn the_largest_products_are_exact_or_refused() {
        let most = amount("999999999999.999999");
        let eur = "EUR".parse().unwrap();
        assert_eq!(most.percent("999.9999".parse().unwrap(), eur), Err(OutOfRange));
        assert_eq!(most.percent("100".parse().unwrap(), eur), Err(OutOfRange));
        assert_eq!(most.converted("9999999999".parse().unwrap()), Err(OutOfRange));
        let rate: Rate = "0.000000000000000001".parse().unwrap();
        assert_eq!(most.converted(rate).unwrap(), amount("0.000001"));
        let half = amount("0.30").percent("5".parse().unwrap(), eur).unwrap();
        assert_eq!(half.text(eur), "0.02");
    }

    #[test]
    fn percents_and_rates_have_their_own_limits() {
        for bad in ["1000", "1.00001", "10%", "-1", ""] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        for bad in ["0", "0.00", "12345678901", "1.2345678901", "-1"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
        assert!("1.234567890".parse::<Rate>().is_ok());
    }
}
