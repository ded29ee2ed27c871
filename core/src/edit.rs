//! Changes of one transaction from inside: an administrator's edit, and an auto-set (R35).

use alloc::{boxed::Box, format, string::String, vec, vec::Vec};

use crate::{
    amount::out_of_range,
    announce::{Announcing, announce},
    decision::{Decision, Event, Outcome, Receipt},
    decode::Pairs,
    draft::{Draft, Journal, Touch},
    facts::{FactQuery, Facts},
    ids::TransactionId,
    logged_text::masked_text,
    money::Amount,
    reason::{Reason, Refusal, shown},
    ruleset::Ruleset,
    trace::{PairedBy, Step},
    transaction::TransactionResult,
};

/// An administrator's edit of a transaction. Amounts stand until the next edit that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The new result.
    pub result: Option<TransactionResult>,
    /// The new revenue, in the tenant's currency.
    pub revenue: Option<Amount>,
    /// The new payout, in the tenant's currency.
    pub payout: Option<Amount>,
    /// Why, in the administrator's words.
    pub reason: Box<str>,
}

/// The names under which an edit is read and logged.
const FIELDS: [&str; 5] = ["transaction_id", "result", "revenue", "payout", "reason"];

impl Edit {
    /// Reads an edit from its parameters: `transaction_id`, `reason`, and at least one of `result`,
    /// `revenue`, `payout`.
    ///
    /// # Errors
    /// `invalid_parameter`, `invalid_identifier`, `invalid_result`, `invalid_amount`.
    pub fn read(pairs: &Pairs<'_>) -> Result<Self, Refusal> {
        let unknown = pairs.iter().find(|(name, _)| !FIELDS.contains(&&**name));
        if let Some((name, _)) = unknown {
            let message = format!("an edit has no `{}`", shown(name));
            return Err(Refusal::new(Reason::InvalidParameter, message)
                .about(name)
                .hint("it has result, revenue, payout and reason"));
        }
        let get =
            |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value);
        let missing = |name: &str| {
            Refusal::new(Reason::InvalidParameter, format!("an edit needs `{name}`"))
                .about(name)
                .hint("give the reason, and at least one of result, revenue and payout")
        };
        let id = get("transaction_id").ok_or_else(|| missing("transaction_id"))?;
        let edit = Self {
            transaction_id: transaction_id(id)?,
            result: get("result").map(result).transpose()?,
            revenue: get("revenue").map(|text| amount("revenue", text)).transpose()?,
            payout: get("payout").map(|text| amount("payout", text)).transpose()?,
            reason: get("reason").ok_or_else(|| missing("reason"))?.into(),
        };
        if edit.result.is_none() && edit.revenue.is_none() && edit.payout.is_none() {
            return Err(missing("result"));
        }
        Ok(edit)
    }

    /// The text that a log row keeps; [`Edit::read`] reads it.
    pub fn logged_text(&self) -> String {
        let mut pairs: Pairs<'_> =
            vec![("transaction_id".into(), format!("{}", self.transaction_id).into())];
        if let Some(result) = self.result {
            pairs.push(("result".into(), result.name().into()));
        }
        for (name, amount) in [("revenue", self.revenue), ("payout", self.payout)] {
            pairs.extend(amount.map(|amount| (name.into(), format!("{amount}").into())));
        }
        pairs.push(("reason".into(), (*self.reason).into()));
        masked_text(&pairs)
    }
}

