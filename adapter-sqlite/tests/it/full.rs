//! P8: a full disk. Nothing false is acknowledged, readiness goes down, reads go on, and it
//! recovers by itself.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use counterfoil_core::Method;
use counterfoil_sqlite::{Options, Store, SubmitError};

use crate::common::{Db, acme, at, postback, submission};

const VICTIM: &str = "COUNTERFOIL_TEST_FULL";

/// Sends until the store refuses; how many were acknowledged.
fn fill(store: &Store) -> (i64, SubmitError) {
    let ruleset = store.rules("acme").unwrap().ruleset().clone();
    let filler = "x".repeat(2000);
    for n in 0.. {
        let arrival = postback(&ruleset, Method::S2s, &format!("type=sale&a={filler}"));
        if let Err(error) = store.submit_wait(submission(store, arrival, at(n))) {
            return (n, error);
        }
    }
    unreachable!()
}

#[test]
fn a_full_database_stops_acknowledging_and_goes_on_reading() {
    let mut db = Db::with(Options { pages_max: Some(120), ..Options::default() });
    let (acknowledged, error) = fill(db.store());
    assert_eq!(error, SubmitError::Unavailable);
    assert!(acknowledged > 10, "{acknowledged}");
    let why = db.store().health().not_ready.unwrap();
    assert!(why.contains("full"), "{why}");
    // It stays so, and rules are refused too.
    let arrival = postback(&db.ruleset(), Method::S2s, "type=sale");
    assert_eq!(db.try_take(arrival, at(0)).map(drop), Err(SubmitError::Unavailable));
    let page = db.reader().requests(&acme(), &Default::default()).unwrap();
    assert_eq!(page.items.len(), 50);
    assert_eq!(db.number("SELECT count(*) FROM requests"), acknowledged);
    // With space again everything is there, and more goes in.
    db.reopen();
    assert_eq!(db.number("SELECT count(*) FROM requests"), acknowledged);
    db.send("type=sale", at(0));
    assert_eq!(db.reader().problems().unwrap(), [] as [&str; 0]);
}

/// The limit on the size of files stands in for the disk: beyond it writing fails, and it can be
/// lifted from outside. Needs `sh` and `prlimit` of util-linux; without them the test above stands
/// alone.
#[test]
fn a_disk_that_fails_and_comes_back() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return;
    }
    let mut db = Db::new();
    db.store = None;
    let program = std::env::current_exe().unwrap();
    let mut victim = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 1024; exec \"$0\" full::victim --exact --nocapture",
        ])
        .arg(program)
        .env(VICTIM, db.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut next = |word: &str| {
        let line = lines.by_ref().find(|line| line.starts_with(word)).unwrap();
        line.trim_start_matches(word).trim().parse::<i64>().unwrap()
    };
    let acknowledged = next("acknowledged");
    assert!(acknowledged > 10, "{acknowledged}");
    assert_eq!(next("found"), acknowledged);
    let lifted = Command::new("prlimit")
        .args(["--pid", &victim.id().to_string(), "--fsize=unlimited"])
        .status()
        .unwrap();
    assert!(lifted.success());
    writeln!(victim.stdin.take().unwrap(), "lifted").unwrap();
    assert_eq!(next("recovered"), acknowledged + 1);
    assert!(victim.wait().unwrap().success());
    db.reopen();
    assert_eq!(db.number("SELECT count(*) FROM requests"), acknowledged + 1);
    assert_eq!(db.reader().replay().unwrap().differences, []);
}

/// Not a test of its own: what the test above starts.
#[test]
fn victim() {
    let Ok(path) = std::env::var(VICTIM) else {
        return;
    };
    let store = Store::open(Path::new(&path), Options::default()).unwrap();
    store.use_stored_rules().unwrap();
    let (acknowledged, error) = fill(&store);
    assert_eq!(error, SubmitError::Unavailable);
    assert!(store.health().not_ready.is_some());
    println!("\nacknowledged {acknowledged}");
    let page =
        |cursor| counterfoil_core::view::Filter { limit: Some(1000), cursor, ..Default::default() };
    let found = store.reader().requests(&acme(), &page(None)).unwrap();
    println!("found {}", found.items.len());
    std::io::stdin().read_line(&mut String::new()).unwrap();
    // Nobody asks for anything: the store finds out by itself.
    while store.health().not_ready.is_some() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ruleset = store.rules("acme").unwrap().ruleset().clone();
    let arrival = postback(&ruleset, Method::S2s, "type=sale");
    store.submit_wait(submission(&store, arrival, at(0))).unwrap();
    println!("recovered {}", acknowledged + 1);
}
