//! Currencies (ISO 4217): codes and how many digits their minor unit has.

use alloc::string::String;
use core::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A currency that ISO 4217 lists, by its three-letter code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 3],
    digits: u8,
}

/// Why a text is no currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a currency is a code of ISO 4217, for example EUR")]
pub struct CurrencyError;

/// Currencies without a minor unit.
const DIGITS_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Currencies with a minor unit of two digits.
const DIGITS_2: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV \
    BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP \
    ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES \
    KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV \
    MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK \
    SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
    UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG ZWL";
/// Currencies with a minor unit of three digits.
const DIGITS_3: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Currencies with a minor unit of four digits.
const DIGITS_4: &str = "CLF UYW";

const TABLE: [(u8, &str); 4] = [(2, DIGITS_2), (0, DIGITS_0), (3, DIGITS_3), (4, DIGITS_4)];
/// Bytes of a code and of what stands between two.
const STRIDE: usize = 4;

impl Currency {
    /// The three-letter code, in capitals.
    pub fn code(&self) -> &str {
        core::str::from_utf8(&self.code).unwrap_or_default()
    }

    /// Digits after the dot in the currency's minor unit: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn digits(&self) -> u32 {
        self.digits.into()
    }
}

fn digits_of(code: [u8; 3]) -> Option<u8> {
    TABLE.iter().find(|(_, codes)| lists(codes.as_bytes(), code)).map(|(digits, _)| *digits)
}

/// Whether a code is among others, which are in order. Every amount asks, so it is a search.
fn lists(mut codes: &[u8], code: [u8; 3]) -> bool {
    while let Some(middle) = codes.get(codes.len() / STRIDE / 2 * STRIDE..) {
        let Some(listed) = middle.get(..code.len()) else {
            return false;
        };
        match listed.cmp(&code) {
            Ordering::Equal => return true,
            Ordering::Less => codes = middle.get(STRIDE..).unwrap_or_default(),
            Ordering::Greater => {
                let before = codes.len() - middle.len();
                codes = codes.get(..before).unwrap_or_default();
            }
        }
    }
    false
}

impl FromStr for Currency {
    type Err = CurrencyError;
    /// Reads a code in any case.
    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let mut code: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        code.make_ascii_uppercase();
        let digits = digits_of(code).ok_or(CurrencyError)?;
        Ok(Self { code, digits })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_a_kept_list() {
        let mut seen = 0;
        for a in b'A'..=b'Z' {
            for b in b'A'..=b'Z' {
                for c in b'A'..=b'Z' {
                    let bytes = [a, b, c];
                    let code = core::str::from_utf8(&bytes).unwrap();
                    let kept = iso_currency::Currency::from_code(code).and_then(|k| k.exponent());
                    let ours = code.parse::<Currency>().ok().map(|c| c.digits());
                    if let (Some(ours), Some(kept)) = (ours, kept) {
                        assert_eq!(ours, u32::from(kept), "{code}");
                        seen += 1;
                    } else if kept.is_some() && ours.is_none() {
                        panic!("{code} is missing");
                    }
                }
            }
        }
        assert!(seen > 150, "{seen}");
    }

    #[test]
    fn codes_are_read_in_any_case() {
        assert_eq!("eur".parse::<Currency>().unwrap().code(), "EUR");
        for bad in ["", "EU", "EURO", "XXX", "€", "ŻŻ"] {
            assert_eq!(bad.parse::<Currency>(), Err(CurrencyError), "{bad}");
        }
    }
}