/// Reads the id of a transaction.
pub(crate) fn transaction_id(text: &str) -> Result<TransactionId, Refusal> {
    text.parse().map_err(|error| {
        let message = format!("`transaction_id` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidIdentifier, message)
            .about("transaction_id")
            .hint(format!("{error}"))
    })
}

fn result(text: &str) -> Result<TransactionResult, Refusal> {
    TransactionResult::named(text).ok_or_else(|| {
        Refusal::new(Reason::InvalidResult, format!("`{}` is no result", shown(text)))
            .about("result")
            .hint("give approved, rejected or pending")
    })
}

fn amount(name: &str, text: &str) -> Result<Amount, Refusal> {
    text.parse().map_err(|error| {
        let message = format!("`{name}` cannot be `{}`", shown(text));
        Refusal::new(Reason::InvalidAmount, message).about(name).hint(format!("{error}"))
    })
}

/// Which facts an auto-set or an edit needs.
pub fn query_transaction(id: TransactionId) -> FactQuery {
    FactQuery { transaction: Some(id), ..FactQuery::default() }
}

/// The text that a log row keeps of an auto-set.
pub fn auto_set_text(id: TransactionId) -> String {
    format!("transaction_id={id}")
}

/// Sets a result that is due (R35). It fires only while the result is pending, and once: whatever
/// it finds, it is done. A transaction update, not a conversion update.
pub fn auto_set(ruleset: &Ruleset, facts: &Facts, receipt: Receipt) -> Decision {
    change_one(ruleset, facts, receipt, |draft, place| {
        let Some(line) = draft.lines.get_mut(place) else {
            return Ok(());
        };
        let due = line.transaction.auto_set.filter(|due| due.at <= draft.receipt.at);
        let Some(due) = due else { return Ok(()) };
        line.transaction.auto_set = None;
        let standing = line.transaction.result;
        if standing == TransactionResult::Pending && due.result != standing {
            draft.set_result(place, due.result);
        } else {
            draft.journal.steps.push(Step::AutoSetIdle(standing));
        }
        Ok(())
    })
}

/// Applies an administrator's edit. A payout that is a percent of the revenue follows an edited
/// revenue, unless it is edited itself.
pub fn edit(ruleset: &Ruleset, edit: &Edit, facts: &Facts, receipt: Receipt) -> Decision {
    change_one(ruleset, facts, receipt, |draft, place| {
        if let Some(result) = edit.result {
            draft.set_result(place, result);
        }
        if edit.revenue.is_none() && edit.payout.is_none() {
            return Ok(());
        }
        let currency = ruleset.currency();
        let rounded = |name, amount: Option<Amount>| {
            amount.map(|a| a.rounded(currency).map_err(|_| out_of_range(name))).transpose()
        };
        let (revenue, payout) =
            (rounded("revenue", edit.revenue)?, rounded("payout", edit.payout)?);
        let Some(line) = draft.lines.get_mut(place) else {
            return Ok(());
        };
        let transaction = &mut line.transaction;
        if let Some(revenue) = revenue {
            transaction.revenue = revenue;
            transaction.revenue_is_edited = true;
        }
        if let Some(payout) = payout {
            transaction.payout = payout;
            transaction.payout_is_edited = true;
        }
        let value = draft.conversion.value.map(|received| received.amount);
        draft.compute(place, value)
    })
}

/// Changes one transaction, and tells of it where something to be seen changed (R36).
fn change_one(
    ruleset: &Ruleset,
    facts: &Facts,
    receipt: Receipt,
    change: impl FnOnce(&mut Draft<'_>, usize) -> Result<(), Refusal>,
) -> Decision {
    let decision = changed(ruleset, facts, receipt, change);
    announce(Announcing { ruleset, receipt, facts, cause: None, steps: None }, decision)
}

fn changed(
    ruleset: &Ruleset,
    facts: &Facts,
    receipt: Receipt,
    change: impl FnOnce(&mut Draft<'_>, usize) -> Result<(), Refusal>,
) -> Decision {
    let mut journal = Journal::default();
    let place = facts.of_transaction.as_ref().and_then(|found| {
        let is_it = |t: &crate::Transaction| Some(t.id) == facts.transaction;
        found.transactions.iter().position(is_it).map(|place| (found, place))
    });
    let Some((found, place)) = place else {
        let message = "no transaction has this id";
        return journal.refused(
            Refusal::new(Reason::ConversionNotFound, message)
                .about("transaction_id")
                .hint("take the id from the list of transactions"),
        );
    };
    journal.steps.push(Step::Paired { root: found.root.id, by: PairedBy::Transaction });
    let mut draft = Draft::of_stored(ruleset, receipt, found, &mut journal);
    if let Err(refusal) = change(&mut draft, place) {
        return journal.refused(refusal);
    }
    let Some((line, before)) = draft.lines.get_mut(place).zip(found.transactions.get(place)) else {
        return draft.into_decision(Outcome::Unchanged, None, Vec::new());
    };
    if line.transaction == *before {
        return draft.into_decision(Outcome::Unchanged, None, Vec::new());
    }
    line.touch = Touch::Changed;
    let ended_auto_set =
        crate::Transaction { auto_set: before.auto_set, ..line.transaction.clone() };
    if ended_auto_set == *before {
        // That an auto-set is over is bookkeeping and no change.
        return draft.into_decision(Outcome::Unchanged, None, Vec::new());
    }
    line.transaction.updated_at = receipt.at;
    line.transaction.revision = line.transaction.revision.saturating_add(1);
    let events = vec![Event::TransactionUpdated(line.transaction.id)];
    draft.into_decision(Outcome::Updated, None, events)
}
