//! What cannot be read or stored does not take the rest with it.

use super::*;

fn raw(db: &Db, sql: &str) {
    rusqlite::Connection::open(db.path()).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn a_message_that_cannot_be_read_rests_and_the_others_are_claimed() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    for n in 0..3 {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(n));
    }
    let broken = all(&db)[1].id;
    let second = "SELECT id FROM messages ORDER BY id LIMIT 1 OFFSET 1";
    raw(&db, &format!("UPDATE messages SET request = x'ff00' WHERE id = ({second})"));
    let claims = claim(&db, 10);
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().all(|claim| claim.message.id != broken));
    for claim in &claims {
        delivered(&db, claim, 10);
    }
    let rests = at(10).plus("10m".parse().unwrap());
    assert_eq!(next_due(&db), Some(rests));
    assert_eq!(db.store().health().not_ready, None);
}

#[test]
fn what_cannot_be_rendered_rests() {
    let rules = "[[tracking_api]]\nid = 'x'\ndelay = '1s'\nrequest.url = 'https://a.example/'\n";
    let (db, click) = begin(rules);
    db.send(&format!("pcid={click}&type=sale&value=1&external_id=1"), at(1));
    db.send(&format!("pcid={click}&action=update&external_id=1&result=approved"), at(2));
    // A version of the rules that does not know it.
    raw(&db, "UPDATE messages SET ruleset = 1");
    assert_eq!(claim(&db, 2_000).len(), 0);
    assert_eq!(next_due(&db), Some(at(2_000 + 600_000)));
    raw(&db, "UPDATE messages SET ruleset = 2");
    assert_eq!(claim(&db, 2_000 + 600_000).len(), 1);
}

#[test]
fn a_request_that_fails_leaves_what_shares_its_batch() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    let sale = db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    let id = sale.decision.conversion.unwrap().id;
    let claimed = claim_one(&db, 2);
    let sql = "UPDATE conversions SET currency = 'none' WHERE id = ?1";
    let file = rusqlite::Connection::open(db.path()).unwrap();
    file.execute(sql, [id.as_bytes()]).unwrap();
    // Both wait while the file is locked, and share a batch then.
    let lock = file.unchecked_transaction().unwrap();
    lock.execute("UPDATE probe SET filler = x'' WHERE false", []).unwrap();
    let (reply, answer) = mpsc::channel();
    let update = format!("pcid={click}&action=update&external_id=1&value=2");
    std::thread::scope(|scope| {
        let fails = scope.spawn(|| {
            let ruleset = db.ruleset();
            let method = counterfoil_core::Method::S2s;
            db.try_take(crate::common::postback(&ruleset, method, &update), at(3))
        });
        let reports = vec![Report::Attempted(attempted(&claimed, 3, Next::Delivered))];
        db.store().report(reports, Box::new(move |reported| reply.send(reported).unwrap()));
        drop(lock);
        assert_eq!(fails.join().unwrap().unwrap_err(), SubmitError::Internal);
    });
    assert_eq!(answer.recv().unwrap().unwrap().stale, 0);
    assert_eq!(state(&db, claimed.message.id), MessageState::Delivered);
}

/// A full disk answers everyone who waits, and nothing of what was asked has happened.
#[test]
fn a_full_disk_is_told_and_passes() {
    let options = counterfoil_sqlite::Options { pages_max: Some(120), ..Default::default() };
    let db = Db::with(options);
    let click = db.click(at(0));
    install(&db, &tells("x", "a.example", ""), 0);
    let mut claimed = Vec::new();
    for n in 0.. {
        let query = format!("pcid={click}&type=sale&external_id={n}&value=1&pad={n:0>1500}");
        let ruleset = db.ruleset();
        let arrival = crate::common::postback(&ruleset, counterfoil_core::Method::S2s, &query);
        if db.try_take(arrival, at(1)).is_err() {
            break;
        }
        if n == 0 {
            claimed = claim(&db, 1);
        }
    }
    let long = "x".repeat(200_000);
    let big = Attempted { response: Some(long.into()), ..attempted(&claimed[0], 2, DEAD) };
    let report_of = vec![Report::Attempted(big)];
    let (reply, answer) = mpsc::channel();
    db.store().report(report_of, Box::new(move |reported| reply.send(reported).unwrap()));
    assert_eq!(answer.recv().unwrap(), Err(SubmitError::Unavailable));
    assert_eq!(state(&db, claimed[0].message.id), MessageState::Sending);
    assert!(delivery(&db, claimed[0].message.id).attempts.is_empty());
}
