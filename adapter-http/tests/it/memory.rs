//! A store in memory: the core decides, vectors remember. It can also be made to fail.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use counterfoil_core::{
    Arrival, AttemptOutcome, Attempted, Claim, ConversionId, Decision, Issue, MessageId,
    MessageState, Next, Origin, Owner, Period, Report, RequestId, Ruleset, RulesetSpec, Severity,
    Timestamp, TransactionId, Wanted,
    view::{
        ConversionView, DeliveryView, Erased, Explanation, Filter, Held, Page, RequestView,
        Subject, Timeline, TransactionView,
    },
};
use counterfoil_fixtures::World;
use counterfoil_http::{
    Backlog, Decided, Distribution, EraseError, Health, PutRulesError, ReadError, Reply, Retried,
    RulesAccepted, RulesFormat, RulesText, RunningRules, Store, Submission, SubmitError,
};

use crate::harness::PATIENCE;

/// When messages are claimed, and tried again: all that were made before are due.
pub(crate) const NOW: Timestamp = Timestamp::from_ms(4_102_444_800_000);

/// How the store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Decides at once.
    Well,
    /// Decides after a while, on a thread of its own.
    Slow(Duration),
    /// As many wait as may.
    Busy,
    /// Cannot write.
    Full,
    /// Drops each reply without a call.
    Forgetful,
    /// Breaks while it reads.
    Broken,
    /// Breaks while it takes something in.
    Breaking,
    /// Breaks as soon as it is asked for rules.
    Panicking,
}

/// Clones are the same store.
#[derive(Clone)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
}

struct State {
    mood: Mood,
    version: i64,
    text: RulesText,
    world: World,
    log: Vec<RequestView>,
    latest: Option<Decision>,
    /// Submissions that came in, whatever became of them.
    submitted: usize,
}

