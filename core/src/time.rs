//! Times and periods as arguments; core never reads a clock.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A moment in UTC, in milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 with
/// milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, for example 2026-01-31T12:00:00Z")]
pub struct TimestampError;

impl Timestamp {
    /// The earliest moment that can be written (year -9999).
    pub const MIN_MS: i64 = -377_705_023_201_000;
    /// The latest moment that can be written (year 9999).
    pub const MAX_MS: i64 = 253_402_207_200_000;

    /// The moment so many milliseconds after 1970-01-01T00:00:00Z, held within the years that
    /// can be written.
    pub const fn from_ms(ms: i64) -> Self {
        if ms < Self::MIN_MS {
            return Self(Self::MIN_MS);
        }
        if ms > Self::MAX_MS {
            return Self(Self::MAX_MS);
        }
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// The moment a period later, held at the latest one that can be written.
    #[must_use]
    pub const fn plus(self, period: Period) -> Self {
        Self::from_ms(self.0.saturating_add_unsigned(period.0))
    }

    /// How long after `earlier` this is; zero where it is not after.
    pub const fn since(self, earlier: Self) -> Period {
        Period(if self.0 > earlier.0 { self.0.abs_diff(earlier.0) } else { 0 })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{time:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| TimestampError)?;
        Ok(Self::from_ms(time.as_millisecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            let text = alloc::string::String::deserialize(from)?;
            return text.parse().map_err(serde::de::Error::custom);
        }
        i64::deserialize(from).map(Self::from_ms)
    }
}

/// A length of time in milliseconds, written `500ms`, `40s`, `5m`, `2h` or `30d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(u64);

/// Why a text is no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a whole number with a unit: 500ms, 40s, 5m, 2h or 30d, at most 36500d")]
pub struct PeriodError;

/// Units, longest first, so that writing picks the largest that fits.
const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    /// The longest period: 36,500 days.
    pub const MAX_MS: u64 = 36_500 * 86_400_000;

    /// A period of so many milliseconds, held at [`Period::MAX_MS`].
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms > Self::MAX_MS { Self::MAX_MS } else { ms })
    }

    /// The length in milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0
    }
}

impl FromStr for Period {
    type Err = PeriodError;
    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let unit = text.get(digits.len()..).unwrap_or_default();
        let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(PeriodError)?;
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PeriodError);
        }
        let count: u64 = digits.parse().map_err(|_| PeriodError)?;
        match count.checked_mul(*unit_ms) {
            Some(ms) if ms <= Self::MAX_MS => Ok(Self(ms)),
            _ => Err(PeriodError),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |unit_ms: u64| self.0.checked_rem(unit_ms) == Some(0);
        match UNITS.iter().find(|(_, unit_ms)| self.0 > 0 && fits(*unit_ms)) {
            Some((name, unit_ms)) => write!(f, "{}{name}", self.0 / unit_ms),
            None => f.write_str("0s"),
        }
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn periods_read_and_write() {
        for text in ["500ms", "40s", "5m", "2h", "30d", "36500d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for bad in ["", "5", "5w", "-1s", "1.5h", "s", "36501d", "99999999999999999999d", "+5s"] {
            assert_eq!(bad.parse::<Period>(), Err(PeriodError), "{bad}");
        }
        assert_eq!("120s".parse::<Period>().unwrap().to_string(), "2m");
    }

    #[test]
    fn times_read_and_write() {
        let time: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-01-31T12:00:00.000Z");
        assert_eq!("2026-01-31T13:00:00+01:00".parse::<Timestamp>().unwrap(), time);
        assert!("2026-01-31".parse::<Timestamp>().is_err());
        assert!(Timestamp::from_ms(i64::MAX).to_string().starts_with("9999-12-30"));
        assert!(Timestamp::from_ms(i64::MIN).to_string().starts_with("-009999-01-02"));
    }
}
