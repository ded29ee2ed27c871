//! Updating (rungs 10 to 12): the target (R21), what changes (R22), the transactions that follow
//! (R23), and repeats that are applied as updates (R47).

use alloc::{format, vec::Vec};

use crate::{
    amount::{Amounts, convert, out_of_range},
    commission::{Chosen, unknown_commission},
    conversion::{ConversionType, RAW_RESULT_PARAM, Received, Root},
    create::raw_amounts,
    decide::{Case, type_is_accepted},
    decision::{Decision, Effect, Event, Outcome},
    decode::PARAMS_MAX,
    dedup::Holds,
    draft::{Birth, Draft, Journal, Touch},
    facts::Found,
    limits::amounts_allowed,
    reason::{Note, Reason, Refusal, shown},
    ruleset::KeyKind,
    trace::{AmountParameter, Field, Step, TargetBy},
    transaction::Transaction,
};

/// Why a request is applied as an update.
#[derive(Clone, Copy)]
pub(crate) enum Manner<'a> {
    /// It asked for it.
    Asked,
    /// It repeats the first (R47).
    Repeat {
        /// The first.
        first: &'a Found,
        /// Whether value and commission are added to what was there.
        add: bool,
    },
}

/// Applies a request as an update.
pub(crate) fn update(
    case: Case<'_>,
    root: &Root,
    manner: Manner<'_>,
    journal: &mut Journal,
) -> Result<Decision, Refusal> {
    let target = match manner {
        Manner::Asked => asked_target(case, root, journal)?,
        Manner::Repeat { first, .. } => {
            let conversion = first.conversion.id;
            journal.steps.push(Step::Target { conversion, by: TargetBy::Repeat });
            first
        }
    };
    let brings_id = brings_external_id(case, target)?;
    if case.postback.conversion_type.is_none() {
        type_is_accepted(case, &target.conversion.conversion_type, journal)?;
    }
    commission_fits(case, manner, target)?;
    let add = matches!(manner, Manner::Repeat { add: true, .. });
    let draft = Draft::of_stored(case.ruleset, case.receipt, target, journal);
    let mut change =
        Change { case, draft, add, changed: false, direct: None, selected: Vec::new() };
    if brings_id {
        change.external_id();
    }
    let retyped = follows_type(case, manner) && change.retype();
    change.params();
    let selection = change.select_named(retyped)?;
    let amounts = change.amounts()?;
    change.transactions(retyped, selection, amounts)?;
    Ok(change.decided(target))
}

/// Whether the type follows this request: it repeats, the key has no type, and the request says
/// one itself (R47).
fn follows_type(case: Case<'_>, manner: Manner<'_>) -> bool {
    matches!(manner, Manner::Repeat { .. })
        && !case.definition.dedup.key.has_type()
        && !case.postback.has_default_type
}

/// The target of an update: the first of R21 that exists.
fn asked_target<'a>(
    case: Case<'a>,
    root: &Root,
    journal: &mut Journal,
) -> Result<&'a Found, Refusal> {
    let (found, by) = find_target(case, root).ok_or_else(|| no_target(case))?;
    journal.steps.push(Step::Target { conversion: found.conversion.id, by });
    Ok(found)
}

fn find_target<'a>(case: Case<'a>, root: &Root) -> Option<(&'a Found, TargetBy)> {
    let facts = case.facts;
    let postback = case.postback;
    if let Some(target) = postback.target {
        let exact = [facts.named.as_deref(), facts.root_row.as_deref()];
        let found = exact.into_iter().flatten().find(|found| found.conversion.id == target);
        return found.map(|found| (found, TargetBy::Named));
    }
    if let Some(found) = facts.newest_of_pair.as_deref() {
        return Some((found, TargetBy::Pair));
    }
    let pcid = postback.pcid?;
    // What (a) did not find may still take the external id, if it has none and is no click.
    let takes_id =
        |found: &&Found| postback.external_id.is_none() || found.conversion.external_id.is_none();
    let wanted = postback.conversion_type.as_ref();
    let named = facts.named.as_deref().filter(|found| {
        pcid != root.id && wanted.is_none_or(|t| *t == found.conversion.conversion_type)
    });
    if let Some(named) = named {
        return Some((named, TargetBy::Named)).filter(|(found, _)| takes_id(found));
    }
    let is_view = |t: &ConversionType| matches!(t, ConversionType::Click | ConversionType::View);
    let root_row = facts.root_row.as_deref().filter(|found| {
        let own = &found.conversion.conversion_type;
        wanted.is_none_or(|t| t == own) && (postback.external_id.is_none() || !is_view(own))
    });
    let by = if wanted.is_some() { TargetBy::NewestOfType } else { TargetBy::Newest };
    let newest = facts.newest_under_root.as_deref().or(root_row)?;
    Some((newest, by)).filter(|(found, _)| takes_id(found))
}

