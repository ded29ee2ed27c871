//! The amounts of a transaction (R30 to R33), and amounts of a request in the tenant's currency
//! (R34).

use alloc::{format, vec::Vec};

use crate::{
    conversion::{Conversion, Received},
    currency::Currency,
    money::{Amount, OutOfRange},
    reason::{Reason, Refusal, shown},
    ruleset::Ruleset,
    trace::{AmountParameter, Formula, Step},
    transaction::{PayoutTerm, RevenueTerm, Transaction},
};

/// Both legs of a transaction, with how they came about.
pub(crate) struct Legs {
    pub(crate) revenue: Amount,
    pub(crate) revenue_formula: Formula,
    pub(crate) payout: Amount,
    pub(crate) payout_formula: Formula,
}

impl Legs {
    /// Whether a percentage had no value to be taken of (R32).
    pub(crate) fn lack_value(&self) -> bool {
        [self.revenue_formula, self.payout_formula]
            .iter()
            .any(|formula| matches!(formula, Formula::PercentOfMissingValue(_)))
    }
}

/// Computes the legs of a transaction by its frozen terms, its standing direct amount and its
/// conversion's value. A leg that an administrator set stands.
///
/// # Errors
/// Where a leg is too large.
pub(crate) fn legs(transaction: &Transaction, value: Option<Amount>) -> Result<Legs, OutOfRange> {
    let currency = transaction.currency;
    let (revenue, revenue_formula) = revenue(transaction, value, currency)?;
    let (payout, payout_formula) = payout(transaction, revenue, value, currency)?;
    Ok(Legs { revenue, revenue_formula, payout, payout_formula })
}

/// R30: the direct amount, else the fixed one, else percent of the value.
fn revenue(
    transaction: &Transaction,
    value: Option<Amount>,
    currency: Currency,
) -> Result<(Amount, Formula), OutOfRange> {
    if transaction.revenue_is_edited {
        return Ok((transaction.revenue, Formula::Edited));
    }
    if let Some(direct) = transaction.direct_amount {
        return Ok((direct.amount.rounded(currency)?, Formula::Direct(direct.amount)));
    }
    match transaction.terms.revenue {
        RevenueTerm::Fixed(fixed) => Ok((fixed.rounded(currency)?, Formula::Fixed(fixed))),
        RevenueTerm::PercentOfValue(percent) => percent_of_value(percent, value, currency),
    }
}

/// R31, on the rounded revenue (R33).
fn payout(
    transaction: &Transaction,
    revenue: Amount,
    value: Option<Amount>,
    currency: Currency,
) -> Result<(Amount, Formula), OutOfRange> {
    if transaction.payout_is_edited {
        return Ok((transaction.payout, Formula::Edited));
    }
    match transaction.terms.payout {
        PayoutTerm::Nothing => Ok((Amount::ZERO, Formula::Nothing)),
        PayoutTerm::Fixed(fixed) => Ok((fixed.rounded(currency)?, Formula::Fixed(fixed))),
        PayoutTerm::PercentOfRevenue(percent) => {
            Ok((revenue.percent(percent, currency)?, Formula::PercentOfRevenue(percent, revenue)))
        }
        PayoutTerm::PercentOfValue(percent) => percent_of_value(percent, value, currency),
    }
}

/// R32: percent without a value is nothing.
fn percent_of_value(
    percent: crate::money::Percent,
    value: Option<Amount>,
    currency: Currency,
) -> Result<(Amount, Formula), OutOfRange> {
    match value {
        None => Ok((Amount::ZERO, Formula::PercentOfMissingValue(percent))),
        Some(value) => {
            Ok((value.percent(percent, currency)?, Formula::PercentOfValue(percent, value)))
        }
    }
}

/// `amount_out_of_range` (R33).
pub(crate) fn out_of_range(parameter: &str) -> Refusal {
    let message = format!("the amount that `{parameter}` leads to has more than 12 digits");
    Refusal::new(Reason::AmountOutOfRange, message).about(parameter).hint("send a smaller amount")
}

/// The amounts of one request, in the tenant's currency.
#[derive(Clone, Copy, Default)]
pub(crate) struct Amounts {
    pub(crate) value: Option<Received>,
    pub(crate) commission: Option<Received>,
    pub(crate) price: Option<Received>,
}

/// The amounts of one request as they came.
#[derive(Clone, Copy, Default)]
pub(crate) struct RawAmounts<'a> {
    pub(crate) value: Option<Amount>,
    pub(crate) commission: Option<Amount>,
    pub(crate) price: Option<Amount>,
    pub(crate) currency: Option<&'a str>,
}

/// Reads the currency of a request (R34): its own, where it names one.
///
/// # Errors
/// `currency_unknown`.
pub(crate) fn currency_of(code: Option<&str>) -> Result<Option<Currency>, Refusal> {
    let Some(code) = code else { return Ok(None) };
    code.parse().map(Some).map_err(|error| {
        let message = format!("`{}` is no currency", shown(code));
        Refusal::new(Reason::CurrencyUnknown, message).about("currency").hint(format!("{error}"))
    })
}

/// Converts the amounts of a request into the tenant's currency and freezes the rate on the
/// conversion at its first use (R34). Without a currency of their own they are in the
/// conversion's.
///
/// # Errors
/// `currency_unknown`, `no_exchange_rate`, `amount_out_of_range`.
pub(crate) fn convert(
    ruleset: &Ruleset,
    raw: RawAmounts<'_>,
    conversion: &mut Conversion,
    steps: &mut Vec<Step>,
) -> Result<Amounts, Refusal> {
    let currency = currency_of(raw.currency)?.unwrap_or(conversion.currency);
    let has_amounts = raw.value.is_some() || raw.commission.is_some() || raw.price.is_some();
    if currency == ruleset.currency() || !has_amounts {
        let same =
            |amount: Option<Amount>| amount.map(|amount| Received { amount, original: None });
        return Ok(Amounts {
            value: same(raw.value),
            commission: same(raw.commission),
            price: same(raw.price),
        });
    }
    let standing = conversion.frozen_rate(currency);
    let Some(rate) = standing.or_else(|| ruleset.exchange_rate(currency)) else {
        let own = ruleset.currency();
        let message = format!("the rules have no rate from `{currency}` to `{own}`");
        return Err(Refusal::new(Reason::NoExchangeRate, message)
            .about("currency")
            .hint(format!("add an [[exchange_rate]] from {currency}, or send {own}")));
    };
    if standing.is_none() {
        conversion.rates.push((currency, rate));
    }
    let mut converted = |parameter: AmountParameter, original: Option<Amount>| {
        let Some(original) = original else {
            return Ok(None);
        };
        let amount = original.converted(rate).map_err(|_| out_of_range(parameter.name()))?;
        let frozen = standing.is_some();
        steps.push(Step::Converted { parameter, original, currency, rate, frozen, amount });
        Ok(Some(Received { amount, original: Some((original, currency)) }))
    };
    Ok(Amounts {
        value: converted(AmountParameter::Value, raw.value)?,
        commission: converted(AmountParameter::Commission, raw.commission)?,
        price: converted(AmountParameter::Price, raw.price)?,
    })
}
