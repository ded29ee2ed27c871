//! What a step tells to whom (R36 to R40, R43 to R46): each event of the step against each tracking
//! API, in the order of the rules; then the sequence steps of the definition.
//!
//! Conditions and rendering use the state at the end of the step, so this is the last thing that a
//! decision does: it reads the decision and adds messages to its effects.

use alloc::{collections::BTreeSet, vec::Vec};

use crate::{
    conversion::{Conversion, Root},
    decision::{Decision, Effect, Event, Outcome, Receipt},
    facts::{Delayed, Facts, Found},
    ids::TransactionId,
    macros::State,
    message::{Message, MessageOf, MessageState, Rendered},
    reason::Note,
    ruleset::{PostbackDefinition, Ruleset},
    trace::{Silence, Step},
    tracking_api::{CAUSES_MAX, Call, Cause, Owner, RequestTemplate, ResultCondition, TrackingApi},
    transaction::{Transaction, TransactionResult},
};

/// The most messages of tracking APIs that one decision makes: their ids count in 12 bits, and the
/// steps of a definition come on top.
const MESSAGES_MAX: u16 = 4000;

/// What announcing looks at, beside the decision.
#[derive(Clone, Copy)]
pub(crate) struct Announcing<'a> {
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) receipt: Receipt,
    pub(crate) facts: &'a Facts,
    pub(crate) cause: Option<&'a Cause>,
    /// The definition whose steps may run, and whether the request named it (R46).
    pub(crate) steps: Option<(&'a PostbackDefinition, bool)>,
}

/// Adds to a decision what is told of it.
pub(crate) fn announce(announcing: Announcing<'_>, mut decision: Decision) -> Decision {
    let about = (decision.root.clone(), decision.conversion.clone());
    let (Some(root), Some(conversion)) = about else {
        return decision;
    };
    let transactions = decision.transactions.clone();
    let mut teller = Teller {
        announcing,
        root: &root,
        conversion: &conversion,
        transactions: &transactions,
        found: found(announcing.facts, &conversion),
        numbered: Vec::new(),
        started: BTreeSet::new(),
        made: 0,
        decision: &mut decision,
    };
    for event in teller.decision.events.clone() {
        for (place, tracking_api) in (0_u32..).zip(announcing.ruleset.tracking_apis()) {
            if tracking_api.trigger.fires_on(event) {
                teller.tell(place, tracking_api, event);
            }
        }
    }
    teller.wake();
    teller.steps();
    decision.notes.sort_unstable();
    decision.notes.dedup();
    decision
}

/// The conversion as it was found, with what was told of it before.
fn found<'a>(facts: &'a Facts, conversion: &Conversion) -> Option<&'a Found> {
    let all = [
        &facts.first,
        &facts.newest_of_pair,
        &facts.named,
        &facts.newest_under_root,
        &facts.root_row,
        &facts.of_transaction,
    ];
    all.into_iter().flatten().find(|found| found.conversion.id == conversion.id)
}

struct Teller<'a> {
    announcing: Announcing<'a>,
    root: &'a Root,
    conversion: &'a Conversion,
    transactions: &'a [Transaction],
    found: Option<&'a Found>,
    /// Numbers that this step has given, by place of the tracking API.
    numbered: Vec<(u32, u32)>,
    /// Delayed messages that this step has started.
    started: BTreeSet<(u32, TransactionId)>,
    made: u16,
    decision: &'a mut Decision,
}

