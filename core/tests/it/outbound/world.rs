//! A store of a few rows: it answers the facts that a decision asks for, and applies its effects.

use std::collections::BTreeMap;

use counterfoil_core::{
    ConversionId, Decision, DedupKey, Delayed, Due, Effect, FactQuery, Facts, Found, Incoming,
    Message, MessageOf, MessageState, Method, Receipt, Request, RequestId, RootRequest, Ruleset,
    RulesetSpec, Stored, Timestamp, Told, TransactionId, due, read, shown_parts,
};

/// What every set of rules here begins with: an advertiser, two affiliates, three offers.
pub(super) const HEAD: &str = r#"
tenant = "acme"
currency = "EUR"
[[conversion_type]]
name = "deposit"
[[advertiser]]
id = "shoply"
[[advertiser]]
id = "other"
[[affiliate]]
id = "bo"
[[affiliate]]
id = "cy"
[[offer]]
id = "cz"
advertiser = "shoply"
url = "https://shoply.example/"
[[offer]]
id = "de"
advertiser = "shoply"
url = "https://shoply.example/"
[[offer]]
id = "far"
advertiser = "other"
url = "https://other.example/"
"#;

/// The commission of most sets of rules here.
pub(super) const PAYS: &str = r#"
[[commission]]
id = "sale"
type = "sale"
revenue.percent = "10"
payout.percent_of_revenue = "50"
"#;

pub(super) struct World {
    pub(super) ruleset: Ruleset,
    pub(super) messages: Vec<Message>,
    pub(super) now: Timestamp,
    rows: Vec<Found>,
    keys: BTreeMap<DedupKey, ConversionId>,
    requests: u64,
}

impl World {
    pub(super) fn new(rules: &str) -> Self {
        let spec = RulesetSpec::from_toml(&format!("{HEAD}{rules}")).unwrap();
        let (ruleset, _) = Ruleset::check(spec).unwrap_or_else(|issues| panic!("{issues:#?}"));
        Self {
            ruleset,
            messages: Vec::new(),
            now: "2026-01-31T12:00:00Z".parse().unwrap(),
            rows: Vec::new(),
            keys: BTreeMap::new(),
            requests: 0,
        }
    }

    /// A root by its fields, as `POST /conversions` takes them.
    pub(super) fn root(&mut self, fields: &str) -> Decision {
        let incoming = Incoming { method: Method::Api, dialect: None, query: fields, body: None };
        let pairs = counterfoil_core::decode(&incoming).unwrap();
        let root = RootRequest::read(&self.ruleset, Method::Api, &pairs).unwrap();
        self.decide(&Request::Root(Box::new(root)))
    }

    /// A click of `bo` on the offer `cz`, with everything that a link can say.
    pub(super) fn click(&mut self) -> Decision {
        let fields = [
            ("channel", "mail"),
            ("integration", "shop"),
            ("affs1", "sub"),
            ("affs10", "ten"),
            ("affiliate_click_id", "their-id"),
        ];
        let pairs = fields.map(|(name, value)| (name.into(), value.into())).to_vec();
        let click = RootRequest::click(&self.ruleset, "cz", "bo", &pairs).unwrap();
        self.decide(&Request::Root(Box::new(click)))
    }

    /// A postback; `{pcid}` in it is the newest conversion.
    pub(super) fn send(&mut self, query: &str) -> Decision {
        self.send_by(Method::S2s, query)
    }

    pub(super) fn send_by(&mut self, method: Method, query: &str) -> Decision {
        let newest = self.rows.last().map(|row| row.conversion.id.to_string());
        let query = query.replace("{pcid}", &newest.unwrap_or_default());
        let incoming = Incoming { method, dialect: None, query: &query, body: None };
        let (request, _) = read(&self.ruleset, &incoming);
        self.decide(&request)
    }

    pub(super) fn decide(&mut self, request: &Request) -> Decision {
        self.requests += 1;
        let id = format!("01930000-0000-7000-8000-{:08x}0000", self.requests);
        let id: RequestId = id.parse().unwrap();
        let facts = self.facts(&request.query(&self.ruleset));
        let decision = request.decide(&self.ruleset, &facts, Receipt { id, at: self.now });
        self.apply(&decision);
        decision
    }

    /// What becomes of a message that is due now; what was told is written down.
    pub(super) fn due(&mut self, message: &Message) -> Due {
        let row = self.row(message.conversion_id).clone();
        let due = due(&self.ruleset, message, &row);
        let MessageOf::TrackingApi(api) = &message.of else {
            return due;
        };
        let told = &mut self.row_mut(message.conversion_id).told;
        let state = match &due {
            Due::Hold => Delayed::Held(message.id),
            _ => Delayed::Ended,
        };
        told.delayed.insert((api.clone(), message.transaction_id().unwrap()), state);
        if let Due::Send { sequence: Some(sequence), .. } = due {
            told.sequences.insert(api.clone(), sequence);
        }
        due
    }

