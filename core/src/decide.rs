//! The ladder (semantics 5): flat, one early return a rung, in the order that is contract.
//!
//! Rungs 1 to 5 are in `read`. Here [`query`] says which facts the rest needs, and [`decide`]
//! climbs rungs 6 to 9, which settle what the request pairs with and whether it is a repeat; rungs
//! 10 to 12 are `create` and `update`. What is told of it is `announce`.

use alloc::{format, sync::Arc, vec::Vec};

use crate::{
    announce::{Announcing, announce},
    conversion::{ConversionType, Root},
    create::{add_transaction, create},
    decision::{Decision, Outcome, Receipt},
    dedup::DedupKey,
    draft::Journal,
    facts::{FactQuery, Facts, Found, KeyQuery, PairQuery, TargetQuery},
    postback::{Action, Postback},
    reason::{Reason, Refusal, shown},
    ruleset::{KeyKind, OnRepeat, PostbackDefinition, Ruleset},
    token::CommissionId,
    trace::{Condition, PairedBy, Step},
    update::{Manner, update},
};

/// Which facts the decision about a postback needs. Deciding on these equals deciding on all.
pub fn query(ruleset: &Ruleset, postback: &Postback) -> FactQuery {
    let kind = definition_of(ruleset, postback).dedup.key;
    let is_update = postback.action == Action::Update;
    // Under other keys an external id beside a pcid never pairs (R18); an update still looks for
    // its target by it, under that root only.
    let pairs = postback.pcid.is_none() || kind == KeyKind::External;
    let pair = postback.external_id.as_ref().filter(|_| pairs || is_update);
    let key = KeyQuery {
        kind,
        external_id: postback.external_id.clone(),
        conversion_type: postback.conversion_type.clone(),
    };
    // A key of kind `external` may be held by a conversion that has another type by now (R47).
    let has_external_id = matches!(kind, KeyKind::External | KeyKind::ClickExternal);
    let brings_key = has_external_id && postback.external_id.is_some();
    FactQuery {
        pcid: postback.pcid,
        pair: pair.map(|external_id| PairQuery {
            advertiser: postback.advertiser.clone(),
            external_id: external_id.clone(),
            under_root: !pairs,
        }),
        key: (!is_update || brings_key).then_some(key),
        holder: None,
        target: is_update
            .then(|| TargetQuery { conversion_type: postback.conversion_type.clone() }),
        counters: counters(
            ruleset,
            postback.commission_id.as_ref(),
            postback.conversion_type.as_ref(),
        ),
        transaction: None,
    }
}

/// The commissions with a recurrence limit that the request may come to (R27).
pub(crate) fn counters(
    ruleset: &Ruleset,
    named: Option<&CommissionId>,
    conversion_type: Option<&ConversionType>,
) -> Vec<CommissionId> {
    let limited = ruleset.commissions().iter().filter(|commission| commission.recurrence.is_some());
    limited
        .filter(|commission| match (named, conversion_type) {
            (Some(id), _) => commission.id == *id,
            (None, Some(conversion_type)) => commission.conversion_type == *conversion_type,
            (None, None) => true,
        })
        .map(|commission| commission.id.clone())
        .collect()
}

/// What every rung looks at.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) definition: &'a PostbackDefinition,
    pub(crate) postback: &'a Postback,
    pub(crate) facts: &'a Facts,
    pub(crate) receipt: Receipt,
}

/// About how many steps a create takes after it was read.
const STEPS_OF_A_CREATE: usize = 12;

/// Decides about a postback. Total: it always answers, and it does nothing.
pub fn decide(ruleset: &Ruleset, postback: &Postback, facts: &Facts, receipt: Receipt) -> Decision {
    let definition = definition_of(ruleset, postback);
    let case = Case { ruleset, definition, postback, facts, receipt };
    let mut steps = Vec::with_capacity(postback.steps.len() + STEPS_OF_A_CREATE);
    steps.extend_from_slice(&postback.steps);
    let mut journal = Journal { steps, notes: postback.notes.iter().copied().collect() };
    let decision = climb(case, &mut journal).unwrap_or_else(|refusal| journal.refused(refusal));
    let steps = postback.definition.map(|_| (definition, postback.names_definition));
    let cause = postback.cause.as_ref();
    announce(Announcing { ruleset, receipt, facts, cause, steps }, decision)
}