impl Memory {
    pub(crate) fn new(rules: &str) -> Self {
        let (ruleset, _) = check(rules, RulesFormat::Toml).expect("the rules of the tests");
        let state = State {
            mood: Mood::Well,
            version: 1,
            text: RulesText { version: 1, text: rules.to_owned(), format: RulesFormat::Toml },
            world: World::new(ruleset),
            log: Vec::new(),
            latest: None,
            submitted: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The latest decision.
    pub(crate) fn latest(&self) -> Decision {
        self.state.lock().unwrap().latest.clone().expect("a decision")
    }

    /// Does something with the world itself.
    pub(crate) fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.state.lock().unwrap().world)
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// Waits until so many submissions have come in.
    pub(crate) fn wait_for(&self, submissions: usize) {
        let end = Instant::now() + PATIENCE;
        while self.state.lock().unwrap().submitted < submissions {
            assert!(Instant::now() < end, "nothing comes in any more");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Gives out all messages that may be sent.
    pub(crate) fn claim(&self) -> Vec<Claim> {
        let slack = Period::from_ms(5_000);
        let wanted =
            Wanted { now: NOW, slack, most: 1_000, most_of_one: 1_000, except: Vec::new() };
        self.with_world(|world| world.claim(&wanted)).unwrap()
    }

    /// None of them was attempted.
    pub(crate) fn release(&self, claims: &[Claim]) {
        let released = |claim: &Claim| Report::Released {
            message: claim.message.id,
            fence: claim.fence,
            until: claim.message.due_at,
        };
        let reports: Vec<Report> = claims.iter().map(released).collect();
        self.with_world(|world| world.report(&reports)).unwrap();
    }

    /// An attempt of each of them has ended, and this follows.
    pub(crate) fn end(&self, claims: &[Claim], next: Next) {
        let ended = |claim: &Claim| {
            Report::Attempted(Attempted {
                message: claim.message.id,
                fence: claim.fence,
                started_at: NOW,
                took: Period::from_ms(0),
                outcome: AttemptOutcome::Unanswered,
                error: None,
                response: None,
                answer: None,
                next,
            })
        };
        let reports: Vec<Report> = claims.iter().map(ended).collect();
        let reported = self.with_world(|world| world.report(&reports)).unwrap();
        assert_eq!(reported.stale, 0);
    }

    /// How many conversions are stored.
    pub(crate) fn conversions_len(&self) -> usize {
        self.state.lock().unwrap().world.conversions().len()
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> Vec<RequestView> {
        self.state.lock().unwrap().log.clone()
    }

    /// The origin of the newest root, and its params.
    pub(crate) fn newest_root(&self) -> (Origin, BTreeMap<String, String>) {
        let state = self.state.lock().unwrap();
        let all: Vec<_> = state.world.conversions().collect();
        let root = all.into_iter().rev().find_map(|conversion| {
            let params = conversion.params.iter();
            let params = params.map(|(name, value)| (name.to_string(), value.to_string()));
            Some((conversion.origin.clone()?, params.collect()))
        });
        root.expect("a root")
    }

    fn decide_and_store(&self, submission: Submission) -> Decided {
        let mut state = self.state.lock().unwrap();
        let at = submission.received_at;
        let nth = state.log.len();
        let request_id = format!("01930000-0000-7000-8000-{nth:012x}").parse().unwrap();
        let decision = state.world.take(&submission.arrival.request, at).unwrap();
        let row = logged(&submission.arrival, request_id, at, &decision);
        state.log.push(row);
        state.latest = Some(decision.clone());
        Decided { request_id, decision }
    }

    fn submit_one(&self, submission: Submission, reply: Reply) {
        let mood = {
            let mut state = self.state.lock().unwrap();
            state.submitted += 1;
            state.mood
        };
        match mood {
            Mood::Well | Mood::Broken => reply(Ok(self.decide_and_store(submission))),
            Mood::Slow(pause) => {
                let memory = self.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(pause);
                    reply(Ok(memory.decide_and_store(submission)));
                });
            }
            Mood::Busy => reply(Err(SubmitError::Busy)),
            Mood::Full => reply(Err(SubmitError::Unavailable)),
            Mood::Forgetful => drop(reply),
            Mood::Breaking => panic!("the store broke while it took something in"),
            Mood::Panicking => unreachable!("it has broken before"),
        }
    }
}

impl Store for Memory {
    fn rules(&self, tenant: &str) -> Option<RunningRules> {
        if self.state.lock().unwrap().mood == Mood::Panicking {
            panic!("the store broke while it was asked for rules");
        }
        self.all_rules().into_iter().find(|rules| rules.ruleset.tenant().as_str() == tenant)
    }

    fn all_rules(&self) -> Vec<RunningRules> {
        let state = self.state.lock().unwrap();
        let ruleset = Arc::new(state.world.ruleset().clone());
        vec![RunningRules { ruleset, version: state.version }]
    }

    fn submit(&self, batch: Vec<(Submission, Reply)>) {
        for (submission, reply) in batch {
            self.submit_one(submission, reply);
        }
    }

    fn explain(
        &self,
        rules: &RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, ReadError> {
        let state = self.state.lock().unwrap();
        let decision = state.world.explain(&arrival.request, at);
        Ok(Explanation::of(&decision, &rules.ruleset))
    }

    fn conversions(&self, _: &str, filter: &Filter) -> Result<Page<ConversionView>, ReadError> {
        let state = self.state.lock().unwrap();
        state.page(filter, |view| {
            let has = |result| view.transactions.iter().any(|t| t.result == result);
            let wanted = carries(filter, &view)
                && filter.result.is_none_or(has)
                && is(filter.affiliate.as_ref(), &view.affiliate_id);
            wanted.then_some(view).into_iter().collect()
        })
    }

    fn conversion(&self, _: &str, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        Ok(self.state.lock().unwrap().world.view(id))
    }

    fn transactions(&self, _: &str, filter: &Filter) -> Result<Page<TransactionView>, ReadError> {
        let state = self.state.lock().unwrap();
        let of = |view: ConversionView| carries(filter, &view).then_some(view.transactions);
        state.page(filter, |view| of(view).unwrap_or_default())
    }

    fn transaction(
        &self,
        _: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ReadError> {
        let views = self.state.lock().unwrap().views();
        let mut all = views.into_iter().flat_map(|view| view.transactions);
        Ok(all.find(|transaction| transaction.id == id))
    }

    fn requests(&self, _: &str, filter: &Filter) -> Result<Page<RequestView>, ReadError> {
        let state = self.state.lock().unwrap();
        let outcome = filter.outcome;
        let rows = state.log.iter().rev();
        let wanted = rows.filter(|row| outcome.is_none_or(|outcome| row.outcome == outcome));
        Ok(Page {
            items: wanted.take(filter.page_len() as usize).cloned().collect(),
            next_cursor: None,
        })
    }

    fn request(&self, _: &str, id: RequestId) -> Result<Option<RequestView>, ReadError> {
        let state = self.state.lock().unwrap();
        Ok(state.log.iter().find(|row| row.id == id).cloned())
    }

    fn timeline(&self, tenant: &str, id: RequestId) -> Result<Option<Timeline>, ReadError> {
        let Some(request) = self.request(tenant, id)? else {
            return Ok(None);
        };
        Ok(Some(Timeline::of(&Held {
            request: &request,
            proof: &[],
            transactions: &[],
            deliveries: &[],
            later: &[],
            is_all: true,
        })))
    }

    fn deliveries(&self, _: &str, filter: &Filter) -> Result<Page<DeliveryView>, ReadError> {
        let state = self.state.lock().unwrap();
        let mut items: Vec<_> = state.wanted(filter).collect();
        items.reverse();
        items.truncate(filter.page_len() as usize);
        Ok(Page { items, next_cursor: None })
    }

    fn delivery(&self, _: &str, id: MessageId) -> Result<Option<DeliveryView>, ReadError> {
        let state = self.state.lock().unwrap();
        Ok(state.world.deliveries().find(|row| row.id == id))
    }

    fn retry_delivery(&self, _: &str, id: MessageId) -> Result<Retried, SubmitError> {
        let mut state = self.state.lock().unwrap();
        state.refuse_to_write()?;
        Ok(match state.world.retry(id, NOW) {
            counterfoil_fixtures::Retried::NotFound => Retried::NotFound,
            counterfoil_fixtures::Retried::InHand => Retried::InHand,
            counterfoil_fixtures::Retried::Due => Retried::Due,
        })
    }

    fn retry_deliveries(&self, _: &str, filter: &Filter) -> Result<u64, SubmitError> {
        let mut state = self.state.lock().unwrap();
        state.refuse_to_write()?;
        let wanted: Vec<MessageId> = state.wanted(filter).map(|row| row.id).collect();
        for id in &wanted {
            state.world.retry(*id, NOW);
        }
        Ok(wanted.len() as u64)
    }

    fn erase(&self, _: &str, subject: &Subject) -> Result<Erased, EraseError> {
        let mut state = self.state.lock().unwrap();
        if state.mood == Mood::Full {
            return Err(SubmitError::Unavailable.into());
        }
        let pcid = match subject {
            Subject::Pcid(pcid) => pcid,
            Subject::External { external_id, advertiser: None } if external_id == "shared" => {
                let advertisers = vec!["other".into(), "shoply".into()];
                return Err(EraseError::SeveralAdvertisers(advertisers));
            }
            Subject::External { .. } => return Ok(Erased::default()),
        };
        let rows = state.log.iter_mut().filter(|row| row.conversion_id == Some(*pcid));
        let requests = rows.map(|row| row.query.clear()).count() as u64;
        Ok(Erased { requests, ..Erased::default() })
    }

    fn backlog(&self) -> Result<Backlog, ReadError> {
        let state = self.state.lock().unwrap();
        if state.mood == Mood::Broken {
            return Err(ReadError::Unavailable("it is broken".into()));
        }
        let of = |wanted| state.world.deliveries().filter(move |row| row.state == wanted);
        Ok(Backlog {
            due: of(MessageState::Due).count() as u64,
            oldest_due_at: of(MessageState::Due).map(|row| row.due_at).min(),
            held: of(MessageState::Held).count() as u64,
            dead: of(MessageState::Dead).count() as u64,
        })
    }

    fn rules_text(&self, tenant: &str) -> Result<Option<RulesText>, ReadError> {
        Ok(self.rules(tenant).map(|_| self.state.lock().unwrap().text.clone()))
    }

    fn put_rules(
        &self,
        _: &str,
        text: &str,
        format: RulesFormat,
    ) -> Result<RulesAccepted, PutRulesError> {
        let (ruleset, warnings) = check(text, format).map_err(PutRulesError::Invalid)?;
        let mut state = self.state.lock().unwrap();
        let version = state.version + 1;
        state.version = version;
        state.world.replace_rules(ruleset);
        state.text = RulesText { version, text: text.to_owned(), format };
        Ok(RulesAccepted { version, warnings })
    }

    fn health(&self) -> Health {
        let state = self.state.lock().unwrap();
        let not_ready = (state.mood == Mood::Full).then(|| "the disk is full".to_owned());
        Health {
            not_ready,
            queue_depth: 3,
            batches: 2,
            batched_requests: 7,
            batch_len_max: 5,
            commit_seconds: Distribution {
                buckets: vec![(0.001, 1), (f64::INFINITY, 1)],
                sum: 2.5,
            },
            batch_requests: Distribution { buckets: vec![(4.0, 1), (f64::INFINITY, 1)], sum: 7.0 },
        }
    }
}

fn check(text: &str, format: RulesFormat) -> Result<(Ruleset, Vec<Issue>), Vec<Issue>> {
    let spec = match format {
        RulesFormat::Toml => RulesetSpec::from_toml(text)?,
        RulesFormat::Json => RulesetSpec::from_json(text)?,
    };
    let (ruleset, warnings) = Ruleset::check(spec)?;
    if ruleset.tenant().as_str() != "acme" {
        return Err(vec![Issue {
            severity: Severity::Error,
            position: None,
            path: "tenant".into(),
            message: "the rules are for another tenant".into(),
            hint: None,
        }]);
    }
    Ok((ruleset, warnings))
}

fn carries(filter: &Filter, view: &ConversionView) -> bool {
    filter.external_id.is_none() || filter.external_id.as_deref() == view.external_id.as_deref()
}

/// Whether a text is the one that is wanted, where one is.
fn is(wanted: Option<&String>, given: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == given)
}

impl State {
    fn refuse_to_write(&self) -> Result<(), SubmitError> {
        match self.mood {
            Mood::Busy => Err(SubmitError::Busy),
            Mood::Full => Err(SubmitError::Unavailable),
            _ => Ok(()),
        }
    }

    /// Messages that a filter names, oldest first.
    fn wanted(&self, filter: &Filter) -> impl Iterator<Item = DeliveryView> {
        self.world.deliveries().filter(|row| self.is_wanted(row, filter))
    }

    fn is_wanted(&self, row: &DeliveryView, filter: &Filter) -> bool {
        let api = row.tracking_api_id.as_ref().map_or("", |id| id.as_str());
        let owner = self.world.ruleset().tracking_api(api).map(|api| match &api.owner {
            Owner::Admin => "admin",
            Owner::Affiliate(id) => id.as_str(),
        });
        is(filter.id.as_ref(), &row.id.to_string())
            && is(filter.owner.as_ref(), owner.unwrap_or("admin"))
            && is(filter.tracking_api.as_ref(), api)
            && is(filter.postback.as_ref(), row.postback_id.as_ref().map_or("", |id| id.as_str()))
            && is(filter.conversion.as_ref(), &row.conversion_id.to_string())
            && filter.state.is_none_or(|state| row.state == state)
    }

    /// All conversions, newest first.
    fn views(&self) -> Vec<ConversionView> {
        let all = self.world.conversions();
        let mut views: Vec<_> = all.filter_map(|row| self.world.view(row.id)).collect();
        views.reverse();
        views
    }

    fn page<T>(
        &self,
        filter: &Filter,
        rows: impl Fn(ConversionView) -> Vec<T>,
    ) -> Result<Page<T>, ReadError> {
        if self.mood == Mood::Broken {
            panic!("the store broke while it read");
        }
        if let Some(cursor) = &filter.cursor {
            return Err(ReadError::Cursor(cursor.clone()));
        }
        let all = self.views().into_iter().flat_map(rows);
        Ok(Page { items: all.take(filter.page_len() as usize).collect(), next_cursor: None })
    }
}

fn logged(arrival: &Arrival, id: RequestId, at: Timestamp, decision: &Decision) -> RequestView {
    let refusal = decision.refusal.as_ref();
    RequestView {
        id,
        received_at: at,
        method: arrival.method,
        remote_addr: arrival.remote_addr.as_deref().map(Into::into),
        query: arrival.query.clone(),
        postback_id: None,
        outcome: decision.outcome,
        reason: refusal.map(|refusal| refusal.reason),
        message: refusal.map(|refusal| refusal.message.clone()),
        parameter: refusal.and_then(|refusal| refusal.parameter.clone()),
        hint: refusal.and_then(|refusal| refusal.hint.clone()),
        notes: decision.notes.clone(),
        conversion_id: decision.conversion.as_ref().map(|conversion| conversion.id),
        transaction_ids: Vec::new(),
        trace: Vec::new(),
    }
}
