//! Commissions (R24 to R35).

use alloc::{collections::BTreeSet, format, string::ToString, vec::Vec};

use super::{
    item::{Item, Table},
    names::Names,
};
use crate::{
    conversion::{ConversionType, Source},
    currency::Currency,
    money::{Amount, Percent},
    ruleset::{Commission, CommissionConditions},
    time::{Period, Timestamp},
    token::{Channel, CommissionId},
    transaction::{AutoSet, PayoutTerm, RevenueTerm, Terms, TransactionResult},
};

/// The commissions, in the order of the text.
pub(super) fn commissions(names: &Names<'_>, currency: Option<Currency>) -> Vec<Commission> {
    let commission = |(table, id): &(Table<'_>, Option<CommissionId>)| {
        commission(table, id.clone(), names, currency)
    };
    names.commissions.tables.iter().filter_map(commission).collect()
}

fn commission(
    table: &Table<'_>,
    id: Option<CommissionId>,
    names: &Names<'_>,
    currency: Option<Currency>,
) -> Option<Commission> {
    let conversion_type = table.required("type", "type = \"sale\"");
    let conversion_type = conversion_type.and_then(|item| names.conversion_type(&item));
    let conditions = conditions(table, names);
    let transaction_type = table.get("transaction_type");
    let transaction_type = transaction_type.map(|item| names.conversion_type(&item));
    let revenue = table.required("revenue", "revenue = { percent = \"10\" }");
    let revenue = revenue.and_then(|item| revenue_term(&item, currency));
    let payout = table.get("payout").map(|item| payout_term(&item, currency));
    let recurrence = table.get("recurrence").and_then(|item| item.whole(1..=u32::MAX));
    let auto_approve = table.flag_or("auto_approve", false);
    let inherit_result = table.get("inherit_result").map(|item| inherited(&item));
    let auto_set = table.get("auto_set").map(|item| auto_set(&item));
    let accept_direct_amount = table.flag_or("accept_direct_amount", true);
    let active = table.flag_or("active", true);
    let commission = Commission {
        id: id?,
        conversion_type: conversion_type?,
        conditions,
        transaction_type: transaction_type.unwrap_or(Some(ConversionType::Sale))?,
        recurrence,
        auto_approve,
        inherit_result: inherit_result.unwrap_or_default(),
        terms: Terms {
            revenue: revenue?,
            payout: payout.unwrap_or(Some(PayoutTerm::Nothing))?,
            accept_direct_amount,
        },
        auto_set: auto_set.unwrap_or_default(),
        active,
    };
    warn_about_terms(table, &commission.terms);
    warn_about_results(table, &commission);
    Some(commission)
}

fn conditions(table: &Table<'_>, names: &Names<'_>) -> CommissionConditions {
    let valid_from = table.get("valid_from").and_then(|item| item.time());
    let valid_to = table.get("valid_to").and_then(|item| item.time());
    check_validity(table, valid_from, valid_to);
    CommissionConditions {
        offers: table.condition("offers", |item| names.offers.find(item)),
        advertisers: table.condition("advertisers", |item| names.advertisers.find(item)),
        affiliates: table.condition("affiliates", |item| names.affiliates.find(item)),
        groups: table.condition("groups", |item| names.group(item)),
        sources: table.condition("sources", source),
        channels: table.condition("channels", |item| item.token(Channel::new)),
        valid_from,
        valid_to,
    }
}

/// A source by its name, as conditions hold it.
pub(super) fn source(item: &Item<'_>) -> Option<Source> {
    item.word("source", &Source::ALL, Source::name)
}

/// A result by its name.
pub(super) fn result(item: &Item<'_>) -> Option<TransactionResult> {
    item.word("result", &TransactionResult::ALL, TransactionResult::name)
}

fn check_validity(table: &Table<'_>, from: Option<Timestamp>, to: Option<Timestamp>) {
    let (Some(from), Some(to), Some(item)) = (from, to, table.get("valid_to")) else {
        return;
    };
    if from >= to {
        let hint = "the period is [valid_from, valid_to): let it end later than it begins";
        item.error("the validity ends before it begins", hint);
    }
}

fn inherited(item: &Item<'_>) -> BTreeSet<TransactionResult> {
    let items = item.list().unwrap_or_default();
    items.iter().filter_map(result).collect()
}

fn auto_set(item: &Item<'_>) -> Option<AutoSet> {
    let table = item.table(&["result", "after"], &[])?;
    let set = table.required("result", "result = \"approved\"");
    let set = set.and_then(|item| {
        let set = result(&item)?;
        if set == TransactionResult::Pending {
            let message = "setting `pending` changes nothing: only pending results are set";
            item.warning(message, "choose approved or rejected");
        }
        Some(set)
    });
    let after = table.required("after", "after = \"30d\"");
    let after = after.and_then(|item| item.parsed::<Period>("duration"));
    Some(AutoSet { result: set?, after: after? })
}

