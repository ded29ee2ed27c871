//! Which commission pays a conversion (R24 to R27).

use alloc::{format, vec::Vec};

use crate::{
    conversion::{ConversionType, Root},
    nearest::nearest,
    reason::{Reason, Refusal, shown},
    ruleset::{Commission, Ruleset},
    time::Timestamp,
    token::{CommissionId, GroupName},
    trace::{Step, Verdict, VerdictRun},
};

/// What commissions are matched against.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) root: &'a Root,
    pub(crate) conversion_type: &'a ConversionType,
    pub(crate) created_at: Timestamp,
}

/// A commission and its place in the rules.
#[derive(Clone, Copy)]
pub(crate) struct Chosen<'r> {
    pub(crate) commission: &'r Commission,
    pub(crate) place: u32,
}

/// Selects the commission: the one that the request names (R25), else the first candidate (R26).
///
/// # Errors
/// `unknown_commission`, `commission_mismatch`.
pub(crate) fn select_commission<'r>(
    ruleset: &'r Ruleset,
    subject: Subject<'_>,
    named: Option<&CommissionId>,
    steps: &mut Vec<Step>,
) -> Result<Option<Chosen<'r>>, Refusal> {
    let group = ruleset
        .affiliate(subject.root.origin.affiliate.as_str())
        .and_then(|affiliate| affiliate.group.as_ref());
    let mut verdicts: Vec<VerdictRun> = Vec::new();
    let mut first = None;
    let mut asked = None;
    for (place, commission) in (0_u32..).zip(ruleset.commissions()) {
        let verdict = verdict(commission, subject, group);
        let chosen = Chosen { commission, place };
        if verdict == Verdict::Candidate && first.is_none() {
            first = Some(chosen);
        }
        if named == Some(&commission.id) {
            asked = Some((chosen, verdict));
        }
        match verdicts.last_mut() {
            Some(run) if run.verdict == verdict => run.count = run.count.saturating_add(1),
            _ => verdicts.push(VerdictRun { verdict, count: 1 }),
        }
    }
    let chosen = match (named, asked) {
        (None, _) => Ok(first),
        (Some(id), None) => Err(unknown_commission(ruleset, id)),
        (Some(_), Some((chosen, Verdict::Candidate))) => Ok(Some(chosen)),
        (Some(id), Some((_, verdict))) => Err(no_candidate(id, verdict)),
    };
    steps.push(Step::Candidates {
        conversion_type: subject.conversion_type.clone(),
        verdicts,
        chosen: chosen.as_ref().ok().copied().flatten().map(|chosen| chosen.place),
        named: named.is_some(),
    });
    chosen
}

/// Whether a commission is a candidate, and if not, the first condition that fails (R24).
fn verdict(commission: &Commission, subject: Subject<'_>, group: Option<&GroupName>) -> Verdict {
    let conditions = &commission.conditions;
    let origin = &subject.root.origin;
    if !commission.active {
        return Verdict::Inactive;
    }
    if commission.conversion_type != *subject.conversion_type {
        return Verdict::Type;
    }
    if conditions.offers.as_ref().is_some_and(|set| !set.contains(&origin.offer)) {
        return Verdict::Offer;
    }
    if conditions.advertisers.as_ref().is_some_and(|set| !set.contains(&origin.advertiser)) {
        return Verdict::Advertiser;
    }
    if conditions.affiliates.as_ref().is_some_and(|set| !set.contains(&origin.affiliate)) {
        return Verdict::Affiliate;
    }
    if conditions.groups.as_ref().is_some_and(|set| !group.is_some_and(|g| set.contains(g))) {
        return Verdict::Group;
    }
    if conditions.sources.as_ref().is_some_and(|set| !set.contains(&origin.source)) {
        return Verdict::Source;
    }
    let channel = origin.channel.as_ref();
    if conditions.channels.as_ref().is_some_and(|set| !channel.is_some_and(|c| set.contains(c))) {
        return Verdict::Channel;
    }
    if conditions.valid_from.is_some_and(|from| subject.created_at < from) {
        return Verdict::NotYetValid;
    }
    if conditions.valid_to.is_some_and(|to| subject.created_at >= to) {
        return Verdict::NoLongerValid;
    }
    Verdict::Candidate
}

/// `unknown_commission` (R25).
pub(crate) fn unknown_commission(ruleset: &Ruleset, id: &CommissionId) -> Refusal {
    let message = format!("no commission has the id `{id}`");
    let refusal = Refusal::new(Reason::UnknownCommission, message).about("commission_id");
    let known = ruleset.commissions().iter().map(|commission| commission.id.as_str());
    match nearest(id.as_str(), known) {
        Some(close) => refusal.hint(format!("did you mean `{}`?", shown(close))),
        None => refusal.hint("leave `commission_id` out to take the first that matches"),
    }
}

fn no_candidate(id: &CommissionId, verdict: Verdict) -> Refusal {
    let message = format!("the commission `{id}` does not pay this: {}", verdict.words());
    Refusal::new(Reason::CommissionMismatch, message)
        .about("commission_id")
        .hint("leave `commission_id` out to take the first that matches")
}
