//! A conversion and its transactions while one decision changes them. Everything that a step may
//! do to them is a function here; [`Draft::into_decision`] turns the difference into effects.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};

use crate::{
    amount::{legs, out_of_range},
    commission::{Chosen, Subject, select_commission},
    conversion::{Conversion, Method, Received, Root},
    decision::{Decision, Effect, Event, Outcome, Receipt, Stored},
    dedup::Holds,
    facts::Found,
    money::Amount,
    reason::{Note, Refusal},
    ruleset::{Commission, Ruleset},
    token::CommissionId,
    trace::{BornBecause, Leg, Step, Trace},
    transaction::{AutoSet, DueResult, Transaction, TransactionResult},
};

/// What a decision gathers on its way: the trace and the notes.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) steps: Vec<Step>,
    pub(crate) notes: BTreeSet<Note>,
}

impl Journal {
    /// Ends in a refusal: only the trace remains. Notes belong to what was accepted.
    pub(crate) fn refused(mut self, refusal: Refusal) -> Decision {
        self.steps.push(Step::Refused(refusal.reason));
        Decision {
            outcome: Outcome::Refused,
            refusal: Some(refusal),
            effects: Vec::new(),
            events: Vec::new(),
            notes: Vec::new(),
            conversion: None,
            root: None,
            transactions: Vec::new(),
            trace: Trace { steps: self.steps },
        }
    }

    /// Ends without a change: what was found stands.
    pub(crate) fn found(
        &mut self,
        outcome: Outcome,
        refusal: Option<Refusal>,
        found: &Found,
    ) -> Decision {
        Decision {
            outcome,
            refusal,
            effects: Vec::new(),
            events: Vec::new(),
            notes: self.take_notes(),
            conversion: Some(Arc::clone(&found.conversion)),
            root: Some(Arc::clone(&found.root)),
            transactions: found.transactions.clone(),
            trace: self.take_trace(),
        }
    }

    fn take_notes(&mut self) -> Vec<Note> {
        core::mem::take(&mut self.notes).into_iter().collect()
    }

    fn take_trace(&mut self) -> Trace {
        Trace { steps: core::mem::take(&mut self.steps) }
    }
}

/// What this step did to a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It stands as it was.
    Kept,
    /// It changed.
    Changed,
    /// This step made it; `approved` where its commission approves at once.
    Made {
        /// Whether its commission approves at once.
        auto_approve: bool,
    },
}

/// A transaction and what this step did to it.
pub(crate) struct Line {
    pub(crate) transaction: Transaction,
    pub(crate) touch: Touch,
}

/// How a transaction gets its first result (R29).
pub(crate) struct Birth {
    pub(crate) method: Method,
    pub(crate) result: Option<TransactionResult>,
    /// An update makes it: its own result is applied at once (R23).
    pub(crate) by_update: bool,
}

/// A conversion and its transactions while one decision changes them.
pub(crate) struct Draft<'a> {
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) receipt: Receipt,
    pub(crate) root: Arc<Root>,
    pub(crate) conversion: Conversion,
    pub(crate) lines: Vec<Line>,
    pub(crate) journal: &'a mut Journal,
    /// What the conversion is found by from now on, beside what it held before.
    pub(crate) holds: Holds,
    /// Transactions that each commission with a limit has made under the root before.
    pub(crate) made_before: BTreeMap<CommissionId, u32>,
    counted: Vec<CommissionId>,
}

impl<'a> Draft<'a> {
    /// A draft of what is stored.
    pub(crate) fn of_stored(
        ruleset: &'a Ruleset,
        receipt: Receipt,
        found: &Found,
        journal: &'a mut Journal,
    ) -> Self {
        let keep = |transaction: &Transaction| Line {
            transaction: transaction.clone(),
            touch: Touch::Kept,
        };
        let conversion = Conversion::clone(&found.conversion);
        Self {
            lines: found.transactions.iter().map(keep).collect(),
            made_before: found.counters.clone(),
            ..Self::of_new(ruleset, receipt, Arc::clone(&found.root), conversion, journal)
        }
    }