fn revenue_term(item: &Item<'_>, currency: Option<Currency>) -> Option<RevenueTerm> {
    only_term(item, &["fixed", "percent"], |key, item| match key {
        "fixed" => fixed(item, currency).map(RevenueTerm::Fixed),
        _ => percent(item).map(RevenueTerm::PercentOfValue),
    })
}

fn payout_term(item: &Item<'_>, currency: Option<Currency>) -> Option<PayoutTerm> {
    let keys = ["fixed", "percent_of_revenue", "percent_of_value"];
    only_term(item, &keys, |key, item| match key {
        "fixed" => fixed(item, currency).map(PayoutTerm::Fixed),
        "percent_of_revenue" => percent(item).map(PayoutTerm::PercentOfRevenue),
        _ => percent(item).map(PayoutTerm::PercentOfValue),
    })
}

/// The one term of an amount; `read` reads the term of a key.
fn only_term<T>(
    item: &Item<'_>,
    keys: &[&str],
    read: impl Fn(&str, &Item<'_>) -> Option<T>,
) -> Option<T> {
    let example = keys.iter().map(|key| format!("{{ {key} = \"10\" }}"));
    let example = example.collect::<Vec<_>>().join(" or ");
    let entries = item.entries("a table", &format!("write {example}"))?;
    let mut terms = Vec::new();
    let mut unknown = false;
    for (entry, term) in entries {
        let key = entry.key.as_str();
        if keys.contains(&key) {
            terms.push((key, read(key, &term)));
        } else {
            unknown = true;
            unknown_term(&term, key, keys);
        }
    }
    if terms.len() > 1 {
        let words = terms.iter().map(|(key, _)| format!("`{key}`"));
        let words = words.collect::<Vec<_>>().join(" and ");
        item.error(format!("{words} exclude each other"), "keep one of them");
        return None;
    }
    let term = terms.pop();
    if term.is_none() && !unknown {
        item.error("the amount is missing", format!("write {example}"));
    }
    term.and_then(|(_, term)| term)
}

/// A term of the other leg gets a hint of its own.
fn unknown_term(item: &Item<'_>, key: &str, keys: &[&str]) {
    let of_value = keys.contains(&"percent_of_value");
    match key {
        "percent" if of_value => item.key_error(
            "a bare `percent` under payout does not say of what",
            "write `percent_of_revenue` or `percent_of_value`",
        ),
        "percent_of_value" if !of_value => item.key_error(
            "revenue knows no `percent_of_value`: its percent is always of the value",
            "write `percent`",
        ),
        _ => item.unknown_key(key, keys),
    }
}

/// A fixed amount has no digits that the currency has not: rounding would be silent.
fn fixed(item: &Item<'_>, currency: Option<Currency>) -> Option<Amount> {
    let amount: Amount = item.parsed("amount")?;
    let Some(currency) = currency else {
        return Some(amount);
    };
    if amount.rounded(currency) != Ok(amount) {
        let digits = currency.digits();
        let message = format!("`{amount}` has more digits after the dot than {currency}");
        item.error(message, format!("{currency} has {digits}"));
        return None;
    }
    Some(amount)
}

fn percent(item: &Item<'_>) -> Option<Percent> {
    let percent: Percent = item.parsed("percentage")?;
    if percent.is_above_hundred() {
        item.warning(format!("{percent} percent is more than the whole"), "is it meant so?");
    }
    Some(percent)
}

fn warn_about_terms(table: &Table<'_>, terms: &Terms) {
    let amounts = match (terms.revenue, terms.payout) {
        (RevenueTerm::Fixed(revenue), PayoutTerm::Fixed(payout)) if payout > revenue => {
            (revenue.to_string(), payout.to_string())
        }
        (RevenueTerm::PercentOfValue(revenue), PayoutTerm::PercentOfValue(payout))
            if payout > revenue =>
        {
            (format!("{revenue} %"), format!("{payout} %"))
        }
        _ => return,
    };
    if let Some(item) = table.get("payout") {
        let (revenue, payout) = amounts;
        let message = format!("the payout of {payout} is more than the revenue of {revenue}");
        item.warning(message, "is it meant so?");
    }
}

fn warn_about_results(table: &Table<'_>, commission: &Commission) {
    if !commission.auto_approve {
        return;
    }
    if let Some(item) = table.get("inherit_result")
        && !commission.inherit_result.is_empty()
    {
        let message = "`auto_approve` comes first, so `inherit_result` never counts";
        item.warning(message, "remove one of them");
    }
    if let Some(item) = table.get("auto_set") {
        let message = "`auto_approve` leaves nothing pending, so `auto_set` finds nothing to set";
        item.warning(message, "remove one of them");
    }
}