fn no_target(case: Case<'_>) -> Refusal {
    let message = match &case.postback.conversion_type {
        Some(conversion_type) => format!("there is no `{conversion_type}` to update here"),
        None => "there is no conversion to update here".into(),
    };
    Refusal::new(Reason::ConversionNotFound, message)
        .hint("an update changes what exists; to make a conversion, send `action=create`")
}

/// Whether the request gives the target an external id (R22), which must be free.
fn brings_external_id(case: Case<'_>, target: &Found) -> Result<bool, Refusal> {
    let Some(external_id) = &case.postback.external_id else {
        return Ok(false);
    };
    if target.conversion.external_id.is_some() {
        return Ok(false);
    }
    let kind = case.definition.dedup.key;
    let holder = case
        .facts
        .first
        .as_ref()
        .filter(|_| matches!(kind, KeyKind::External | KeyKind::ClickExternal));
    match holder {
        Some(holder) if holder.conversion.id != target.conversion.id => {
            let message = format!(
                "the external id `{}` belongs to the conversion `{}`",
                shown(external_id.as_str()),
                holder.conversion.id
            );
            Err(Refusal::new(Reason::ExternalIdTaken, message)
                .about("external_id")
                .hint("send another one, or leave the pcid out to change that conversion"))
        }
        _ => Ok(true),
    }
}

/// `commission_id` on an update (R23): known, and with a transaction here where there are any. A
/// repeat that changes the type selects anew instead (R47).
fn commission_fits(case: Case<'_>, manner: Manner<'_>, target: &Found) -> Result<(), Refusal> {
    let Some(id) = &case.postback.commission_id else {
        return Ok(());
    };
    if target.transactions.iter().any(|transaction| transaction.commission_id == *id) {
        return Ok(());
    }
    if case.ruleset.commission(id).is_none() {
        return Err(unknown_commission(case.ruleset, id));
    }
    let retypes = follows_type(case, manner)
        && case.postback.conversion_type.as_ref() != Some(&target.conversion.conversion_type);
    if target.transactions.is_empty() || retypes {
        return Ok(());
    }
    let message = format!("the conversion has no transaction of the commission `{id}`");
    Err(Refusal::new(Reason::CommissionMismatch, message)
        .about("commission_id")
        .hint("leave `commission_id` out to change all its transactions"))
}

/// An update on its way.
struct Change<'a> {
    case: Case<'a>,
    draft: Draft<'a>,
    add: bool,
    /// A field of the conversion changed.
    changed: bool,
    /// The direct amount that this request brings, under `add` its own share.
    direct: Option<Received>,
    /// The transactions that R23 selects, by place.
    selected: Vec<usize>,
}

impl<'a> Change<'a> {
    fn changed(&mut self, field: Field) {
        self.changed = true;
        self.draft.journal.steps.push(Step::Changed(field));
    }

    /// Sets the external id and what the conversion is found by from now on (R22).
    fn external_id(&mut self) {
        let external_id = self.case.postback.external_id.clone();
        let conversion = &mut self.draft.conversion;
        conversion.external_id = external_id;
        let id = conversion.external_id.as_ref();
        let kind = self.case.definition.dedup.key;
        let mut holds = Holds::of(kind, &self.draft.root, id, &conversion.conversion_type);
        if !matches!(kind, KeyKind::External | KeyKind::ClickExternal) {
            // Keys of the other kinds do not depend on it and are held already.
            holds.key = None;
        }
        self.draft.holds = holds;
        self.changed(Field::ExternalId);
    }

    /// R47: where the key has no type, the type follows the last request.
    fn retype(&mut self) -> bool {
        let Some(wanted) = self.case.postback.conversion_type.clone() else {
            return false;
        };
        if wanted == self.draft.conversion.conversion_type {
            return false;
        }
        self.draft.conversion.conversion_type = wanted.clone();
        self.changed(Field::Type(wanted));
        true
    }

