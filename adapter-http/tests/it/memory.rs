//! A store in memory: the core decides, vectors remember. It can also be made to fail.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use counterfoil_core::{
    Arrival, Conversion, ConversionId, Decision, DedupKey, Effect, Facts, Found, Issue, Origin,
    Receipt, RequestId, Root, Ruleset, RulesetSpec, Severity, Timestamp, Transaction,
    TransactionId,
    view::{ConversionView, Explanation, Filter, Page, RequestView, TransactionView},
};
use counterfoil_http::{
    Decided, Health, PutRulesError, ReadError, Reply, RulesAccepted, RulesFormat, RulesText,
    RunningRules, Store, Submission, SubmitError,
};

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
}

/// Clones are the same store.
#[derive(Clone)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
    next: Arc<AtomicU64>,
}

struct State {
    mood: Mood,
    rules: RunningRules,
    text: RulesText,
    rows: Vec<Row>,
    log: Vec<RequestView>,
}

struct Row {
    conversion: Conversion,
    transactions: Vec<Transaction>,
    keys: Vec<DedupKey>,
}

impl Memory {
    pub(crate) fn new(rules: &str) -> Self {
        let ruleset = check(rules, RulesFormat::Toml)
            .expect("the rules of the tests")
            .0;
        let state = State {
            mood: Mood::Well,
            rules: RunningRules {
                ruleset: Arc::new(ruleset),
                version: 1,
            },
            text: RulesText {
                version: 1,
                text: rules.to_owned(),
                format: RulesFormat::Toml,
            },
            rows: Vec::new(),
            log: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// How many conversions are stored.
    pub(crate) fn conversions_len(&self) -> usize {
        self.state.lock().unwrap().rows.len()
    }

    /// The log, oldest first.
    pub(crate) fn log(&self) -> Vec<RequestView> {
        self.state.lock().unwrap().log.clone()
    }

    /// The origin of the newest root, and its params.
    pub(crate) fn newest_root(&self) -> (Origin, BTreeMap<String, String>) {
        let state = self.state.lock().unwrap();
        let root = state.rows.iter().rev().find_map(|row| {
            let params = row.conversion.params.iter();
            let params = params.map(|(name, value)| (name.to_string(), value.to_string()));
            Some((row.conversion.origin.clone()?, params.collect()))
        });
        root.expect("a root")
    }

    fn decide_and_store(&self, submission: Submission) -> Decided {
        let nth = self.next.fetch_add(1, Ordering::SeqCst);
        let id: RequestId = format!("01930000-{:04x}-7000-8000-000000000000", nth)
            .parse()
            .unwrap();
        let receipt = Receipt {
            id,
            at: submission.received_at,
        };
        let mut state = self.state.lock().unwrap();
        let decision = state.decide(&submission.rules.ruleset, &submission.arrival, receipt);
        for effect in &decision.effects {
            state.apply(effect.clone());
        }
        state
            .log
            .push(logged(&submission.arrival, receipt, &decision));
        Decided {
            request_id: id,
            decision,
        }
    }
}

impl Store for Memory {
    fn rules(&self, tenant: &str) -> Option<RunningRules> {
        let rules = self.state.lock().unwrap().rules.clone();
        (rules.ruleset.tenant().as_str() == tenant).then_some(rules)
    }

    fn submit(&self, submission: Submission, reply: Reply) {
        let mood = self.state.lock().unwrap().mood;
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
        }
    }

    fn explain(
        &self,
        rules: &RunningRules,
        arrival: Arrival,
        at: Timestamp,
    ) -> Result<Explanation, ReadError> {
        let id = "01930000-ffff-7000-8000-000000000000".parse().unwrap();
        let state = self.state.lock().unwrap();
        let decision = state.decide(&rules.ruleset, &arrival, Receipt { id, at });
        Ok(Explanation::of(&decision, &rules.ruleset))
    }

    fn conversions(&self, _: &str, filter: &Filter) -> Result<Page<ConversionView>, ReadError> {
        let state = self.state.lock().unwrap();
        state.page(filter, |row| {
            let view = state.view(row);
            let external_id = filter.external_id.as_deref();
            let wanted = external_id.is_none_or(|id| view.external_id.as_deref() == Some(id));
            wanted.then_some(view).into_iter().collect()
        })
    }

    fn conversion(&self, _: &str, id: ConversionId) -> Result<Option<ConversionView>, ReadError> {
        let state = self.state.lock().unwrap();
        Ok(state.find(id).map(|row| state.view(row)))
    }

    fn transactions(&self, _: &str, filter: &Filter) -> Result<Page<TransactionView>, ReadError> {
        let state = self.state.lock().unwrap();
        state.page(filter, |row| state.view(row).transactions)
    }

    fn transaction(
        &self,
        _: &str,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ReadError> {
        let state = self.state.lock().unwrap();
        let mut all = state
            .rows
            .iter()
            .flat_map(|row| state.view(row).transactions);
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

    fn rules_text(&self, tenant: &str) -> Result<Option<RulesText>, ReadError> {
        Ok(self
            .rules(tenant)
            .map(|_| self.state.lock().unwrap().text.clone()))
    }

    fn put_rules(
        &self,
        _: &str,
        text: &str,
        format: RulesFormat,
    ) -> Result<RulesAccepted, PutRulesError> {
        let (ruleset, warnings) = check(text, format).map_err(PutRulesError::Invalid)?;
        let mut state = self.state.lock().unwrap();
        let version = state.rules.version + 1;
        state.rules = RunningRules {
            ruleset: Arc::new(ruleset),
            version,
        };
        state.text = RulesText {
            version,
            text: text.to_owned(),
            format,
        };
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

impl State {
    fn decide(&self, ruleset: &Ruleset, arrival: &Arrival, receipt: Receipt) -> Decision {
        let query = arrival.request.query(ruleset);
        let root = query
            .pcid
            .and_then(|id| self.find(id))
            .and_then(|row| self.root(row.conversion.root_id));
        let keyed = |key: Option<DedupKey>| {
            let key = key?;
            self.rows.iter().find(|row| row.keys.contains(&key))
        };
        let key = root
            .as_ref()
            .and_then(|root| query.key.as_ref()?.key(root))
            .or(query.holder);
        let of_transaction = self.rows.iter().find(|row| {
            row.transactions
                .iter()
                .any(|transaction| Some(transaction.id) == query.transaction)
        });
        let under_root = |row: &&Row| {
            let root_id = root.as_ref().map(|root| root.id);
            let conversion = &row.conversion;
            Some(conversion.root_id) == root_id && conversion.id != conversion.root_id
        };
        let found = |row: &Row| self.found(row);
        let facts = Facts {
            first: keyed(key).map(found),
            newest_under_root: self.rows.iter().rev().find(under_root).map(found),
            counters: query.counters.into_iter().map(|id| (id, 0)).collect(),
            transaction: of_transaction.and(query.transaction),
            of_transaction: of_transaction.map(found),
            root,
            ..Facts::default()
        };
        arrival.request.decide(ruleset, &facts, receipt)
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::InsertConversion(stored) => self.rows.push(Row {
                conversion: *stored.conversion,
                transactions: Vec::new(),
                keys: stored.key.into_iter().collect(),
            }),
            Effect::UpdateConversion(stored) => {
                let row = self.find_mut(stored.conversion.id);
                row.conversion = *stored.conversion;
                row.keys.extend(stored.key);
            }
            Effect::InsertTransaction(transaction) => {
                let row = self.find_mut(transaction.conversion_id);
                row.transactions.push(transaction);
            }
            Effect::UpdateTransaction(transaction) => {
                let row = self.find_mut(transaction.conversion_id);
                row.transactions
                    .retain(|before| before.id != transaction.id);
                row.transactions.push(transaction);
            }
            Effect::Count(_) => {}
        }
    }

    fn find(&self, id: ConversionId) -> Option<&Row> {
        self.rows.iter().find(|row| row.conversion.id == id)
    }

    fn find_mut(&mut self, id: ConversionId) -> &mut Row {
        let mut rows = self.rows.iter_mut();
        rows.find(|row| row.conversion.id == id)
            .expect("a stored row")
    }

    fn root(&self, id: ConversionId) -> Option<Root> {
        let conversion = &self.find(id)?.conversion;
        Some(Root {
            id,
            conversion_type: conversion.conversion_type.clone(),
            origin: conversion.origin.clone()?,
            created_at: conversion.created_at,
        })
    }

    fn found(&self, row: &Row) -> Found {
        Found {
            root: self.root(row.conversion.root_id).expect("a root"),
            conversion: row.conversion.clone(),
            transactions: row.transactions.clone(),
        }
    }

    fn view(&self, row: &Row) -> ConversionView {
        let root = self.root(row.conversion.root_id).expect("a root");
        let currency = self.rules.ruleset.currency();
        ConversionView::of(&row.conversion, &root, &row.transactions, currency)
    }

    fn page<T>(
        &self,
        filter: &Filter,
        rows: impl Fn(&Row) -> Vec<T>,
    ) -> Result<Page<T>, ReadError> {
        if self.mood == Mood::Broken {
            panic!("the store broke while it read");
        }
        if let Some(cursor) = &filter.cursor {
            return Err(ReadError::Cursor(cursor.clone()));
        }
        let all = self.rows.iter().rev().flat_map(rows);
        Ok(Page {
            items: all.take(filter.page_len() as usize).collect(),
            next_cursor: None,
        })
    }
}

fn logged(arrival: &Arrival, receipt: Receipt, decision: &Decision) -> RequestView {
    let refusal = decision.refusal.as_ref();
    RequestView {
        id: receipt.id,
        received_at: receipt.at,
        method: arrival.method,
        remote_addr: arrival.remote_addr.clone(),
        query: arrival.query.clone(),
        postback_id: None,
        outcome: decision.outcome,
        reason: refusal.map(|refusal| refusal.reason),
        message: refusal.map(|refusal| refusal.message.clone()),
        parameter: refusal.and_then(|refusal| refusal.parameter.clone()),
        notes: decision.notes.clone(),
        conversion_id: decision.conversion.as_ref().map(|conversion| conversion.id),
        transaction_ids: Vec::new(),
        trace: Vec::new(),
    }
}