    /// A draft of a conversion that is about to be stored.
    pub(crate) fn of_new(
        ruleset: &'a Ruleset,
        receipt: Receipt,
        root: Arc<Root>,
        conversion: Conversion,
        journal: &'a mut Journal,
    ) -> Self {
        Self {
            ruleset,
            receipt,
            root,
            conversion,
            lines: Vec::new(),
            journal,
            holds: Holds::default(),
            made_before: BTreeMap::new(),
            counted: Vec::new(),
        }
    }

    /// Selects the commission for the conversion as it is now (R24 to R26).
    ///
    /// # Errors
    /// `unknown_commission`, `commission_mismatch`.
    pub(crate) fn select(
        &mut self,
        named: Option<&CommissionId>,
    ) -> Result<Option<Chosen<'a>>, Refusal> {
        let subject = Subject {
            root: &self.root,
            conversion_type: &self.conversion.conversion_type,
            created_at: self.conversion.created_at,
        };
        select_commission(self.ruleset, subject, named, &mut self.journal.steps)
    }

    /// Whether a commission has a transaction here.
    pub(crate) fn has_transaction_of(&self, id: &CommissionId) -> bool {
        self.lines.iter().any(|line| line.transaction.commission_id == *id)
    }

    /// Makes the transaction of a commission (R27 to R29), unless it made its most under this root.
    /// Returns where it stands.
    ///
    /// # Errors
    /// `amount_out_of_range`.
    pub(crate) fn make_transaction(
        &mut self,
        chosen: Chosen<'_>,
        value: Option<Amount>,
        direct: Option<Received>,
        birth: &Birth,
    ) -> Result<Option<usize>, Refusal> {
        if !self.within_recurrence(chosen) {
            return Ok(None);
        }
        let place = self.lines.len();
        let line = self.born(chosen.commission, birth);
        self.lines.push(line);
        self.take_direct(place, direct);
        self.compute(place, value)?;
        Ok(Some(place))
    }

    /// R27: whether a commission may make one more transaction under this root. One that may not is
    /// remembered, so that a resend stays a repeat (R20).
    fn within_recurrence(&mut self, chosen: Chosen<'_>) -> bool {
        let Some(most) = chosen.commission.recurrence else { return true };
        let id = &chosen.commission.id;
        let made = self.made_before.get(id).copied().unwrap_or(0);
        self.journal.steps.push(Step::Counted { commission: chosen.place, made, most });
        if made < most {
            self.counted.push(id.clone());
            return true;
        }
        self.journal.notes.insert(Note::RecurrenceLimitReached);
        if !self.conversion.exhausted.contains(id) {
            self.conversion.exhausted.push(id.clone());
        }
        false
    }

    /// A transaction with its first result (R29), before its amounts are computed.
    fn born(&mut self, commission: &Commission, birth: &Birth) -> Line {
        let (result, because) = birth_result(commission, birth);
        if birth.result.is_some_and(|asked| asked != result) {
            self.journal.notes.insert(Note::ResultNotInherited);
        }
        let is_made = |line: &&Line| matches!(line.touch, Touch::Made { .. });
        let ordinal = self.lines.iter().filter(is_made).count();
        let id = self.receipt.id.transaction_id(u16::try_from(ordinal).unwrap_or(u16::MAX));
        let at = self.receipt.at;
        let due_of =
            |auto_set: AutoSet| DueResult { at: at.plus(auto_set.after), result: auto_set.result };
        let transaction = Transaction {
            id,
            conversion_id: self.conversion.id,
            commission_id: commission.id.clone(),
            transaction_type: commission.transaction_type.clone(),
            result,
            revenue: Amount::ZERO,
            payout: Amount::ZERO,
            currency: self.ruleset.currency(),
            terms: commission.terms,
            direct_amount: None,
            revenue_is_edited: false,
            payout_is_edited: false,
            auto_set: commission.auto_set.map(due_of),
            created_at: at,
            updated_at: at,
            revision: 1,
        };
        self.journal.steps.push(Step::Born { transaction: id, result, because });
        self.journal.steps.extend(transaction.auto_set.map(|due| Step::WillSet {
            transaction: id,
            result: due.result,
            at: due.at,
        }));
        Line { transaction, touch: Touch::Made { auto_approve: commission.auto_approve } }
    }

    /// Gives a transaction a direct amount, if its terms accept one (R30). The same amount in
    /// another currency is the amount that stands: it changes nothing.
    pub(crate) fn take_direct(&mut self, place: usize, direct: Option<Received>) {
        let (Some(line), Some(direct)) = (self.lines.get_mut(place), direct) else {
            return;
        };
        let standing = &mut line.transaction.direct_amount;
        if !line.transaction.terms.accept_direct_amount {
            self.journal.notes.insert(Note::DirectAmountIgnored);
        } else if standing.is_none_or(|standing| standing.amount != direct.amount) {
            *standing = Some(direct);
        }
    }

    /// Computes the legs of a transaction anew.
    ///
    /// # Errors
    /// `amount_out_of_range`.
    pub(crate) fn compute(&mut self, place: usize, value: Option<Amount>) -> Result<(), Refusal> {
        let Some(line) = self.lines.get_mut(place) else {
            return Ok(());
        };
        let transaction = &mut line.transaction;
        let parameter = if transaction.direct_amount.is_some() { "commission" } else { "value" };
        let legs = legs(transaction, value).map_err(|_| out_of_range(parameter))?;
        if legs.lack_value() {
            self.journal.notes.insert(Note::MissingValue);
        }
        transaction.revenue = legs.revenue;
        transaction.payout = legs.payout;
        let id = transaction.id;
        let sides = [
            (Leg::Revenue, legs.revenue_formula, legs.revenue),
            (Leg::Payout, legs.payout_formula, legs.payout),
        ];
        self.journal.steps.extend(sides.map(|(leg, formula, amount)| Step::Leg {
            transaction: id,
            leg,
            formula,
            amount,
        }));
        Ok(())
    }

    /// Sets the result of a transaction (R23).
    pub(crate) fn set_result(&mut self, place: usize, result: TransactionResult) {
        let Some(line) = self.lines.get_mut(place) else {
            return;
        };
        let from = line.transaction.result;
        if from != result {
            line.transaction.result = result;
            let transaction = line.transaction.id;
            self.journal.steps.push(Step::ResultSet { transaction, from, to: result });
        }
    }

    /// Ends in a decision: the lines that this step made or changed become effects.
    pub(crate) fn into_decision(
        self,
        outcome: Outcome,
        conversion: Option<fn(Stored) -> Effect>,
        events: Vec<Event>,
    ) -> Decision {
        let mut effects = Vec::with_capacity(1 + self.lines.len());
        let own = Arc::new(self.conversion);
        if let Some(effect) = conversion {
            let conversion = Arc::clone(&own);
            effects.push(effect(Stored { conversion, key: self.holds.key, pair: self.holds.pair }));
        }
        for line in &self.lines {
            match line.touch {
                Touch::Kept => {}
                Touch::Changed => effects.push(Effect::UpdateTransaction(line.transaction.clone())),
                Touch::Made { .. } => {
                    effects.push(Effect::InsertTransaction(line.transaction.clone()));
                }
            }
        }
        effects.extend(self.counted.into_iter().map(Effect::Count));
        Decision {
            outcome,
            refusal: None,
            effects,
            events,
            notes: self.journal.take_notes(),
            trace: self.journal.take_trace(),
            conversion: Some(own),
            root: Some(self.root),
            transactions: self.lines.into_iter().map(|line| line.transaction).collect(),
        }
    }
}

/// R29: import's own result, else auto-approve, else what the commission inherits, else pending.
/// An update's own result is applied at once, but an approval at birth stands (R23).
fn birth_result(commission: &Commission, birth: &Birth) -> (TransactionResult, BornBecause) {
    match birth.result {
        Some(result) if birth.method == Method::Import => (result, BornBecause::Import),
        _ if commission.auto_approve => (TransactionResult::Approved, BornBecause::AutoApprove),
        Some(result) if birth.by_update => (result, BornBecause::Update),
        Some(result) if commission.inherit_result.contains(&result) => {
            (result, BornBecause::Inherited)
        }
        _ => (TransactionResult::Pending, BornBecause::Default),
    }
}
