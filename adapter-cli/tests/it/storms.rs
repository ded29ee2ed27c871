//! P2 and R47 under storms: every repeat key with every reaction, a thousand requests of each at
//! the same time, through a server and its database. What they must leave behind is reckoned here
//! from what was sent, with no look at the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use counterfoil_core::{
    KeyKind, OnRepeat, TenantName,
    view::{ConversionView, Filter, RequestView},
};
use counterfoil_sqlite::Reader;
use serde_json::Value;

use crate::{
    client::{Client, block_on},
    sandbox::{RULES, Sandbox},
    server::Server,
};

/// Requests of each storm.
const REQUESTS: usize = 1000;
/// Connections that they come on; so many are in the air at any moment.
const CONNECTIONS: usize = 500;

/// A request, and what was answered.
struct Answered {
    number: usize,
    answer: Value,
}

/// Sends requests on all connections at once, and each until it is taken.
fn storm(server: &Server, target: impl Fn(usize) -> String) -> Vec<Answered> {
    block_on(async {
        let barrier = Arc::new(tokio::sync::Barrier::new(CONNECTIONS));
        let mut senders = tokio::task::JoinSet::new();
        for first in 0..CONNECTIONS {
            let numbers = (first..REQUESTS).step_by(CONNECTIONS);
            let requests: Vec<_> = numbers.map(|number| (number, target(number))).collect();
            let barrier = Arc::clone(&barrier);
            let mut client = Client::connect(server.public).await.expect("a connection");
            senders.spawn(async move {
                barrier.wait().await;
                let mut all = Vec::new();
                for (number, target) in requests {
                    let answer = taken(&mut client, &target).await;
                    all.push(Answered { number, answer });
                }
                all
            });
        }
        senders.join_all().await.into_iter().flatten().collect()
    })
}

/// The answer, in the end: a full queue asks to come again, and has kept nothing.
async fn taken(client: &mut Client, target: &str) -> Value {
    loop {
        let answer = client.get(target).await.expect("an answer");
        if answer.status != 503 {
            assert_eq!(answer.status, 200, "{answer:?}");
            return answer.json();
        }
    }
}

/// A tracking API for each event. Where they tell it is forbidden, so that nothing is sent: a
/// message is there all the same.
fn told() -> String {
    let of = |event: &str| {
        let id = event.replace('.', "-");
        format!(
            "[[tracking_api]]\nid = \"{id}\"\ntrigger = \"{event}\"\n\
             request.url = \"http://127.0.0.1:9/\"\n"
        )
    };
    CREATED.into_iter().chain(UPDATED).map(of).collect()
}

/// A thousand identical creates at once make one conversion, one transaction, and one set of
/// messages about them.
#[test]
fn a_thousand_identical_creates_make_one_conversion() {
    let sandbox = Sandbox::new().file("rules.toml", &format!("{RULES}{}", told()));
    let server = Server::start(&sandbox);
    let pcid = server.click();
    let target =
        format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=100&external_id=ONE");
    let answers = storm(&server, |_| target.clone());
    let of = |outcome: &str| answers.iter().filter(|a| a.answer["outcome"] == outcome).count();
    assert_eq!((of("created"), of("duplicate")), (1, REQUESTS - 1));
    let first = &answers[0].answer["conversion_id"];
    assert!(answers.iter().all(|answered| answered.answer["conversion_id"] == *first));

    let row = server.admin(&format!("/api/acme/conversions/{}", first.as_str().unwrap()));
    assert_eq!(row.json()["transactions"].as_array().map(Vec::len), Some(1));
    let sales = server.admin("/api/acme/conversions?type=sale").json();
    assert_eq!(sales["items"].as_array().map(Vec::len), Some(1));
    let list = format!("/api/acme/deliveries?conversion={}", first.as_str().unwrap());
    let messages = server.admin(&list).json();
    let messages = messages["items"].as_array().expect("messages");
    let mut events: Vec<&str> =
        messages.iter().map(|message| message["event"].as_str().expect("an event")).collect();
    events.sort_unstable();
    assert_eq!(events, CREATED, "{messages:#?}");
}

/// One definition with a repeat rule of its own, and the storm that it gets.
struct Storm {
    key: KeyKind,
    reaction: OnRepeat,
    /// The click under which everything happens.
    pcid: String,
}

impl Storm {
    /// The name of the definition, and what sets the external ids of this storm apart.
    fn name(&self) -> String {
        format!("{}.{}", self.key.name().replace('+', "-"), self.reaction.name())
    }

