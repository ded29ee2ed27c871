//! Retention: what is old goes, what answers resends stays, and replay tells what it checked.

use counterfoil_core::{Outcome, Reason, view::Filter};
use counterfoil_sqlite::{Pruned, RulesFormat, Store};

use crate::common::{Db, RULES, START_MS, acme, at};

const DAY: i64 = 86_400_000;
const API: &str = "[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a.example/{type}'\n";

fn windowed() -> String {
    let url = "url        = \"https://shoply.example/?pcid={pcid}\"";
    RULES.replace(url, &format!("{url}\nclick_window = \"30d\"")) + API
}

#[test]
fn what_is_old_goes_and_a_resend_stays_a_duplicate() {
    let mut db = Db::new();
    db.store().install_rules(None, &windowed(), RulesFormat::Toml, at(0)).unwrap();
    let old = db.click(at(0));
    let idle = db.click(at(1));
    let sale = format!("pcid={old}&type=sale&value=100&external_id=A");
    let first = db.send(&sale, at(2)).decision.conversion.unwrap().id;
    db.send(&format!("pcid={old}&type=sale&value=100&external_id=B"), at(3));
    db.send(&format!("pcid={old}&action=update&external_id=B&value=7"), at(4));
    db.send("type=sale", at(5));
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute("UPDATE messages SET standing = 2", []).unwrap();
    drop(raw);
    db.reopen();
    // The newer part: a visitor of its own, and one who came before.
    let new = db.click(at(100 * DAY));
    db.send(&format!("pcid={new}&type=sale&value=3&external_id=C"), at(100 * DAY));
    db.send(&sale, at(100 * DAY));
    db.send(&format!("pcid={new}&type=sale&value=3&external_id=A"), at(100 * DAY));
    db.send(&format!("pcid={idle}&type=sale&value=3"), at(100 * DAY));

    let (before, now) = (at(50 * DAY), at(101 * DAY));
    let would = db.reader().prunable(before, now).unwrap();
    assert_eq!(would.requests, 4);
    assert_eq!(db.number("SELECT count(*) FROM requests"), 8);
    let pruned = db.store().prune(before, now).unwrap();
    assert_eq!(pruned, would);
    assert_eq!(pruned, Pruned { requests: 4, messages: would.messages, clicks: 1 });
    assert!(pruned.messages > 2, "{pruned:?}");
    assert!(db.store().prune(before, now).unwrap().is_nothing());
    assert_eq!(db.number("SELECT count(*) FROM attempts"), 0);

    let again = db.send(&sale, at(102 * DAY)).decision;
    assert_eq!(again.outcome, Outcome::Duplicate);
    assert_eq!(again.conversion.unwrap().id, first);
    let gone = db.send(&format!("pcid={idle}&type=sale&value=3"), at(102 * DAY)).decision;
    assert_eq!(gone.refusal.unwrap().reason, Reason::PairingFailed);
    // The numbers of what is told go on.
    let update = format!("pcid={old}&action=update&external_id=B&value=8");
    db.send(&update, at(102 * DAY));
    let told = Filter { tracking_api: Some("x".to_owned()), ..Filter::default() };
    let newest = db.reader().deliveries(&acme(), &told).unwrap().items.remove(0);
    assert!(newest.sequence > Some(2), "{newest:?}");

    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert_eq!((report.clicks, report.begins_at), (1, Some(at(50 * DAY - 1))));
    assert!(report.requests >= 2 && report.not_checked >= 4, "{report:?}");
    // What is checked is still found where it was touched.
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute("UPDATE transactions SET payout = payout + 1", []).unwrap();
    let reader = counterfoil_sqlite::Reader::open(&db.path()).unwrap();
    assert_eq!(reader.replay().unwrap().differences_total, 1);
}

#[test]
fn what_is_young_unended_or_may_still_convert_stays() {
    let db = Db::new();
    db.store().install_rules(None, &windowed(), RulesFormat::Toml, at(0)).unwrap();
    let pcid = db.click(at(0));
    db.send(&format!("pcid={pcid}&type=sale&value=1"), at(1));
    db.click(at(2));
    db.click(at(40 * DAY));
    // Messages are due; the second click's window is open still, and the third is young.
    let pruned = db.store().prune(at(20 * DAY), at(25 * DAY)).unwrap();
    assert_eq!(pruned, Pruned { requests: 1, messages: 0, clicks: 0 });
    let pruned = db.store().prune(at(40 * DAY), at(41 * DAY)).unwrap();
    assert_eq!(pruned, Pruned { requests: 0, messages: 0, clicks: 1 });
    // Without a window a click converts for ever.
    db.store().install_rules(None, RULES, RulesFormat::Toml, at(41 * DAY)).unwrap();
    assert!(db.store().prune(at(400 * DAY), at(400 * DAY)).unwrap().is_nothing());
}

#[test]
fn slices_are_served_between_and_ids_rise_over_an_emptied_log() {
    let mut db = Db::new();
    for n in 0..2_500 {
        db.send("type=sale", at(n));
    }
    let audited = db.reader().audit(9).unwrap().len();
    let pruned = db.store().prune(at(DAY), at(DAY)).unwrap();
    assert_eq!(pruned.requests, 2_499, "the newest stays: ids rise above it");
    assert_eq!(db.reader().audit(9).unwrap().len(), audited + 1, "one run is one row");
    db.reopen();
    let last = db.send("type=sale", at(0)).receipt.id;
    assert!(last.to_string().replace('-', "") > format!("{:012x}", START_MS + 2_499));
    assert_eq!(db.reader().replay().unwrap().differences, []);
}

#[test]
fn an_empty_database_has_nothing_to_prune() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("x.db"), Default::default()).unwrap();
    assert!(store.prune(at(0), at(0)).unwrap().is_nothing());
    assert_eq!(store.reader().pruned_before().unwrap(), None);
}
