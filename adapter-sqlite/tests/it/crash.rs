//! P1: what was acknowledged survives `kill -9`, with everything that belongs to it.
//!
//! The test starts its own binary again as the victim, which submits without pause, has messages
//! sent beside it, and writes each acknowledged id to its output.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    time::Duration,
};

use counterfoil_core::{
    AttemptOutcome, Attempted, MessageState, Method, Next, Period, Report, RequestId, Wanted,
    view::Filter,
};
use counterfoil_sqlite::{Options, Reader, RulesFormat, Store};

use crate::common::{Db, RULES, acme, at, click, postback, submission, submit};

const VICTIM: &str = "COUNTERFOIL_TEST_VICTIM";

/// Tells each sale to two destinations.
const TELLS: &str = "
[[tracking_api]]
id = 'first'
trigger = 'conversion.created'
types = ['sale']
request.url = 'https://a.example/?id={conversion_id}'
[[tracking_api]]
id = 'second'
types = ['sale']
request.url = 'https://b.example/?id={transaction_id}'
";

#[test]
fn acknowledged_requests_survive_kill_9() {
    let mut db = Db::new();
    let rules = format!("{RULES}{TELLS}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let pcid = db.click(at(0));
    db.store = None;
    let mut acknowledged = Vec::new();
    for round in 0..6_u64 {
        acknowledged.extend(run_victim(&db.path(), &pcid.to_string(), 40 + 35 * round));
        let reader = Reader::open(&db.path()).unwrap();
        assert_eq!(reader.problems().unwrap(), [] as [&str; 0]);
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    db.reopen();
    for id in &acknowledged {
        let logged = db.reader().request(&acme(), *id).unwrap().unwrap();
        let conversion = db.reader().conversion(&acme(), logged.conversion_id.unwrap());
        let conversion = conversion.unwrap().unwrap();
        assert_eq!(conversion.transactions.len(), 1);
        assert_eq!(logged.transaction_ids, [conversion.transactions[0].id]);
    }
    every_sale_is_told(&db);
    // Nothing is half applied: all that is there follows from what came in.
    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert!(report.requests >= acknowledged.len() as u64);
}

/// Every event that a tracking API fires on has its message, and no attempt is in the air.
fn every_sale_is_told(db: &Db) {
    let sales = db.number("SELECT count(*) FROM conversions WHERE type = 'sale'");
    assert_eq!(db.number("SELECT count(*) FROM messages"), 2 * sales);
    let untold = db.number(
        "SELECT count(*) FROM conversions c WHERE type = 'sale' AND 2 <> (SELECT count(*) \
         FROM messages m WHERE m.conversion = c.id AND m.request IS NOT NULL)",
    );
    assert_eq!(untold, 0);
    let states = |state| Filter { state: Some(state), ..Filter::default() };
    let found = |state| db.reader().deliveries(&acme(), &states(state)).unwrap().items;
    assert_eq!(found(MessageState::Sending), []);
    // Each that is delivered has its attempt, and some were.
    let delivered = db.number("SELECT count(*) FROM messages WHERE standing = 2");
    assert!(delivered > 0);
    assert_eq!(db.number("SELECT count(*) FROM attempts"), delivered);
}

/// Claims what is due and reports it delivered, as long as the store is there.
fn send_all(store: &Arc<Store>) {
    let next = Arc::clone(store);
    let (most, slack) = (16, Period::from_ms(1_000));
    let wanted = Wanted { now: at(9), slack, most, most_of_one: 9, except: Vec::new() };
    let claimed = move |claims: Result<Vec<counterfoil_core::Claim>, _>| {
        let reports = claims.unwrap().into_iter().map(|claim| {
            Report::Attempted(Attempted {
                message: claim.message.id,
                fence: claim.fence,
                started_at: at(9),
                took: Period::from_ms(1),
                outcome: AttemptOutcome::Answered {
                    status: 200,
                    pending: false,
                    retry_after: None,
                },
                error: None,
                response: None,
                answer: None,
                next: Next::Delivered,
            })
        });
        let again = Arc::clone(&next);
        let reported = move |reported: Result<counterfoil_sqlite::Reported, _>| {
            assert_eq!(reported.unwrap().stale, 0);
            send_all(&again);
        };
        next.report(reports.collect(), Box::new(reported));
    };
    store.claim(wanted, Box::new(claimed));
}

/// Starts a victim, kills it after a while, and gives the ids that it acknowledged.
fn run_victim(path: &Path, pcid: &str, life_ms: u64) -> Vec<RequestId> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["crash::victim", "--exact", "--nocapture"])
        .env(VICTIM, path)
        .env("COUNTERFOIL_TEST_PCID", pcid)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let is_ready = lines.by_ref().any(|line| line.unwrap().contains("ready"));
    assert!(is_ready);
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(life_ms));
        victim.kill().unwrap();
        victim.wait().unwrap();
    });
    // The last line may be cut; what is whole was acknowledged.
    let ids = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).collect();
    killer.join().unwrap();
    ids
}

/// Not a test of its own: what the test above starts and kills.
#[test]
fn victim() {
    let Ok(path) = std::env::var(VICTIM) else {
        return;
    };
    let pcid = std::env::var("COUNTERFOIL_TEST_PCID").unwrap();
    let store = Arc::new(Store::open(Path::new(&path), Options::default()).unwrap());
    store.use_stored_rules().unwrap();
    send_all(&store);
    let ruleset = store.rules("acme").unwrap().ruleset().clone();
    let (reply, answers) = mpsc::channel::<RequestId>();
    let mut out = std::io::stdout();
    writeln!(out, "\nready").unwrap();
    let process = std::process::id();
    for n in 0_u64.. {
        let query = format!("pcid={pcid}&type=sale&external_id={process}-{n}&value=10");
        let arrival = postback(&ruleset, Method::S2s, &query);
        let reply = reply.clone();
        let answer = move |decided: Result<counterfoil_sqlite::Decided, _>| {
            reply.send(decided.unwrap().receipt.id).unwrap();
        };
        submit(&store, submission(&store, arrival, at(1)), answer);
        let click = click(&ruleset, "shoply-cz", "bo", "");
        submit(&store, submission(&store, click, at(1)), |_| {});
        if n % 16 == 15 {
            for id in answers.iter().take(16) {
                writeln!(out, "{id}").unwrap();
            }
            out.flush().unwrap();
        }
    }
}