    /// What requests of this storm say beside the value. Those of one entry have the same key, and
    /// those of two have different ones.
    fn keys(&self) -> Vec<String> {
        let name = self.name();
        let said: &[&str] = match self.key {
            KeyKind::External => {
                &["type=sale&external_id=A", "type=sale&external_id=B", "type=lead&external_id=A"]
            }
            KeyKind::ClickType => &["type=sale&external_id=A", "type=lead&external_id=A"],
            KeyKind::ClickExternal => {
                &["type=sale", "type=sale&external_id=A", "type=sale&external_id=B"]
            }
            KeyKind::Click | KeyKind::None => &["type=sale&external_id=A"],
        };
        said.iter().map(|text| text.replace("_id=", &format!("_id={name}."))).collect()
    }

    /// Each request has a value that no other has.
    fn target(&self, number: usize) -> String {
        let (name, pcid, keys) = (self.name(), &self.pcid, self.keys());
        let said = &keys[number % keys.len()];
        let value = self.value(number);
        format!("/api/acme/postbacks/handle?id={name}&pcid={pcid}&{said}&value={value}")
    }

    fn value(&self, number: usize) -> usize {
        number + 1
    }

    /// What a repeat is answered, and what it makes happen.
    fn of_a_repeat(&self) -> (&'static str, &'static [&'static str]) {
        match (self.key, self.reaction) {
            (KeyKind::None, _) => ("created", &CREATED),
            (_, OnRepeat::Refuse) => ("duplicate", &[]),
            (_, OnRepeat::Update | OnRepeat::Add) => ("updated", &UPDATED),
        }
    }
}

const CREATED: [&str; 2] = ["conversion.created", "transaction.created"];
const UPDATED: [&str; 2] = ["conversion.updated", "transaction.updated"];

fn rules() -> String {
    let mut rules = RULES.to_owned();
    rules.push_str(
        "[[commission]]\nid = \"tenth-of-leads\"\ntype = \"lead\"\n\
         revenue = { percent = \"10\" }\npayout = { percent_of_revenue = \"50\" }\n",
    );
    for (key, reaction) in pairs() {
        let storm = Storm { key, reaction, pcid: String::new() };
        rules.push_str(&format!(
            "[[postback]]\nid = \"{}\"\ndedup = {{ key = \"{}\", on_repeat = \"{}\" }}\n",
            storm.name(),
            key.name(),
            reaction.name()
        ));
    }
    rules
}

fn pairs() -> impl Iterator<Item = (KeyKind, OnRepeat)> {
    KeyKind::ALL.into_iter().flat_map(|key| OnRepeat::ALL.map(|reaction| (key, reaction)))
}

/// R47: whatever the order in which a thousand requests are decided, a key has one conversion, and
/// every repeat of it is answered and counted as its definition says.
#[test]
fn every_repeat_key_and_reaction_withstands_a_thousand_requests_at_once() {
    let sandbox = Sandbox::new().file("rules.toml", &rules());
    let server = Server::start(&sandbox);
    let mut all = Vec::new();
    for (key, reaction) in pairs() {
        let storm_of_pair = Storm { key, reaction, pcid: server.click() };
        let answers = storm(&server, |number| storm_of_pair.target(number));
        all.push((storm_of_pair, answers));
    }
    assert_eq!(all.len(), 15);
    let db = sandbox.path("acme.db");
    let conversions = assert_all(&db, &all);
    server.kill();

    // The same is there once the database was opened again, and repeats still meet the first.
    assert_eq!(assert_all(&db, &all), conversions);
    let server = Server::start(&sandbox);
    for (storm, answers) in all.iter().filter(|(storm, _)| storm.reaction == OnRepeat::Refuse) {
        if storm.key == KeyKind::None {
            continue;
        }
        let again = server.get(&storm.target(0)).json();
        assert_eq!(again["outcome"], "duplicate", "{}: {again}", storm.name());
        let first = answers.iter().find(|answered| answered.number == 0).unwrap();
        assert_eq!(again["conversion_id"], first.answer["conversion_id"], "{}", storm.name());
    }
    drop(server);
    sandbox.run("replay --db acme.db").code(0).stderr_has("nothing differs");
}

/// Asserts what all storms left behind; says how many conversions there are.
fn assert_all(db: &Path, all: &[(Storm, Vec<Answered>)]) -> usize {
    let reader = Reader::open(db).expect("the database");
    let tenant = TenantName::new("acme").unwrap();
    let log = logged(&reader, &tenant);
    for (storm, answers) in all {
        let name = storm.name();
        let is_of_storm = |row: &&RequestView| row.postback_id.as_deref() == Some(name.as_str());
        let log: Vec<&RequestView> = log.iter().filter(is_of_storm).collect();
        assert_eq!((answers.len(), log.len()), (REQUESTS, REQUESTS), "{name}");
        for said in 0..storm.keys().len() {
            assert_key(&reader, storm, said, answers, &log);
        }
    }
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    for (_, answers) in all {
        ids.extend(answers.iter().filter_map(|answered| answered.answer["conversion_id"].as_str()));
    }
    let clicks = all.len();
    let rows = rows(|filter| {
        let page = reader.conversions(&tenant, filter).expect("a read");
        (page.items, page.next_cursor)
    });
    assert_eq!(rows.len(), ids.len() + clicks);
    rows.len()
}

/// Asserts what is left of the requests with one key.
fn assert_key(
    reader: &Reader,
    storm: &Storm,
    said: usize,
    answers: &[Answered],
    log: &[&RequestView],
) {
    let (name, keys) = (storm.name(), storm.keys().len());
    let answers: Vec<_> = answers.iter().filter(|a| a.number % keys == said).collect();
    let mut by_conversion: BTreeMap<&str, Vec<&Answered>> = BTreeMap::new();
    for answered in &answers {
        let id = answered.answer["conversion_id"].as_str().unwrap_or_else(|| {
            panic!("{name}: {}", answered.answer);
        });
        by_conversion.entry(id).or_default().push(answered);
    }
    let conversions = if storm.key == KeyKind::None { answers.len() } else { 1 };
    assert_eq!(by_conversion.len(), conversions, "{name}");

    let (repeated, events_of_a_repeat) = storm.of_a_repeat();
    for (id, answers) in by_conversion {
        let (first, repeats): (Vec<&Answered>, _) =
            answers.into_iter().partition(|answered| answered.answer["outcome"] == "created");
        assert_eq!(first.len(), 1, "{name}");
        assert_eq!(first[0].answer["events"], serde_json::json!(CREATED), "{name}");
        for Answered { answer, .. } in &repeats {
            assert_eq!(answer["outcome"], repeated, "{name}: {answer}");
            assert_eq!(answer["events"], serde_json::json!(events_of_a_repeat), "{name}");
        }
        let of_id = |row: &&&RequestView| row.conversion_id.is_some_and(|it| it.to_string() == id);
        let newest = log.iter().find(of_id).expect("a log row");
        let value = match storm.reaction {
            OnRepeat::Refuse => storm.value(first[0].number),
            OnRepeat::Update => value_of(newest),
            OnRepeat::Add => {
                first.iter().chain(&repeats).map(|answered| storm.value(answered.number)).sum()
            }
        };
        let changes = if storm.reaction == OnRepeat::Refuse { 0 } else { repeats.len() };
        let row = reader.conversion(&TenantName::new("acme").unwrap(), id.parse().unwrap());
        assert_row(&name, &row.expect("a read").expect("the conversion"), value, 1 + changes);
    }
}

fn assert_row(name: &str, row: &ConversionView, value: usize, revision: usize) {
    assert_eq!(row.value, Some(format!("{value}.00")), "{name}");
    assert_eq!(row.revision as usize, revision, "{name}");
    let [transaction] = row.transactions.as_slice() else {
        panic!("{name}: {row:?}");
    };
    let revenue = format!("{}.{}0", value / 10, value % 10);
    let payout = format!("{}.{:02}", value / 20, value % 20 * 5);
    assert_eq!((&transaction.revenue, &transaction.payout), (&revenue, &payout), "{name}");
    assert_eq!(transaction.revision as usize, revision, "{name}");
}

fn value_of(row: &RequestView) -> usize {
    let (_, value) = row.query.split_once("&value=").expect("a value");
    value.parse().expect("a whole number")
}

/// The whole log, newest first.
fn logged(reader: &Reader, tenant: &TenantName) -> Vec<RequestView> {
    rows(|filter| {
        let page = reader.requests(tenant, filter).expect("a read");
        (page.items, page.next_cursor)
    })
}

/// All rows of a list, page by page.
fn rows<T>(page: impl Fn(&Filter) -> (Vec<T>, Option<String>)) -> Vec<T> {
    let mut filter = Filter { limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
    let mut rows = Vec::new();
    loop {
        let (items, next) = page(&filter);
        rows.extend(items);
        filter.cursor = next;
        if filter.cursor.is_none() {
            return rows;
        }
    }
}
