//! What a step tells to whom (R36 to R40, R43 to R46): each event of the step against each tracking
//! API, in the order of the rules; then the sequence steps of the definition.
//!
//! Conditions and rendering use the state at the end of the step, so this is the last thing that a
//! decision does: it reads the decision and adds messages to its effects.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::{
    conversion::{Conversion, Root},
    decision::{Decision, Effect, Event, Receipt},
    facts::{Delayed, Facts, Found},
    ids::TransactionId,
    macros::State,
    message::{Message, MessageOf, MessageState, Rendered},
    pieces::Pieces,
    reason::Note,
    ruleset::{PostbackDefinition, Ruleset},
    time::Period,
    trace::{Silence, Step},
    tracking_api::{CAUSES_MAX, Call, Cause, Owner, RequestTemplate, ResultCondition, TrackingApi},
    transaction::{Transaction, TransactionResult},
};

/// The most messages of tracking APIs that one decision makes: their ids count in 12 bits, and the
/// steps of a definition come on top.
const MESSAGES_MAX: u16 = 4000;
/// The most tracking APIs that a trace names with the reason why they tell nothing.
pub(crate) const SILENCES_MAX: u16 = 100;

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

/// Adds to a decision what is told of it. Of a refusal nothing is: it has no conversion.
pub(crate) fn announce(announcing: Announcing<'_>, mut decision: Decision) -> Decision {
    let (Some(root), Some(conversion)) = (&decision.root, &decision.conversion) else {
        return decision;
    };
    let mut teller = Teller {
        announcing,
        root,
        conversion,
        transactions: &decision.transactions,
        found: found(announcing.facts, conversion),
        numbered: BTreeMap::new(),
        started: BTreeSet::new(),
        made: 0,
        silences: 0,
        effects: &mut decision.effects,
        notes: &mut decision.notes,
        trace: &mut decision.trace.steps,
    };
    for event in decision.events.iter().copied() {
        for (place, tracking_api) in (0_u32..).zip(announcing.ruleset.tracking_apis()) {
            if tracking_api.trigger.fires_on(event) && is_owners(tracking_api, root) {
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
    let mut all = all.into_iter().filter_map(|found| found.as_deref());
    all.find(|found| found.conversion.id == conversion.id)
}

struct Teller<'a> {
    announcing: Announcing<'a>,
    root: &'a Root,
    conversion: &'a Conversion,
    transactions: &'a [Transaction],
    found: Option<&'a Found>,
    /// The last number that this step has given, by place of the tracking API.
    numbered: BTreeMap<u32, u32>,
    /// Delayed messages that this step has started.
    started: BTreeSet<(u32, TransactionId)>,
    made: u16,
    silences: u16,
    effects: &'a mut Vec<Effect>,
    notes: &'a mut Vec<Note>,
    trace: &'a mut Vec<Step>,
}

impl Teller<'_> {
    /// One event and one tracking API whose trigger it fires (R37).
    fn tell(&mut self, place: u32, api: &TrackingApi, event: Event) {
        if let Some(because) = self.silence(api, event.transaction()) {
            if because == Silence::LoopStopped {
                self.notes.push(Note::LoopStopped);
            }
            self.is_silent(place, event, because);
            return;
        }
        match (api.delay, event.transaction()) {
            (Some(delay), Some(transaction)) => self.delayed(place, api, event, transaction, delay),
            _ => self.now(place, api, event),
        }
    }

    /// Why nothing is told (R38, R45).
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
        (self.depth() >= CAUSES_MAX && !api.call.set.is_empty()).then_some(Silence::LoopStopped)
    }

    fn is_silent(&mut self, place: u32, event: Event, because: Silence) {
        self.silences = self.silences.saturating_add(1);
        if self.silences <= SILENCES_MAX {
            self.trace.push(Step::Silent { tracking_api: place, event, because });
        }
    }

    /// Rendered now, and frozen (R40).
    fn now(&mut self, place: u32, api: &TrackingApi, event: Event) {
        let sequence = self.next_number(place, api);
        let message = self.message(MessageOf::TrackingApi(api.id.clone()), Some(event));
        let request = self.rendered(&api.call, &message, Some(sequence));
        let message = Message { sequence: Some(sequence), request: Some(request), ..message };
        self.push(place, event, message);
    }

    /// R43: one message a transaction; after it was sent, a change of result or payout starts a
    /// new one.
    fn delayed(
        &mut self,
        place: u32,
        api: &TrackingApi,
        event: Event,
        transaction: TransactionId,
        delay: Period,
    ) {
        let before = self.found.and_then(|found| found.told.delayed(&api.id, transaction));
        let waits = matches!(before, Some(Delayed::Scheduled(_) | Delayed::Held(_)))
            || self.started.contains(&(place, transaction));
        if waits {
            return self.is_silent(place, event, Silence::Coalesced);
        }
        if before.is_some() && !self.money_changed(transaction) {
            return self.is_silent(place, event, Silence::NoNews);
        }
        self.started.insert((place, transaction));
        let message = self.message(MessageOf::TrackingApi(api.id.clone()), Some(event));
        let due_at = message.due_at.plus(delay);
        self.push(place, event, Message { due_at, ..message });
    }

    fn push(&mut self, place: u32, event: Event, message: Message) {
        let (id, at) = (message.id, message.due_at);
        self.trace.push(Step::Tells { tracking_api: place, event, message: id, at });
        self.effects.push(Effect::InsertMessage(message.into()));
    }

    /// The next message: due at once, and not rendered yet.
    fn message(&mut self, of: MessageOf, event: Option<Event>) -> Message {
        let id = self.announcing.receipt.id.message_id(self.made);
        self.made = self.made.saturating_add(1);
        Message {
            id,
            of,
            event,
            conversion_id: self.conversion.id,
            sequence: None,
            state: MessageState::Due,
            due_at: self.announcing.receipt.at,
            request: None,
            depth: self.depth(),
        }
    }

    fn rendered(&self, call: &Call, message: &Message, sequence: Option<u32>) -> Rendered {
        let state = State {
            root: self.root,
            conversion: self.conversion,
            transactions: self.transactions,
            event: message.event,
            currency: self.announcing.ruleset.currency(),
            message: message.id,
            sequence,
        };
        render(&call.request, &state)
    }

    /// How many answers came before this step in the chain of causes (R45).
    fn depth(&self) -> u8 {
        self.announcing.cause.map_or(0, |cause| cause.depth)
    }

    /// The next number of a tracking API about this conversion (R44).
    fn next_number(&mut self, place: u32, api: &TrackingApi) -> u32 {
        let stored = self.found.map_or(0, |found| found.told.sequence(&api.id));
        let last = self.numbered.entry(place).or_insert(stored);
        *last = last.saturating_add(1);
        *last
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
                self.effects.push(Effect::WakeMessage(*message));
            }
        }
    }

    /// R46: the steps of the definition, where the request named it. The first is rendered now,
    /// the others in their turn.
    fn steps(&mut self) {
        let Some((definition, named)) = self.announcing.steps else {
            return;
        };
        if definition.steps.is_empty() {
            return;
        }
        if !named {
            self.notes.push(Note::StepsSkippedNoId);
            return;
        }
        for (number, call) in (0_u16..).zip(&definition.steps) {
            let of = MessageOf::Step { postback: definition.id.clone(), number };
            let mut message = self.message(of, None);
            if number == 0 {
                message.request = Some(self.rendered(call, &message, None));
            } else {
                message.state = MessageState::Held;
            }
            self.trace.push(Step::RunsStep { number, message: message.id });
            self.effects.push(Effect::InsertMessage(message.into()));
        }
    }
}

/// Fills a request with the state that it tells (R40).
pub(crate) fn render(template: &RequestTemplate, state: &State<'_>) -> Rendered {
    let value = |name: &str| state.value(name);
    let header = |(name, pieces): &(Box<str>, Pieces)| (name.clone(), pieces.fill(value));
    Rendered {
        method: template.method,
        url: template.url.fill(value),
        headers: template.headers.iter().map(header).collect(),
        body: template.body.as_ref().map(|(kind, pieces)| (kind.clone(), pieces.fill(value))),
    }
}

/// R39: what an affiliate owns sees its own conversions only. For all others it does not exist:
/// there may be thousands, so that not even the trace names it.
fn is_owners(api: &TrackingApi, root: &Root) -> bool {
    match &api.owner {
        Owner::Admin => true,
        Owner::Affiliate(affiliate) => *affiliate == root.origin.affiliate,
    }
}

/// The first condition of a tracking API that does not hold (R38).
pub(crate) fn condition_that_fails(
    api: &TrackingApi,
    root: &Root,
    conversion: &Conversion,
    transactions: &[Transaction],
    id: Option<TransactionId>,
) -> Option<Silence> {
    let conditions = &api.conditions;
    let origin = &root.origin;
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