/// What could not be read is a decision too: logged, answered, replayed.
pub fn refuse(mut refusal: Refusal, _receipt: Receipt) -> Decision {
    let steps = core::mem::take(&mut refusal.steps);
    Journal { steps, ..Journal::default() }.refused(refusal)
}

fn definition_of<'r>(ruleset: &'r Ruleset, postback: &Postback) -> &'r PostbackDefinition {
    let place = postback.definition;
    place
        .and_then(|place| ruleset.definition_at(place))
        .unwrap_or_else(|| ruleset.built_in_postback())
}

/// Rungs 6 to 9.
fn climb(case: Case<'_>, journal: &mut Journal) -> Result<Decision, Refusal> {
    let root = paired(case, journal)?;
    conditions_hold(case, root, journal)?;
    if case.postback.action == Action::Update {
        pairing_agrees(case, root)?;
        return update(case, root, Manner::Asked, journal);
    }
    let Some(first) = repeated(case, journal) else {
        pairing_agrees(case, root)?;
        window_is_open(case, root)?;
        return create(case, root, journal);
    };
    match case.definition.dedup.on_repeat {
        OnRepeat::Refuse => refuse_repeat(case, root, first, journal),
        reaction => {
            journal.steps.push(Step::Repeat(reaction));
            pairing_agrees(case, root)?;
            update(case, root, Manner::Repeat { first, add: reaction == OnRepeat::Add }, journal)
        }
    }
}

/// Rung 6: the root (R15 to R17).
fn paired<'a>(case: Case<'a>, journal: &mut Journal) -> Result<&'a Arc<Root>, Refusal> {
    let Some(root) = &case.facts.root else {
        return Err(pairing_failed(case.postback));
    };
    let by = match case.postback.pcid {
        None => PairedBy::Pair,
        Some(pcid) if pcid == root.id => PairedBy::Pcid,
        Some(_) => PairedBy::PcidUnderRoot,
    };
    journal.steps.push(Step::Paired { root: root.id, by });
    match &case.postback.advertiser {
        Some(advertiser) if *advertiser != root.origin.advertiser => {
            let message = format!("the conversion is not of the advertiser `{advertiser}`");
            Err(Refusal::new(Reason::AdvertiserMismatch, message)
                .about("advertiser_id")
                .hint("leave `advertiser_id` out beside `pcid`, or correct it"))
        }
        _ => Ok(root),
    }
}

fn pairing_failed(postback: &Postback) -> Refusal {
    match (postback.pcid, &postback.external_id) {
        (None, Some(external_id)) => {
            let message =
                format!("no conversion carries the external id `{}`", shown(external_id.as_str()));
            Refusal::new(Reason::PairingFailed, message)
                .about("external_id")
                .hint("a lead or an order must have come with it first; or send the click's pcid")
        }
        (pcid, _) => {
            let pcid = pcid.map(|pcid| format!("{pcid}")).unwrap_or_default();
            let message = format!("no conversion has the pcid `{pcid}`");
            Refusal::new(Reason::PairingFailed, message)
                .about("pcid")
                .hint("send back the value that the click's `{pcid}` macro gave, unchanged")
        }
    }
}

/// Rung 7: the conditions of the definition (R19). Without a type the type condition is left to
/// the target.
fn conditions_hold(case: Case<'_>, root: &Root, journal: &mut Journal) -> Result<(), Refusal> {
    let conditions = &case.definition.conditions;
    let origin = &root.origin;
    let conversion_type = case.postback.conversion_type.as_ref();
    let tests = [
        (Condition::Source, allows(&conditions.sources, &origin.source)),
        (Condition::Type, conversion_type.is_none_or(|t| allows(&conditions.types, t))),
        (Condition::Affiliate, allows(&conditions.affiliates, &origin.affiliate)),
        (Condition::Advertiser, allows(&conditions.advertisers, &origin.advertiser)),
        (Condition::Offer, allows(&conditions.offers, &origin.offer)),
    ];
    match tests.into_iter().find(|(_, holds)| !holds) {
        None => {
            journal.steps.push(Step::ConditionsHold);
            Ok(())
        }
        Some((condition, _)) => Err(condition_failed(condition, journal)),
    }
}