impl Teller<'_> {
    /// One event and one tracking API whose trigger it fires (R37).
    fn tell(&mut self, place: u32, tracking_api: &TrackingApi, event: Event) {
        let transaction = event.transaction();
        if let Some(because) = self.silence(tracking_api, transaction) {
            if because == Silence::LoopStopped {
                self.decision.notes.push(Note::LoopStopped);
            }
            let step = Step::Silent { tracking_api: place, event: event.name().into(), because };
            self.decision.trace.steps.push(step);
            return;
        }
        match (tracking_api.delay, transaction) {
            (Some(delay), Some(id)) => self.delayed(place, tracking_api, event, id, delay),
            _ => self.now(place, tracking_api, event),
        }
    }

    /// Why nothing is told (R38, R39, R45).
    fn silence(&self, api: &TrackingApi, id: Option<TransactionId>) -> Option<Silence> {
        if !api.active {
            return Some(Silence::Inactive);
        }
        let caused_by = self.announcing.cause.and_then(|cause| cause.tracking_api.as_ref());
        if caused_by == Some(&api.id) {
            return Some(Silence::OwnCause);
        }
        condition_that_fails(api, self.root, self.conversion, self.transactions, id)
            .or_else(|| self.chain_that_ends(api))
            .or_else(|| (self.made >= MESSAGES_MAX).then_some(Silence::TooMany))
    }

    /// R45: what maps nothing back ends a chain by itself.
    fn chain_that_ends(&self, api: &TrackingApi) -> Option<Silence> {
        let depth = self.announcing.cause.map_or(0, |cause| cause.depth);
        (depth >= CAUSES_MAX && !api.call.set.is_empty()).then_some(Silence::LoopStopped)
    }

    fn now(&mut self, place: u32, api: &TrackingApi, event: Event) {
        let sequence = self.next_number(place, api);
        let id = self.announcing.receipt.id.message_id(self.made);
        let state = State {
            root: self.root,
            conversion: self.conversion,
            transactions: self.transactions,
            transaction: event.transaction(),
            event: event.name(),
            currency: self.announcing.ruleset.currency(),
            message: id,
            sequence: Some(sequence),
        };
        let request = Some(render(&api.call.request, &state));
        let due_at = self.announcing.receipt.at;
        self.push(
            place,
            event,
            Message {
                id,
                of: MessageOf::TrackingApi(api.id.clone()),
                event: Some(event.name()),
                conversion_id: self.conversion.id,
                transaction_id: event.transaction(),
                sequence: Some(sequence),
                state: MessageState::Due,
                due_at,
                request,
                depth: self.announcing.cause.map_or(0, |cause| cause.depth),
            },
        );
    }

    /// R43: one message a transaction; after it was sent, a change of result or payout starts a
    /// new one.
    fn delayed(
        &mut self,
        place: u32,
        api: &TrackingApi,
        event: Event,
        transaction: TransactionId,
        delay: crate::time::Period,
    ) {
        let before = self.found.and_then(|found| found.told.delayed(&api.id, transaction));
        let waits = matches!(before, Some(Delayed::Scheduled(_) | Delayed::Held(_)))
            || self.started.contains(&(place, transaction));
        let is_news = before.is_none() || self.money_changed(transaction);
        if waits || !is_news {
            let because = if waits { Silence::Coalesced } else { Silence::NoNews };
            let step = Step::Silent { tracking_api: place, event: event.name().into(), because };
            self.decision.trace.steps.push(step);
            return;
        }
        self.started.insert((place, transaction));
        let id = self.announcing.receipt.id.message_id(self.made);
        self.push(
            place,
            event,
            Message {
                id,
                of: MessageOf::TrackingApi(api.id.clone()),
                event: Some(event.name()),
                conversion_id: self.conversion.id,
                transaction_id: Some(transaction),
                sequence: None,
                state: MessageState::Due,
                due_at: self.announcing.receipt.at.plus(delay),
                request: None,
                depth: self.announcing.cause.map_or(0, |cause| cause.depth),
            },
        );
    }

    fn push(&mut self, place: u32, event: Event, message: Message) {
        self.made = self.made.saturating_add(1);
        self.decision.trace.steps.push(Step::Tells {
            tracking_api: place,
            event: event.name().into(),
            message: message.id,
            at: message.due_at,
        });
        self.decision.effects.push(Effect::InsertMessage(message.into()));
    }

    /// The next number of a tracking API about this conversion (R44).
    fn next_number(&mut self, place: u32, api: &TrackingApi) -> u32 {
        if let Some((_, last)) = self.numbered.iter_mut().find(|(known, _)| *known == place) {
            *last = last.saturating_add(1);
            return *last;
        }
        let stored = self.found.map_or(0, |found| found.told.sequence(&api.id));
        let next = stored.saturating_add(1);
        self.numbered.push((place, next));
        next
    }

    /// Whether this step changed the result or the payout of a transaction, or made it.
    fn money_changed(&self, id: TransactionId) -> bool {
        let of =
            |list: &[Transaction]| list.iter().find(|t| t.id == id).map(|t| (t.result, t.payout));
        of(self.transactions) != self.found.and_then(|found| of(&found.transactions))
    }

    /// A delayed message that is held for its result is due as soon as there is one (R43).
    fn wake(&mut self) {
        let Some(found) = self.found else { return };
        for ((_, transaction), delayed) in found.told.all_delayed() {
            let is_settled = self
                .transactions
                .iter()
                .any(|t| t.id == *transaction && t.result != TransactionResult::Pending);
            if let (Delayed::Held(message), true) = (delayed, is_settled) {
                self.decision.effects.push(Effect::WakeMessage(*message));
            }
        }
    }

    /// R46: the steps of the definition, where the request named it and was not refused.
    fn steps(&mut self) {
        let Some((definition, named)) = self.announcing.steps else {
            return;
        };
        if definition.steps.is_empty() || self.decision.outcome == Outcome::Refused {
            return;
        }
        if !named {
            self.decision.notes.push(Note::StepsSkippedNoId);
            return;
        }
        for (number, call) in (0_u16..).zip(&definition.steps) {
            let id = self.announcing.receipt.id.message_id(self.made);
            self.made = self.made.saturating_add(1);
            let is_first = number == 0;
            let request = is_first.then(|| self.rendered_step(call, id));
            let message = Message {
                id,
                of: MessageOf::Step { postback: definition.id.clone(), number },
                event: None,
                conversion_id: self.conversion.id,
                transaction_id: None,
                sequence: None,
                state: if is_first { MessageState::Due } else { MessageState::Held },
                due_at: self.announcing.receipt.at,
                request,
                depth: 0,
            };
            self.decision.trace.steps.push(Step::RunsStep { number, message: id });
            self.decision.effects.push(Effect::InsertMessage(message.into()));
        }
    }

    fn rendered_step(&self, call: &Call, id: crate::ids::MessageId) -> Rendered {
        render(
            &call.request,
            &State {
                root: self.root,
                conversion: self.conversion,
                transactions: self.transactions,
                transaction: None,
                event: "",
                currency: self.announcing.ruleset.currency(),
                message: id,
                sequence: None,
            },
        )
    }
}

