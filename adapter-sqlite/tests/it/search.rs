//! Looking for a postback that somebody says was sent, and what became of a request.

use counterfoil_core::{
    Called, Diagnosis, Likeness, Ruleset, Sought,
    view::{MomentKind, Timeline},
};
use counterfoil_sqlite::{Decided, owner};

use crate::common::{Db, acme, at};

fn sought<'r>(rules: &'r Ruleset, query: &str) -> Sought<'r> {
    let called = Called { query, ..Called::default() };
    Diagnosis::of(&[rules], None, &called, at(0)).sought
}

#[test]
fn the_likest_rows_come_first_and_the_search_says_how_far_it_went() {
    let db = Db::new();
    let root = db.click(at(0));
    for n in 0..20 {
        db.send(&format!("pcid={root}&type=sale&external_id=o{n}&value=1"), at(10 + n));
    }
    let rules = db.ruleset();
    let sought = sought(&rules, &format!("pcid={root}&type=sale&external_id=o3&value=1"));
    let all = db.reader().arrivals(&sought, 1000, 5).unwrap();
    let likeness: Vec<Likeness> = all.found.iter().map(|found| found.likeness).collect();
    assert_eq!(likeness[..2], [Likeness::Same, Likeness::SameClickId]);
    assert_eq!((all.found.len(), all.examined, all.since), (5, 20, None));
    assert!(all.found[1].request.id > all.found[2].request.id, "the newest first");
    assert_eq!(all.found[0].tenant, acme());
    let some = db.reader().arrivals(&sought, 10, 5).unwrap();
    assert!(some.found.iter().all(|found| found.likeness != Likeness::Same));
    assert_eq!((some.examined, some.since), (10, Some(at(20))));
}

#[test]
fn ids_are_found_whole_begun_and_in_another_case() {
    let db = Db::new();
    let root = db.click(at(0));
    let sale = db.send(&format!("pcid={root}&type=sale&external_id=Order-1&value=1"), at(1));
    let sale = sale.decision.conversion.unwrap().id;
    let rules = db.ruleset();
    let known =
        |query: &str, most: u64| db.reader().known_ids(&sought(&rules, query), most).unwrap();
    let whole = known(&format!("pcid={root}&type=sale"), 10);
    assert_eq!(whole.conversions, [(acme(), root)]);
    let begun = known(&format!("pcid={}&type=sale", &root.to_string()[..12]), 10);
    assert_eq!(begun.conversions, [(acme(), root), (acme(), sale)]);
    let like = known("advertiser_id=shoply&external_id=ORDER-1", 10);
    assert_eq!(like.external_ids, [(acme(), "Order-1".into())]);
    // Exactly the id is found without looking through rows.
    let exact = known("advertiser_id=shoply&external_id=Order-1", 0);
    assert_eq!(exact.external_ids, [(acme(), "Order-1".into())]);
    assert_eq!(known("advertiser_id=shoply&external_id=ORDER-1", 0).external_ids, []);
}

#[test]
fn a_timeline_has_what_the_request_made_and_what_came_later() {
    let db = Db::new();
    let root = db.click(at(0));
    let made = db.send(&format!("pcid={root}&type=sale&external_id=A&value=1"), at(10));
    let other = db.send(&format!("pcid={root}&type=sale&external_id=B&value=1"), at(11));
    let repeat = db.send(&format!("pcid={root}&type=sale&external_id=A&value=1"), at(12));
    let update = format!("pcid={root}&external_id=A&type=sale&action=update&result=approved");
    let update = db.send(&update, at(13));
    let timeline = |decided: &Decided| -> Timeline {
        db.reader().timeline(&acme(), decided.receipt.id).unwrap().unwrap().1
    };
    let later = |timeline: &Timeline| -> Vec<String> {
        let later = timeline.items.iter().filter(|moment| moment.what == MomentKind::Later);
        later.map(|moment| moment.id.clone()).collect()
    };
    let of_made = timeline(&made);
    assert!(of_made.complete);
    let ids = [repeat.receipt.id.to_string(), update.receipt.id.to_string()];
    assert_eq!(later(&of_made), ids);
    let transaction = &of_made.items[2];
    assert_eq!(transaction.what, MomentKind::Transaction);
    assert!(transaction.message.starts_with("made by `sale-10`; it is approved now"));
    assert_eq!(later(&timeline(&other)), Vec::<String>::new());
    let changed = timeline(&update);
    assert!(changed.items[2].message.starts_with("changed by `sale-10`"), "{changed:?}");
    assert_eq!(
        db.reader().timeline(&acme(), counterfoil_core::RequestId::from_bytes([7; 16])).unwrap(),
        None
    );
}

#[test]
fn the_condition_tells_times_and_sizes() {
    let db = Db::new();
    let empty = db.reader().condition().unwrap();
    assert_eq!((empty.newest_at, empty.last_request_at), (None, None));
    assert!(empty.file_len > 0);
    let root = db.click(at(0));
    db.send(&format!("pcid={root}&type=sale&value=1"), at(5));
    db.click(at(9));
    let condition = db.reader().condition().unwrap();
    assert_eq!((condition.newest_at, condition.last_request_at), (Some(at(9)), Some(at(5))));
    assert!(condition.wal_len > 0);
    assert!(owner(&db.path()).unwrap().unwrap().starts_with("counterfoil"));
    assert_eq!(owner(&db.path().with_extension("none")).unwrap(), None);
    // Who has ended owns nothing, though the file stays.
    let ended = db.path().with_extension("ended");
    std::fs::write(format!("{}.lock", ended.display()), "counterfoil serve").unwrap();
    assert_eq!(owner(&ended).unwrap(), None);
}
