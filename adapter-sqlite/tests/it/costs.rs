//! What requests cost in pages that are written, which is most of what they cost in time: requests
//! that share a commit share pages.

use counterfoil_core::{Arrival, ConversionId, Method, Outcome};

use crate::common::{Db, Pages, at, click, commit, postback};

/// Requests that share a commit in these tests, as they do where 64 connections are busy.
const TOGETHER: usize = 32;
const COMMITS: usize = 20;
const CLICKS: usize = 4_000;

fn clicks(db: &Db, count: usize) -> Vec<ConversionId> {
    let arrivals = (0..count).map(|_| click(&db.ruleset(), "shoply-cz", "bo", "affs1=summer"));
    let made = commit(db, arrivals.collect());
    made.into_iter().map(|made| made.decision.conversion.unwrap().id).collect()
}

/// Sales with numbered orders, spread over the clicks; the same for the same numbers.
fn sales(db: &Db, clicks: &[ConversionId], from: usize) -> Vec<Arrival> {
    let sale = |n: usize| {
        let click = clicks[n * 2_654_435_761 % clicks.len()];
        let query = format!("pcid={click}&type=sale&external_id=order-{n:08}&value=10.50");
        postback(&db.ruleset(), Method::S2s, &query)
    };
    (from..from + TOGETHER).map(sale).collect()
}

/// Pages that a commit of these sales writes, and what became of them.
fn pages_of(db: &Db, clicks: &[ConversionId], outcome: Outcome) -> u64 {
    let mut pages = Pages::of(db);
    for n in 0..COMMITS {
        let decided = commit(db, sales(db, clicks, n * TOGETHER));
        assert!(decided.iter().all(|decided| decided.decision.outcome == outcome));
    }
    pages.written() / COMMITS as u64
}

#[test]
fn requests_that_share_a_commit_share_pages() {
    let db = Db::new();
    let known: Vec<_> = (0..8).flat_map(|_| clicks(&db, CLICKS / 8)).collect();
    // Conversions and log rows, numbered; transactions by conversion, with the siblings of the page
    // that was split; the repeat keys; and the pages above them.
    let created = pages_of(&db, &known, Outcome::Created);
    assert!((10..=18).contains(&created), "{created} pages for {TOGETHER} creates");
    // A log row each.
    let repeated = pages_of(&db, &known, Outcome::Duplicate);
    assert!((3..=7).contains(&repeated), "{repeated} pages for {TOGETHER} duplicates");
    let mut pages = Pages::of(&db);
    (0..COMMITS).for_each(|_| drop(clicks(&db, TOGETHER)));
    let clicked = pages.written() / COMMITS as u64;
    assert!((1..=5).contains(&clicked), "{clicked} pages for {TOGETHER} clicks");
}

#[test]
fn the_log_is_copied_while_little_happens() {
    let db = Db::new();
    let mut pages = Pages::of(&db);
    for n in 0..1000 {
        db.send("type=sale", at(n));
    }
    // At least one page each, were it never begun anew; and the few of the commit after which it
    // was long enough.
    let kept = pages.written();
    assert!(kept < 600, "{kept} pages in the write-ahead log");
}
