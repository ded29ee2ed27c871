//! Replay: it finds nothing where nothing was touched, and everything that was.

use counterfoil_core::{Arrival, Method, Outcome, Reason, Refusal, Request};
use counterfoil_sqlite::RulesFormat;

use crate::common::{Db, RULES, at, click, postback, root};

#[test]
fn a_history_with_changed_rules_changed_clicks_and_refusals_replays() {
    let db = Db::new();
    let pcid = db.click(at(0));
    // A click changes after it was made: it has no log row of its own.
    db.send(&format!("pcid={pcid}&action=update&value=5&note=late"), at(1));
    db.send(&format!("pcid={pcid}&type=deposit&value=100"), at(2));
    db.send(&format!("pcid={pcid}&type=deposit&value=100&bad=%zz"), at(3));
    db.send("token=a&token=b&type=sale", at(3));
    // Without a limit nothing is counted; with one again, all that was made counts.
    for (n, rules) in [RULES.replace("recurrence = 2", ""), RULES.to_owned()].iter().enumerate() {
        let n = i64::try_from(n).unwrap() * 10;
        db.store().install_rules(None, rules, RulesFormat::Toml, at(10 + n)).unwrap();
        db.send(&format!("pcid={pcid}&type=deposit&value=100"), at(11 + n));
    }
    assert_eq!(db.number("SELECT count(*) FROM transactions"), 2);
    let json = r#"{"type":"lead","source":"iframe","offer_id":"shoply-cz","affiliate_id":"bo",
        "external_id":"l1","params":{"token":"t","a b":" c&d "}}"#;
    db.take(root(&db.ruleset(), json), at(30));
    db.take(root(&db.ruleset(), &json.replace("shoply-cz", "nowhere")), at(31));
    db.take(root(&db.ruleset(), json), at(32));
    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.clicks, report.requests), (1, 9));
}

#[test]
fn replay_finds_what_was_touched() {
    let mut db = Db::new();
    let api = "[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a.example/'\n";
    let rules = format!("{RULES}{api}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let pcid = db.click(at(0));
    for n in 0..3 {
        db.send(&format!("pcid={pcid}&type=sale&external_id=o{n}&value=10"), at(n));
    }
    db.store = None;
    for (sql, what) in [
        ("UPDATE transactions SET payout = payout + 1 WHERE revenue > 0", "transaction"),
        ("UPDATE conversions SET value = 7000000 WHERE external_id = 'o1'", "conversion"),
        ("UPDATE requests SET outcome = 3 WHERE id = (SELECT min(id) FROM requests)", "outcome"),
        ("DELETE FROM repeat_keys", "repeat key"),
        ("UPDATE messages SET depth = 3", "message"),
        ("DELETE FROM messages WHERE sequence = 1", "message"),
    ] {
        let raw = rusqlite::Connection::open(db.path()).unwrap();
        raw.execute_batch(&format!("SAVEPOINT x; {sql};")).unwrap();
        raw.execute_batch("RELEASE x").unwrap();
        let reader = counterfoil_sqlite::Reader::open(&db.path()).unwrap();
        let report = reader.replay().unwrap();
        assert!(report.differences.iter().any(|found| found.what == what), "{sql}: {report:?}");
        // Of a row, what differs, by its name.
        for found in report.differences.iter().filter(|found| found.what == what) {
            let said = [found.stored.as_str(), found.decided.as_str()];
            match what {
                "conversion" => assert_eq!(said, ["value 7", "value 10"]),
                "transaction" => assert!(said.iter().all(|row| row.starts_with("payout "))),
                "repeat key" => assert_eq!(found.stored, "nothing"),
                _ => {}
            }
        }
        assert_eq!(report.differences_total, report.differences.len() as u64);
    }
}

#[test]
fn a_request_that_was_read_with_older_rules_is_read_again() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let before = db.ruleset();
    let query = format!("pcid={pcid}&type=sale&value=10&id=unkeyed");
    let arrival = postback(&before, Method::S2s, &query);
    let rules = RULES.replace("id = \"unkeyed\"", "id = \"renamed\"");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(1)).unwrap();
    let submission =
        counterfoil_sqlite::Submission { ruleset: before, arrival, received_at: at(2) };
    let decided = db.store().submit_wait(submission).unwrap();
    assert_eq!(decided.rules.version(), 2);
    let reason = decided.decision.refusal.map(|refusal| refusal.reason);
    assert_eq!(reason, Some(Reason::UnknownPostback));
    assert_eq!(db.reader().replay().unwrap().differences, []);
}

/// Nobody authenticates a log row again, neither for a replay nor because the rules changed while
/// the request waited: what the row keeps would pass, or is cut.
#[test]
fn requests_that_proved_nothing_stay_refused() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let before = db.ruleset();
    let rules = format!("{RULES}\n# other rules\n");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(1)).unwrap();
    let refusal = Refusal::new(Reason::Unauthorized, "there is no token").about("token");
    let arrival = Arrival {
        request: Request::Unreadable(refusal.clone().into()),
        method: Method::S2s,
        dialect: None,
        query: format!("pcid={pcid}&type=sale&value=10&note=%E2%8"),
        remote_addr: None,
    };
    for ruleset in [before, db.ruleset()] {
        let arrival = arrival.clone();
        let submission = counterfoil_sqlite::Submission { ruleset, arrival, received_at: at(2) };
        let decided = db.store().submit_wait(submission).unwrap();
        assert_eq!(decided.decision.refusal.as_ref(), Some(&refusal));
    }
    assert_eq!(db.number("SELECT count(*) FROM conversions"), 1);
    let report = db.reader().replay().unwrap();
    assert_eq!((report.requests, report.differences), (2, vec![]));
}

/// Links and edits that were refused before they were submitted have log rows from which they
/// could not be told again: their refusals stand.
#[test]
fn refused_links_and_edits_replay_as_they_were_given() {
    let db = Db::new();
    db.click(at(0));
    let refused = db.take(click(&db.ruleset(), "nothing", "bo", "affs1=x"), at(1));
    assert_eq!(refused.decision.refusal.unwrap().reason, Reason::UnknownOffer);
    let refusal = Refusal::new(Reason::InvalidAmount, "`payout` cannot be `x`");
    let edit = Arrival {
        request: Request::Unreadable(refusal.into()),
        method: Method::Admin,
        dialect: None,
        query: "transaction_id=%zz".to_owned(),
        remote_addr: None,
    };
    assert_eq!(db.take(edit, at(2)).decision.outcome, Outcome::Refused);
    // Rules that know the offer change nothing about what was refused.
    let rules = RULES.replace("\"other-de\"", "\"nothing\"");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(3)).unwrap();
    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.clicks, report.requests), (1, 2));
}