    /// A commission that is named where one is selected (R23) is looked for before the amounts:
    /// it stands a rung above them.
    fn select_named(&mut self, retyped: bool) -> Result<Option<Chosen<'a>>, Refusal> {
        let named = self.case.postback.commission_id.as_ref();
        if named.is_none() || !(retyped || self.draft.lines.is_empty()) {
            return Ok(None);
        }
        self.draft.select(named)
    }

    /// Params merge by name (R22), and a conversion has no more names than a request may bring:
    /// else it would grow for ever, and each update of it take longer. What is beyond that is left
    /// out, and the rest of the request holds: it may bring money. The raw word of a status (R48)
    /// always finds room.
    fn params(&mut self) {
        for (name, value) in &self.case.postback.params {
            let params = &mut self.draft.conversion.params;
            let has_room = params.len() < PARAMS_MAX || **name == *RAW_RESULT_PARAM;
            if params.get(name) == Some(value) {
                continue;
            }
            if !has_room && !params.contains_key(name) {
                self.draft.journal.steps.push(Step::LeftOut(name.clone()));
                continue;
            }
            params.insert(name.clone(), value.clone());
            self.changed(Field::Param(name.clone()));
        }
    }

    /// The amounts of the request, converted, and under `add` added to what was there.
    fn amounts(&mut self) -> Result<Amounts, Refusal> {
        let draft = &mut self.draft;
        let raw = raw_amounts(self.case);
        let amounts = convert(draft.ruleset, raw, &mut draft.conversion, &mut draft.journal.steps)?;
        let before = draft.conversion.value;
        let value = self.sum(AmountParameter::Value, before, amounts.value)?;
        let conversion = &mut self.draft.conversion;
        if value.is_some() && value != conversion.value {
            conversion.value = value;
            self.changed(Field::Value);
        }
        if amounts.price.is_some() && amounts.price != self.draft.conversion.price {
            self.draft.conversion.price = amounts.price;
            self.changed(Field::Price);
        }
        Ok(Amounts { value, ..amounts })
    }

    /// Under `add` the sum of what was there and what came (R47); else what came.
    fn sum(
        &mut self,
        parameter: AmountParameter,
        before: Option<Received>,
        came: Option<Received>,
    ) -> Result<Option<Received>, Refusal> {
        let (true, Some(before), Some(came)) = (self.add, before, came) else {
            return Ok(came);
        };
        let sum =
            |one: crate::Amount, other| one.plus(other).map_err(|_| out_of_range(parameter.name()));
        let amount = sum(before.amount, came.amount)?;
        let original = match (before.original, came.original) {
            (Some((one, currency)), Some((other, same))) if currency == same => {
                Some((sum(one, other)?, currency))
            }
            _ => None,
        };
        self.draft.journal.steps.push(Step::Added {
            parameter,
            before: before.amount,
            sum: amount,
        });
        Ok(Some(Received { amount, original }))
    }

    /// The transactions that follow (R23), and the one that this update makes.
    fn transactions(
        &mut self,
        retyped: bool,
        selection: Option<Chosen<'a>>,
        amounts: Amounts,
    ) -> Result<(), Refusal> {
        let named = self.case.postback.commission_id.as_ref();
        let follows =
            |transaction: &Transaction| named.is_none_or(|id| transaction.commission_id == *id);
        let lines = self.draft.lines.iter().enumerate();
        self.selected = lines.filter(|(_, l)| follows(&l.transaction)).map(|(at, _)| at).collect();
        self.direct = amounts.commission;
        let claimed = self.apply_direct()?;
        let asks = self.changed || self.case.postback.result.is_some() || named.is_some();
        if (self.draft.lines.is_empty() && asks) || retyped {
            self.make(selection)?;
        }
        self.recompute(amounts.value.is_some())?;
        self.apply_result();
        amounts_allowed(&self.case.definition.limits, amounts.value, claimed)
    }

    /// A direct amount goes to the transaction of `commission_id`, else to the oldest one only
    /// (R23); without a transaction it waits on the conversion. Returns what is claimed in all.
    fn apply_direct(&mut self) -> Result<Option<Received>, Refusal> {
        let Some(came) = self.direct else {
            return Ok(None);
        };
        let Some(&oldest) = self.selected.first() else {
            if !self.draft.lines.is_empty() {
                return Ok(Some(came));
            }
            let before = self.draft.conversion.untaken_commission;
            let sum = self.sum(AmountParameter::Commission, before, Some(came))?;
            if sum != before {
                self.draft.conversion.untaken_commission = sum;
                self.changed(Field::Commission);
            }
            return Ok(sum);
        };
        if self.selected.len() > 1 {
            self.draft.journal.notes.insert(Note::DirectAmountFirstOnly);
        }
        let standing = self.draft.lines.get(oldest).and_then(|line| line.transaction.direct_amount);
        let sum = self.sum(AmountParameter::Commission, standing, Some(came))?;
        self.draft.take_direct(oldest, sum);
        Ok(sum)
    }

    /// Selects a commission for the conversion as it is now, and makes its transaction.
    fn make(&mut self, selection: Option<Chosen<'a>>) -> Result<(), Refusal> {
        let chosen = match selection {
            Some(named) => Some(named),
            None => self.draft.select(None)?,
        };
        let Some(chosen) = chosen else {
            self.draft.journal.notes.insert(Note::NoMatchingCommission);
            return Ok(());
        };
        let id = &chosen.commission.id;
        if self.draft.has_transaction_of(id) {
            return Ok(());
        }
        let is_first = self.draft.lines.is_empty();
        let waiting = self.draft.conversion.untaken_commission.filter(|_| is_first);
        // Where R23 found no transaction of the commission that is named, the amount is for this.
        let direct = waiting.or(self.direct.filter(|_| self.selected.is_empty()));
        let birth = Birth {
            method: self.case.postback.method,
            result: self.case.postback.result,
            by_update: true,
        };
        let value = self.draft.conversion.value.map(|received| received.amount);
        let made = self.draft.make_transaction(chosen, value, direct, &birth)?;
        if made.is_some() && waiting.is_some() {
            self.draft.conversion.untaken_commission = None;
        }
        Ok(())
    }

    /// Computes what follows a new value or a direct amount, by the frozen terms (R28).
    fn recompute(&mut self, brings_value: bool) -> Result<(), Refusal> {
        // A direct amount concerns the one transaction that took it (R23).
        let concerned = match (brings_value, self.direct) {
            (true, _) => self.selected.len(),
            (false, Some(_)) => 1,
            (false, None) => 0,
        };
        let value = self.draft.conversion.value.map(|received| received.amount);
        for place in self.selected.iter().take(concerned).copied().collect::<Vec<_>>() {
            self.draft.compute(place, value)?;
        }
        Ok(())
    }

    /// The result cascades to what R23 selects; what this step made has it already (R23).
    fn apply_result(&mut self) {
        let Some(result) = self.case.postback.result else {
            return;
        };
        for place in self.selected.clone() {
            self.draft.set_result(place, result);
        }
        if self.draft.lines.is_empty() {
            self.draft.journal.notes.insert(Note::NoTransaction);
        }
    }

    /// Rung 12: what changed since the target was found decides the outcome and the events (R36).
    fn decided(mut self, target: &Found) -> Decision {
        let at = self.draft.receipt.at;
        for (line, before) in self.draft.lines.iter_mut().zip(&target.transactions) {
            if line.transaction != *before {
                line.touch = Touch::Changed;
                line.transaction.updated_at = at;
                line.transaction.revision = line.transaction.revision.saturating_add(1);
            }
        }
        let touched = self.draft.lines.iter().any(|line| line.touch != Touch::Kept);
        if !self.changed && !touched {
            // A frozen rate or a remembered limit is bookkeeping and no change.
            let books = (self.draft.conversion != *target.conversion)
                .then_some(Effect::UpdateConversion as fn(_) -> _);
            return self.draft.into_decision(Outcome::Unchanged, books, Vec::new());
        }
        let conversion = &mut self.draft.conversion;
        conversion.updated_at = at;
        conversion.revision = conversion.revision.saturating_add(1);
        let events = self.events();
        self.draft.into_decision(Outcome::Updated, Some(Effect::UpdateConversion), events)
    }

    /// R36: the conversion, what this step made, then everything selected, changed or not, except
    /// what this step made by an auto-approving commission.
    fn events(&self) -> Vec<Event> {
        let mut events = alloc::vec![Event::ConversionUpdated];
        let lines = || self.draft.lines.iter().enumerate();
        let made = lines().filter(|(_, line)| matches!(line.touch, Touch::Made { .. }));
        events.extend(made.map(|(_, line)| Event::TransactionCreated(line.transaction.id)));
        let told = lines().filter(|(place, line)| match line.touch {
            Touch::Made { auto_approve } => !auto_approve,
            Touch::Kept | Touch::Changed => self.selected.contains(place),
        });
        events.extend(told.map(|(_, line)| Event::TransactionUpdated(line.transaction.id)));
        events
    }
}