    pub(super) fn newest(&self) -> &Found {
        self.rows.last().unwrap()
    }

    fn row(&self, id: ConversionId) -> &Found {
        self.rows.iter().find(|row| row.conversion.id == id).unwrap()
    }

    fn row_mut(&mut self, id: ConversionId) -> &mut Found {
        self.rows.iter_mut().find(|row| row.conversion.id == id).unwrap()
    }

    fn of_transaction(&self, id: TransactionId) -> Option<&Found> {
        self.rows.iter().find(|row| row.transactions.iter().any(|t| t.id == id))
    }

    fn facts(&self, query: &FactQuery) -> Facts {
        let mut facts = Facts {
            transaction: query.transaction,
            of_transaction: query
                .transaction
                .and_then(|id| self.of_transaction(id).cloned())
                .map(Box::new),
            ..Facts::default()
        };
        let named = query.pcid.and_then(|id| self.rows.iter().find(|row| row.conversion.id == id));
        let Some(named) = named else { return facts };
        let root = &named.root;
        facts.root = Some(root.clone());
        let key = query.key.as_ref().and_then(|key| key.key(root));
        let first = key.and_then(|key| self.keys.get(&key));
        facts.first = first.map(|id| Box::new(self.row(*id).clone()));
        if let Some(target) = &query.target {
            let wanted = |row: &&Found| {
                let wanted = target.conversion_type.as_ref();
                row.root.id == root.id
                    && row.conversion.id != root.id
                    && wanted.is_none_or(|wanted| *wanted == row.conversion.conversion_type)
            };
            facts.named = (named.conversion.id != root.id).then(|| Box::new(named.clone()));
            facts.root_row = Some(Box::new(self.row(root.id).clone()));
            facts.newest_under_root = self.rows.iter().rev().find(wanted).cloned().map(Box::new);
        }
        facts
    }

    fn apply(&mut self, decision: &Decision) {
        for effect in &decision.effects {
            match effect {
                Effect::InsertConversion(stored) => {
                    self.rows.push(Found {
                        root: decision.root.clone().unwrap(),
                        conversion: stored.conversion.clone(),
                        transactions: Vec::new(),
                        counters: BTreeMap::new(),
                        told: Told::default(),
                    });
                    self.hold(stored);
                }
                Effect::UpdateConversion(stored) => {
                    self.row_mut(stored.conversion.id).conversion = stored.conversion.clone();
                    self.hold(stored);
                }
                Effect::InsertTransaction(new) => {
                    self.row_mut(new.conversion_id).transactions.push(new.clone());
                }
                Effect::UpdateTransaction(new) => {
                    let row = self.row_mut(new.conversion_id);
                    let old = row.transactions.iter_mut().find(|old| old.id == new.id);
                    *old.unwrap() = new.clone();
                }
                Effect::InsertMessage(message) => self.tell(message),
                Effect::WakeMessage(_) | Effect::Count(_) => {}
            }
        }
    }

    fn hold(&mut self, stored: &Stored) {
        if let Some(key) = stored.key {
            assert_eq!(self.keys.insert(key, stored.conversion.id), None, "the key is taken");
        }
    }

    fn tell(&mut self, message: &Message) {
        assert!(self.messages.iter().all(|known| known.id != message.id), "ids are unique");
        if let MessageOf::TrackingApi(api) = &message.of {
            let told = &mut self.row_mut(message.conversion_id).told;
            if let Some(sequence) = message.sequence {
                told.sequences.insert(api.clone(), sequence);
            } else {
                let key = (api.clone(), message.transaction_id().unwrap());
                told.delayed.insert(key, Delayed::Scheduled(message.id));
            }
            assert_eq!(message.state, MessageState::Due);
        }
        self.messages.push(message.clone());
    }
}

/// The messages that a decision makes.
pub(super) fn messages(decision: &Decision) -> Vec<&Message> {
    let mut messages = Vec::new();
    for effect in &decision.effects {
        if let Effect::InsertMessage(message) = effect {
            messages.push(&**message);
        }
    }
    messages
}

/// The ids of the tracking APIs that a decision tells something to.
pub(super) fn told(decision: &Decision) -> Vec<&str> {
    let mut ids = Vec::new();
    for message in messages(decision) {
        if let MessageOf::TrackingApi(id) = &message.of {
            ids.push(id.as_str());
        }
    }
    ids
}

/// The url of a message, secrets by name.
pub(super) fn url(message: &Message) -> String {
    shown_parts(&message.request.as_ref().unwrap().url)
}