/// Fills a request with the state that it tells (R40).
pub(crate) fn render(template: &RequestTemplate, state: &State<'_>) -> Rendered {
    let value = |name: &str| state.value(name);
    let header = |(name, pieces): &(alloc::boxed::Box<str>, crate::Pieces)| {
        (name.clone(), pieces.fill(value))
    };
    Rendered {
        method: template.method,
        url: template.url.fill(value),
        headers: template.headers.iter().map(header).collect(),
        body: template.body.as_ref().map(|(kind, pieces)| (kind.clone(), pieces.fill(value))),
    }
}

/// The first condition of a tracking API that does not hold (R38, R39).
pub(crate) fn condition_that_fails(
    api: &TrackingApi,
    root: &Root,
    conversion: &Conversion,
    transactions: &[Transaction],
    id: Option<TransactionId>,
) -> Option<Silence> {
    let conditions = &api.conditions;
    let origin = &root.origin;
    let is_owner = match &api.owner {
        Owner::Admin => true,
        Owner::Affiliate(affiliate) => *affiliate == origin.affiliate,
    };
    // Of a transaction event its transaction counts, of a conversion event any.
    let counts = |t: &&Transaction| id.is_none_or(|id| t.id == id);
    let any = |test: &dyn Fn(&Transaction) -> bool| transactions.iter().filter(counts).any(test);
    let results = match &conditions.results {
        ResultCondition::NotChosen => true,
        ResultCondition::All => !transactions.is_empty(),
        ResultCondition::Only(set) => any(&|t| set.contains(&t.result)),
    };
    let commissions = match &conditions.commissions {
        None => true,
        Some(set) => any(&|t| set.contains(&t.commission_id)),
    };
    let tests = [
        (Silence::Owner, is_owner),
        (Silence::Source, allows(&conditions.sources, Some(&origin.source))),
        (Silence::Type, allows(&conditions.types, Some(&conversion.conversion_type))),
        (Silence::Commission, commissions),
        (Silence::Affiliate, allows(&conditions.affiliates, Some(&origin.affiliate))),
        (Silence::Advertiser, allows(&conditions.advertisers, Some(&origin.advertiser))),
        (Silence::Integration, allows(&conditions.integrations, origin.integration.as_ref())),
        (Silence::Channel, allows(&conditions.channels, origin.channel.as_ref())),
        (Silence::ExcludedOffer, !conditions.offers_excluded.contains(&origin.offer)),
        (Silence::Offer, allows(&conditions.offers, Some(&origin.offer))),
        (Silence::Result, results),
    ];
    tests.into_iter().find(|(_, holds)| !holds).map(|(silence, _)| silence)
}

fn allows<T: Ord>(set: &Option<BTreeSet<T>>, value: Option<&T>) -> bool {
    set.as_ref().is_none_or(|set| value.is_some_and(|value| set.contains(value)))
}
