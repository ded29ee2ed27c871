//! Creating (rungs 10 to 12): a conversion under a root, a root itself (R51), and the transaction
//! that a repeat adds (R20).

use alloc::{sync::Arc, vec, vec::Vec};

use crate::{
    amount::{Amounts, RawAmounts, convert, currency_of},
    announce::{Announcing, announce},
    conversion::{Conversion, Root},
    decide::{Case, duplicate},
    decision::{Decision, Effect, Event, Outcome, Receipt},
    dedup::{Holds, PairKey},
    draft::{Birth, Draft, Journal},
    facts::{FactQuery, Facts, Found},
    limits::amounts_allowed,
    reason::{Note, Refusal},
    root::RootRequest,
    ruleset::{KeyKind, Ruleset},
    token::CommissionId,
    trace::Step,
};

/// Creates a conversion under its root.
pub(crate) fn create(
    case: Case<'_>,
    root: &Arc<Root>,
    journal: &mut Journal,
) -> Result<Decision, Refusal> {
    let postback = case.postback;
    // Rung 5 refuses a create without a type.
    let Some(conversion_type) = &postback.conversion_type else {
        return Err(crate::read::type_required());
    };
    let id = case.receipt.id.conversion_id();
    let own_type = conversion_type.clone();
    let currency = case.ruleset.currency();
    let conversion = Conversion {
        external_id: postback.external_id.clone(),
        params: postback.params.clone(),
        ..Conversion::new(id, root.id, own_type, postback.method, currency, case.receipt.at)
    };
    let mut draft = Draft::of_new(case.ruleset, case.receipt, root.clone(), conversion, journal);
    draft.made_before.clone_from(&case.facts.counters);
    draft.holds =
        Holds::of(case.definition.dedup.key, root, postback.external_id.as_ref(), conversion_type);
    let birth = Birth { method: postback.method, result: postback.result, by_update: false };
    let made =
        Making { commission_id: postback.commission_id.as_ref(), raw: raw_amounts(case), birth };
    let amounts = born(&mut draft, &made)?;
    amounts_allowed(&case.definition.limits, amounts.value, amounts.commission)?;
    Ok(created(draft))
}

/// The amounts of a postback as they came.
pub(crate) fn raw_amounts<'a>(case: Case<'a>) -> RawAmounts<'a> {
    let postback = case.postback;
    RawAmounts {
        value: postback.value,
        commission: postback.commission,
        price: postback.price,
        currency: postback.currency.as_deref(),
    }
}

/// What a new conversion is made with.
struct Making<'a> {
    commission_id: Option<&'a CommissionId>,
    raw: RawAmounts<'a>,
    birth: Birth,
}

/// Rungs 10 and 11 of a new conversion: its commission, its amounts, its transaction.
fn born(draft: &mut Draft<'_>, making: &Making<'_>) -> Result<Amounts, Refusal> {
    let chosen = draft.select(making.commission_id)?;
    if let Some(currency) = currency_of(making.raw.currency)? {
        draft.conversion.currency = currency;
    }
    let amounts =
        convert(draft.ruleset, making.raw, &mut draft.conversion, &mut draft.journal.steps)?;
    draft.conversion.value = amounts.value;
    draft.conversion.price = amounts.price;
    let Some(chosen) = chosen else {
        draft.journal.notes.insert(Note::NoMatchingCommission);
        draft.conversion.untaken_commission = amounts.commission;
        return Ok(amounts);
    };
    let value = amounts.value.map(|received| received.amount);
    let made = draft.make_transaction(chosen, value, amounts.commission, &making.birth)?;
    if made.is_none() {
        draft.conversion.untaken_commission = amounts.commission;
    }
    Ok(amounts)
}

/// Rung 12 of a new conversion (R36).
fn created(draft: Draft<'_>) -> Decision {
    let mut events = vec![Event::ConversionCreated];
    events.extend(draft.lines.iter().map(|line| Event::TransactionCreated(line.transaction.id)));
    draft.into_decision(Outcome::Created, Some(Effect::InsertConversion), events)
}

