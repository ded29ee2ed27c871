//! Requests that share a commit: each sees what those before it did, though their rows may not be
//! written yet.

use std::sync::mpsc;

use counterfoil_core::{Arrival, ConversionId, Method, Outcome};
use counterfoil_sqlite::RulesFormat;
use proptest::{collection::vec, prelude::*};

use crate::common::{Db, RULES, at, click, commit, postback, root, submission, submit};
use crate::outbound::wanted;

/// A tracking API, so that batches tell something.
const TOLD: &str = r#"
[[tracking_api]]
id = "transaction"
trigger = "transaction.created"
request.url = "https://told.example/"
"#;

fn db() -> Db {
    let db = Db::new();
    db.store().install_rules(None, &format!("{RULES}{TOLD}"), RulesFormat::Toml, at(0)).unwrap();
    db
}

/// Something to send, of little variety: most of it meets something else of its batch.
fn arrival(db: &Db, known: &[ConversionId], seed: u32) -> Arrival {
    let pick = |shift: u32, of: u32| (seed >> shift) % of;
    let ruleset = db.ruleset();
    let order = ["A", "B", "C"][pick(0, 3) as usize];
    match pick(3, 12) {
        0 => return click(&ruleset, "shoply-cz", "bo", ""),
        1 => {
            let ids = r#""offer_id":"other-de","affiliate_id":"bo""#;
            let json =
                format!(r#"{{"type":"click","source":"api",{ids},"external_id":"{order}"}}"#);
            return root(&ruleset, &json);
        }
        _ => {}
    }
    let mut query = format!("value={}", pick(7, 3));
    if pick(9, 8) > 0 {
        query += &format!("&pcid={}", known[pick(12, 64) as usize % known.len()]);
    } else {
        query += "&advertiser_id=shoply";
    }
    if pick(18, 4) > 0 {
        query += &format!("&external_id={order}");
    }
    query += ["&type=sale", "&type=lead", "&type=deposit", ""][pick(20, 4) as usize];
    query += ["", "", "&action=create", "&action=update"][pick(22, 4) as usize];
    query +=
        ["", "", "", "", "", "&id=per-click", "&id=per-order", "&id=unkeyed"][pick(24, 8) as usize];
    postback(&ruleset, Method::S2s, &query)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// A replay decides the same requests one by one, each with all rows of those before it.
    #[test]
    fn a_batch_decides_as_its_requests_do_one_by_one(
        batches in vec(vec(any::<u32>(), 1..40), 1..6),
    ) {
        let db = db();
        let mut known: Vec<_> = (0..3).map(|n| db.click(at(n))).collect();
        for seeds in &batches {
            let arrivals = seeds.iter().map(|seed| arrival(&db, &known, *seed)).collect();
            let decided = commit(&db, arrivals);
            let made = decided.iter().filter(|one| one.decision.outcome == Outcome::Created);
            known.extend(made.filter_map(|one| Some(one.decision.conversion.as_ref()?.id)));
        }
        let replayed = db.store().reader().replay().unwrap();
        prop_assert_eq!(replayed.differences, []);
    }
}

#[test]
fn a_request_sees_what_those_before_it_in_its_batch_did() {
    let db = db();
    let clicks: Vec<_> = (0..4).map(|n| db.click(at(n))).collect();
    let send = |query: String| postback(&db.ruleset(), Method::S2s, &query);
    let sale = |click: usize, order: &str| {
        send(format!("pcid={}&type=sale&value=10&external_id={order}", clicks[click]))
    };
    let lead = |click: usize| send(format!("pcid={}&type=lead", clicks[click]));
    let decided = commit(
        &db,
        vec![
            sale(0, "A"),
            sale(1, "B"),
            // A repeat of what is not written yet, with its own click and with another.
            sale(0, "A"),
            sale(2, "B"),
            // Found by its order alone, and changed.
            send("advertiser_id=shoply&external_id=B&type=sale&value=20&action=update".into()),
            sale(1, "B"),
            // A commission that pays a click once.
            lead(3),
            lead(3),
            sale(2, "C"),
        ],
    );
    let outcomes: Vec<_> = decided.iter().map(|one| one.decision.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Created,
            Outcome::Created,
            Outcome::Duplicate,
            Outcome::Duplicate,
            Outcome::Updated,
            Outcome::Duplicate,
            Outcome::Created,
            Outcome::Created,
            Outcome::Created,
        ]
    );
    assert_eq!(decided[4].decision.conversion.as_ref().unwrap().revision, 2);
    assert_eq!(db.number("SELECT count(*) FROM transactions"), 4);
    assert_eq!(db.number("SELECT count(*) FROM repeat_keys"), 3);
    assert_eq!(db.store().reader().replay().unwrap().differences, []);
}

#[test]
fn a_batch_takes_half_of_what_waits_and_of_what_was_answered_last() {
    let db = db();
    let send = |answer: Box<dyn FnOnce() + Send>| {
        let arrival = postback(&db.ruleset(), Method::S2s, "type=sale");
        submit(db.store(), submission(db.store(), arrival, at(0)), move |_| answer());
    };
    let before = db.store().health().batches;
    // The writer waits in the first reply, so nothing leaves the queue meanwhile.
    let (go, wait) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    send(Box::new(move || {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    }));
    begins.recv().unwrap();
    let (answered, answers) = mpsc::channel();
    for nth in 0..40 {
        let answered = answered.clone();
        if nth == 21 {
            // What is claimed shares the commit of the requests before it.
            let claimed = answered.clone();
            db.store().claim(wanted(0, 9), Box::new(move |_| claimed.send(()).unwrap()));
        }
        send(Box::new(move || answered.send(()).unwrap()));
    }
    go.send(()).unwrap();
    drop(answered);
    assert_eq!(answers.iter().count(), 41);
    // The one, then half of 40 and 1, then the others: they are no more than half of 19 and 21.
    let health = db.store().health();
    assert_eq!((health.batches - before, health.batch_len_max), (3, 21));
}
