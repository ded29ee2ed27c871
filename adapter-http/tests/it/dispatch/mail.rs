//! An outbox in memory, with everything that it was asked.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use counterfoil_core::{
    Attempted, Claim, ConversionId, Message, MessageId, MessageOf, MessageState, Next, Part,
    Pieces, Rendered, Report, RetryKind, Ruleset, RulesetSpec, Timestamp, Wanted,
};
use counterfoil_http::{ClaimReply, Outbox, ReadError, ReportReply, SubmitError};

use crate::harness::PATIENCE;

/// Messages, as a store would keep them.
#[derive(Default)]
pub(crate) struct Mail {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) rows: Vec<Row>,
    wake: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Calls of `claim`.
    pub(crate) claims: usize,
    /// How many reports each call of `report` held.
    pub(crate) batches: Vec<usize>,
    /// Whether nothing can be written now.
    fails: bool,
}

/// One message.
pub(crate) struct Row {
    message: Message,
    ruleset: Arc<Ruleset>,
    destination: Box<str>,
    due_at: Timestamp,
    fence: u64,
    is_taken: bool,
    retries: u8,
    polls: u8,
    /// Where it ended.
    pub(crate) end: Option<Next>,
    /// What was tried.
    pub(crate) attempts: Vec<Attempted>,
    /// Until when it was given back, each time.
    pub(crate) releases: Vec<Timestamp>,
}

/// Rules with one tracking API.
pub(crate) fn rules(api: &str) -> Arc<Ruleset> {
    let text = format!(
        "tenant = \"acme\"\ncurrency = \"EUR\"\n[[tracking_api]]\nid = \"x\"\n\
         types = [\"sale\"]\n{api}\n"
    );
    let (ruleset, _) = Ruleset::check(RulesetSpec::from_toml(&text).unwrap()).unwrap();
    Arc::new(ruleset)
}

fn filled(pieces: &Pieces, value: Option<&str>) -> Vec<Part> {
    pieces.fill(|name| Some(value.map_or_else(|| format!("..{name}"), str::to_owned).into()))
}

impl Mail {
    /// Puts in a message of a tracking API that is due at a moment.
    pub(crate) fn put(&self, ruleset: &Arc<Ruleset>, due_at: Timestamp) -> MessageId {
        self.put_filled(ruleset, due_at, None)
    }

    /// The same, with this value for all macros.
    pub(crate) fn put_filled(
        &self,
        ruleset: &Arc<Ruleset>,
        due_at: Timestamp,
        value: Option<&str>,
    ) -> MessageId {
        let api = ruleset.tracking_api("x").unwrap();
        let template = &api.call.request;
        let request = Rendered {
            method: template.method,
            url: filled(&template.url, value),
            headers: template.headers.iter().map(|(n, v)| (n.clone(), filled(v, value))).collect(),
            body: template.body.as_ref().map(|(kind, body)| (kind.clone(), filled(body, value))),
        };
        let mut state = self.state.lock().unwrap();
        let mut bytes = [7; 16];
        bytes[8..].copy_from_slice(&u64::try_from(state.rows.len()).unwrap().to_be_bytes());
        let id = MessageId::from_bytes(bytes);
        let message = Message {
            id,
            of: MessageOf::TrackingApi(api.id.clone()),
            event: None,
            conversion_id: ConversionId::from_bytes([9; 16]),
            sequence: Some(1),
            state: MessageState::Due,
            due_at,
            request: Some(request),
            depth: 0,
        };
        state.rows.push(Row {
            message,
            ruleset: ruleset.clone(),
            destination: template.destination.clone(),
            due_at,
            fence: 0,
            is_taken: false,
            retries: 0,
            polls: 0,
            end: None,
            attempts: Vec::new(),
            releases: Vec::new(),
        });
        id
    }