/// R20: the transaction that a repeat adds to the first conversion. The conversion itself does not
/// change; the amount uses the request's value, else the conversion's.
pub(crate) fn add_transaction(
    case: Case<'_>,
    first: &Found,
    commission_id: &CommissionId,
    journal: &mut Journal,
) -> Result<Decision, Refusal> {
    let mut draft = Draft::of_stored(case.ruleset, case.receipt, first, journal);
    let chosen = draft.select(Some(commission_id))?;
    let Some(chosen) = chosen else {
        return Ok(duplicate(first, journal));
    };
    let raw = raw_amounts(case);
    let amounts = convert(case.ruleset, raw, &mut draft.conversion, &mut draft.journal.steps)?;
    let value = amounts.value.or(first.conversion.value).map(|received| received.amount);
    let birth =
        Birth { method: case.postback.method, result: case.postback.result, by_update: false };
    let made = draft.make_transaction(chosen, value, amounts.commission, &birth)?;
    amounts_allowed(&case.definition.limits, amounts.value, amounts.commission)?;
    let Some(made) = made.and_then(|place| draft.lines.get(place)) else {
        // The limit stopped it: a repeat like any other, but it is remembered that it failed, so
        // that a later change of the limit does not turn a resend into money.
        let mut decision =
            draft.into_decision(Outcome::Duplicate, Some(Effect::UpdateConversion), Vec::new());
        decision.refusal = Some(Refusal::of_repeat());
        return Ok(decision);
    };
    let events = vec![Event::TransactionCreated(made.transaction.id)];
    // A rate that was used for the first time is frozen on the conversion (R34).
    let books =
        (draft.conversion != *first.conversion).then_some(Effect::UpdateConversion as fn(_) -> _);
    Ok(draft.into_decision(Outcome::Updated, books, events))
}

/// Which facts making a root needs: who holds its repeat key (R20, R51).
pub fn query_root(ruleset: &Ruleset, root: &RootRequest) -> FactQuery {
    let offer = ruleset.offer(root.offer.as_str());
    let holder = offer.zip(root.external_id.as_ref()).map(|(offer, external_id)| {
        PairKey::of(&offer.advertiser, external_id).with_type(&root.conversion_type)
    });
    // Under a new root every counter stands at zero.
    FactQuery { holder, ..FactQuery::default() }
}

/// Makes a root (R51): a create step like any other.
pub fn create_root(
    ruleset: &Ruleset,
    request: &RootRequest,
    facts: &Facts,
    receipt: Receipt,
) -> Decision {
    let mut journal = Journal::default();
    let decision = make_root(ruleset, request, facts, receipt, &mut journal)
        .unwrap_or_else(|refusal| journal.refused(refusal));
    announce(Announcing { ruleset, receipt, facts, cause: None, steps: None }, decision)
}

fn make_root(
    ruleset: &Ruleset,
    request: &RootRequest,
    facts: &Facts,
    receipt: Receipt,
    journal: &mut Journal,
) -> Result<Decision, Refusal> {
    journal.steps.push(Step::MakesRoot(request.method));
    for (name, masked) in &request.masked {
        journal.notes.insert(Note::PersonalValue);
        journal.steps.push(Step::Masked { name: name.clone(), masked: *masked });
    }
    let origin = request.origin(ruleset)?;
    let id = receipt.id.conversion_id();
    let conversion_type = request.conversion_type.clone();
    let root = Root { id, conversion_type, origin, created_at: receipt.at };
    if request.external_id.is_some() {
        let first = facts.first.as_deref();
        let id = first.map(|found| found.conversion.id);
        journal.steps.push(Step::Key { kind: KeyKind::External, first: id });
        if let Some(first) = first {
            return Ok(duplicate(first, journal));
        }
    }
    let own_type = request.conversion_type.clone();
    let currency = ruleset.currency();
    let conversion = Conversion {
        origin: Some(root.origin.clone()),
        external_id: request.external_id.clone(),
        params: request.params.clone(),
        ..Conversion::new(id, id, own_type, request.method, currency, receipt.at)
    };
    let kind = KeyKind::External;
    let holds = Holds::of(kind, &root, request.external_id.as_ref(), &request.conversion_type);
    let mut draft = Draft::of_new(ruleset, receipt, Arc::new(root), conversion, journal);
    draft.holds = holds;
    let making = Making {
        commission_id: None,
        raw: RawAmounts { value: request.value, ..RawAmounts::default() },
        birth: Birth { method: request.method, result: None, by_update: false },
    };
    born(&mut draft, &making)?;
    Ok(created(draft))
}
