//! The audit log: what is in it, and that touching it is found.

use counterfoil_core::{
    Arrival, Edit, Method, Request, TransactionResult,
    view::{Filter, Subject},
};
use counterfoil_sqlite::{AuditHead, Reader, RulesFormat};

use crate::common::{Db, RULES, acme, at};

const API: &str = "[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a.example/'\n";

/// A database in which every kind of change was made.
fn changed() -> Db {
    let db = Db::new();
    db.store().install_rules(None, &format!("{RULES}{API}"), RulesFormat::Toml, at(1)).unwrap();
    // The same again is no change.
    db.store().install_rules(None, &format!("{RULES}{API}"), RulesFormat::Toml, at(2)).unwrap();
    let pcid = db.click(at(3));
    let sale = db.send(&format!("pcid={pcid}&type=sale&value=100"), at(4)).decision;
    let transaction_id = sale.transactions.first().unwrap().id;
    for _ in 0..2 {
        let result = Some(TransactionResult::Approved);
        let edit =
            Edit { transaction_id, result, revenue: None, payout: None, reason: "agreed".into() };
        let query = edit.logged_text();
        let request = Request::Edit(Box::new(edit));
        let (method, dialect, remote_addr) = (Method::Admin, None, None);
        db.take(Arrival { request, method, dialect, query, remote_addr }, at(5));
    }
    let told = db.reader().deliveries(&acme(), &Filter::default()).unwrap().items;
    db.store().retry(&acme(), told[0].id, at(6)).unwrap();
    db.store().erase(&acme(), &Subject::Pcid(pcid), at(7)).unwrap();
    db.store().prune(at(5), at(8)).unwrap();
    db
}

#[test]
fn administrative_changes_are_chained() {
    let db = changed();
    let rows = db.reader().audit(99).unwrap();
    let actions: Vec<&str> = rows.iter().rev().map(|row| row.action.as_str()).collect();
    assert_eq!(actions, ["rules", "rules", "edit", "retry", "erase", "prune"]);
    assert!(rows[3].detail.contains("result=approved") && rows[3].detail.contains("agreed"));
    assert_eq!(rows[5].subject, "version 1");
    assert!(rows[5].detail.starts_with("before: none; toml sha256:"), "{}", rows[5].detail);
    let report = db.reader().verify_audit(None).unwrap();
    assert_eq!((report.rows, report.broken), (6, None));
    let head = AuditHead { number: 6, hash: rows[0].hash };
    assert_eq!(report.head, Some(head));
    assert_eq!(db.reader().verify_audit(Some(head)).unwrap().broken, None);
}

#[test]
fn touching_the_log_is_found_at_the_first_row_that_is_wrong() {
    let mut db = changed();
    let head = db.reader().verify_audit(None).unwrap().head;
    db.store = None;
    let chained = "UPDATE audit SET hash = zeroblob(32) WHERE number = 6";
    for (sql, first) in [
        ("UPDATE audit SET at = at + 1 WHERE number = 2", 2),
        ("UPDATE audit SET detail = 'x' WHERE number = 1", 1),
        ("UPDATE audit SET subject = subject || ' ' WHERE number = 6", 6),
        ("UPDATE audit SET tenant = 'other', action = 'x' WHERE number = 3", 3),
        ("UPDATE audit SET tenant = tenant || 'r', action = 'ules' WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 1", 2),
        ("DELETE FROM audit WHERE number = 4", 5),
        (
            "DELETE FROM audit WHERE number = 3; \
             UPDATE audit SET number = number - 1 WHERE number > 3",
            3,
        ),
        (
            "UPDATE audit SET number = 9 WHERE number = 2; \
             UPDATE audit SET number = 2 WHERE number = 3; \
             UPDATE audit SET number = 3 WHERE number = 9",
            2,
        ),
        (
            "INSERT INTO audit SELECT 7, at, tenant, action, subject, detail, hash FROM audit \
          WHERE number = 6",
            7,
        ),
        ("UPDATE audit SET hash = x'00' WHERE number = 4", 4),
        (chained, 6),
        // Only a row that was noted elsewhere tells of these.
        ("DELETE FROM audit WHERE number = 6", 6),
        ("DELETE FROM audit", 6),
    ] {
        let raw = rusqlite::Connection::open(db.path()).unwrap();
        raw.execute_batch("CREATE TABLE kept AS SELECT * FROM audit").unwrap();
        raw.execute_batch(sql).unwrap();
        let reader = Reader::open(&db.path()).unwrap();
        let broken = reader.verify_audit(head).unwrap().broken;
        assert_eq!(broken.map(|(number, _)| number), Some(first), "{sql}");
        raw.execute_batch(
            "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept; DROP TABLE kept",
        )
        .unwrap();
        assert_eq!(reader.verify_audit(head).unwrap().broken, None);
    }
}

/// Nothing was noted elsewhere, but the rules are there.
#[test]
fn rules_without_a_row_tell_that_rows_are_gone() {
    for (sql, untold) in [
        ("", 0),
        ("DELETE FROM audit WHERE number > 2", 0),
        ("DELETE FROM audit WHERE number > 1", 1),
        ("DELETE FROM audit", 2),
    ] {
        let mut db = changed();
        db.store = None;
        rusqlite::Connection::open(db.path()).unwrap().execute_batch(sql).unwrap();
        let report = Reader::open(&db.path()).unwrap().verify_audit(None).unwrap();
        assert_eq!((report.broken, report.rules_untold), (None, untold), "{sql}");
    }
}

#[test]
fn touching_stored_rules_is_found_at_the_row_that_made_them_decide() {
    for (sql, first) in [
        ("UPDATE rulesets SET text = replace(text, '50', '51')", 1),
        ("UPDATE rulesets SET text = text || ' ' WHERE version = 2", 2),
        ("UPDATE rulesets SET text = CAST(x'ff' AS TEXT) WHERE version = 2", 2),
        ("UPDATE rulesets SET format = 1 - format WHERE version = 2", 2),
        ("UPDATE rulesets SET format = 99 WHERE version = 2", 2),
        ("DELETE FROM rulesets WHERE version = 1", 1),
        ("UPDATE tenants SET name = 'acme2'", 1),
    ] {
        let mut db = changed();
        db.store = None;
        let raw = rusqlite::Connection::open(db.path()).unwrap();
        raw.execute_batch(&format!("PRAGMA foreign_keys = 0; BEGIN; {sql}; COMMIT")).unwrap();
        let report = Reader::open(&db.path()).unwrap().verify_audit(None).unwrap();
        let broken = Some((first, "the rules that it installed were changed"));
        assert_eq!((report.broken, report.rows), (broken, first - 1), "{sql}");
    }
}