fn allows<T: Ord>(set: &Option<alloc::collections::BTreeSet<T>>, value: &T) -> bool {
    set.as_ref().is_none_or(|set| set.contains(value))
}

fn condition_failed(condition: Condition, journal: &mut Journal) -> Refusal {
    journal.steps.push(Step::ConditionFailed(condition));
    let message = format!("the condition `{}` of this postback does not hold", condition.name());
    Refusal::new(Reason::ConditionsNotMet, message)
        .hint("another postback definition may accept it: name one with `id`")
}

/// The type condition and the allowed types of a definition, on the target of an update that
/// names no type (end of rung 10).
pub(crate) fn type_is_accepted(
    case: Case<'_>,
    conversion_type: &ConversionType,
    journal: &mut Journal,
) -> Result<(), Refusal> {
    if !allows(&case.definition.conditions.types, conversion_type) {
        return Err(condition_failed(Condition::Type, journal));
    }
    crate::read::allowed_type(&case.definition.limits, conversion_type)
}

/// Rung 8: who holds the repeat key (R20, R47).
fn repeated<'a>(case: Case<'a>, journal: &mut Journal) -> Option<&'a Found> {
    let kind = case.definition.dedup.key;
    let (id, of_type) = (&case.postback.external_id, &case.postback.conversion_type);
    if !DedupKey::exists(kind, id.as_ref(), of_type.as_ref()) {
        journal.steps.push(Step::NoKey(kind));
        return None;
    }
    let first = case.facts.first.as_deref();
    journal.steps.push(Step::Key { kind, first: first.map(|found| found.conversion.id) });
    first
}

/// R20: a repeat changes nothing, except that a commission named by it which has no transaction
/// there yet, and was not stopped by its recurrence limit before, adds its transaction.
fn refuse_repeat(
    case: Case<'_>,
    root: &Root,
    first: &Found,
    journal: &mut Journal,
) -> Result<Decision, Refusal> {
    let adds = case.postback.commission_id.as_ref().filter(|id| {
        let has = first.transactions.iter().any(|transaction| transaction.commission_id == **id);
        !has && !first.conversion.exhausted.contains(id) && first.root.id == root.id
    });
    let Some(commission_id) = adds else {
        return Ok(duplicate(first, journal));
    };
    journal.steps.push(Step::AddsTransaction(commission_id.clone()));
    window_is_open(case, root)?;
    add_transaction(case, first, commission_id, journal)
}

/// The answer to a repeat: the first conversion, unchanged (R20).
pub(crate) fn duplicate(first: &Found, journal: &mut Journal) -> Decision {
    let refusal = Refusal::of_repeat();
    journal.found(Outcome::Duplicate, Some(refusal), first)
}

/// Rung 9: pcid and external id lead to the same root (R18).
fn pairing_agrees(case: Case<'_>, root: &Root) -> Result<(), Refusal> {
    let both = case.postback.pcid.is_some() && case.postback.external_id.is_some();
    if !both || case.definition.dedup.key != KeyKind::External {
        return Ok(());
    }
    match case.facts.pair_root {
        Some(other) if other != root.id => {
            let message =
                format!("the external id belongs to the root `{other}`, not to the pcid's");
            Err(Refusal::new(Reason::PairingConflict, message)
                .about("external_id")
                .hint("send `pcid` and `external_id` of the same visitor"))
        }
        _ => Ok(()),
    }
}

/// Rung 9: a click has an end (R52).
fn window_is_open(case: Case<'_>, root: &Root) -> Result<(), Refusal> {
    let offer = case.ruleset.offer(root.origin.offer.as_str());
    let Some(window) = offer.and_then(|offer| offer.click_window) else {
        return Ok(());
    };
    let age = case.receipt.at.since(root.created_at);
    if root.conversion_type != ConversionType::Click || age <= window {
        return Ok(());
    }
    let message = format!("the click of {} is older than the offer's {window}", root.created_at);
    Err(Refusal::new(Reason::ClickExpired, message)
        .about("pcid")
        .hint("the offer's `click_window` in the rules says how long its clicks count"))
}
