//! P1: what was acknowledged survives `kill -9`, with everything that belongs to it.
//!
//! The test starts its own binary again as the victim, which submits without pause and writes each
//! acknowledged id to its output.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use counterfoil_core::{Method, RequestId};
use counterfoil_sqlite::{Options, Reader, Store};

use crate::common::{Db, acme, at, click, postback, submission, submit};

const VICTIM: &str = "COUNTERFOIL_TEST_VICTIM";

#[test]
fn acknowledged_requests_survive_kill_9() {
    let mut db = Db::new();
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
    // Nothing is half applied: all that is there follows from what came in.
    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert!(report.requests >= acknowledged.len() as u64);
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
    let store = Store::open(Path::new(&path), Options::default()).unwrap();
    store.use_stored_rules().unwrap();
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