    /// Says that something is due.
    pub(crate) fn wake(&self) {
        let wake = self.state.lock().unwrap().wake.clone();
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Whether nothing can be written from now on.
    pub(crate) fn set_failing(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// Waits until something holds, and answers with it.
    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, holds: impl Fn(&State) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(found) = holds(&state) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(left > Duration::ZERO, "waited for {what}");
            // What is looked at may be elsewhere than here.
            let turn = left.min(Duration::from_millis(10));
            (state, _) = self.changed.wait_timeout(state, turn).unwrap();
        }
    }

    /// Waits for the attempt of this number, from one.
    #[track_caller]
    pub(crate) fn attempt(&self, id: MessageId, number: usize) -> Attempted {
        self.wait("an attempt", |state| {
            state.row(id).attempts.get(number.checked_sub(1).unwrap()).cloned()
        })
    }

    /// Waits until so many messages have ended.
    #[track_caller]
    pub(crate) fn wait_for_ends(&self, count: usize) {
        self.wait("ends", |state| {
            let ended = state.rows.iter().filter(|row| row.end.is_some()).count();
            (ended >= count).then_some(())
        });
    }
}

impl State {
    pub(crate) fn row(&self, id: MessageId) -> &Row {
        self.rows.iter().find(|row| row.message.id == id).unwrap()
    }

    fn apply(&mut self, report: Report) -> bool {
        let (id, fence) = report.claim();
        let row = self.rows.iter_mut().find(|row| row.message.id == id).unwrap();
        if !row.is_taken || row.fence != fence {
            return false;
        }
        row.is_taken = false;
        match report {
            Report::Released { until, .. } => {
                row.releases.push(until);
                row.due_at = until;
            }
            Report::Attempted(attempted) => {
                match attempted.next {
                    Next::Retry { at, kind } => {
                        row.due_at = at;
                        row.retries += u8::from(kind == RetryKind::Delivery);
                        row.polls += u8::from(kind == RetryKind::Polling);
                    }
                    end => row.end = Some(end),
                }
                row.attempts.push(attempted);
            }
        }
        true
    }
}

impl Outbox for Mail {
    fn claim(&self, wanted: Wanted, reply: ClaimReply) {
        let mut state = self.state.lock().unwrap();
        state.claims += 1;
        if state.fails {
            drop(state);
            return reply(Err(SubmitError::Unavailable));
        }
        let mut claims = Vec::new();
        for row in &mut state.rows {
            let of_one = claims
                .iter()
                .filter(|claim: &&Claim| {
                    claim.call().unwrap().request.destination == row.destination
                })
                .count();
            let is_due = row.end.is_none() && !row.is_taken && row.due_at <= wanted.now;
            let is_wanted = of_one < wanted.most_of_one
                && claims.len() < wanted.most
                && !wanted.except.contains(&row.destination);
            if is_due && is_wanted {
                row.is_taken = true;
                row.fence += 1;
                claims.push(Claim {
                    message: row.message.clone(),
                    ruleset: row.ruleset.clone(),
                    fence: row.fence,
                    attempt: u32::try_from(row.attempts.len()).unwrap() + 1,
                    delivery_retries: row.retries,
                    polls: row.polls,
                });
            }
        }
        drop(state);
        self.changed.notify_all();
        reply(Ok(claims));
    }

    fn report(&self, reports: Vec<Report>, reply: ReportReply) {
        let mut state = self.state.lock().unwrap();
        if state.fails {
            drop(state);
            return reply(Err(SubmitError::Unavailable));
        }
        state.batches.push(reports.len());
        let applied: Vec<bool> = reports.into_iter().map(|report| state.apply(report)).collect();
        drop(state);
        self.changed.notify_all();
        reply(Ok(applied.into_iter().filter(|applied| !applied).count()));
    }

    fn next_due(&self) -> Result<Option<Timestamp>, ReadError> {
        let state = self.state.lock().unwrap();
        let waiting = state.rows.iter().filter(|row| row.end.is_none() && !row.is_taken);
        Ok(waiting.map(|row| row.due_at).min())
    }

    fn on_due(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.state.lock().unwrap().wake = Some(wake.into());
    }
}
