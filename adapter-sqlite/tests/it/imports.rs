//! Imports: how far a file came is stored with its rows, or not at all.

use std::sync::{Arc, mpsc};

use counterfoil_core::{Method, Outcome, Reason, TenantName};
use counterfoil_sqlite::{
    FilePlace, Import, ImportProgress, ImportRow, RoundFile, SubmitError, Waiting,
};

use crate::common::{Db, acme, at, postback, submission};

/// Hands rows of an import to the store in one batch: each its number and its query.
fn import(db: &Db, import: &Arc<Import>, rows: &[(u64, &str)]) -> Vec<Result<(), SubmitError>> {
    let (sender, answers) = mpsc::channel();
    let waiting = |(number, query): &(u64, &str)| {
        let place = |row: u64| FilePlace { line: row + 2, offset: 100 * (row + 1) };
        let row = ImportRow {
            import: Arc::clone(import),
            rows_before: *number,
            from: place(*number),
            next: place(number + 1),
        };
        let arrival = postback(&db.ruleset(), Method::Import, query);
        let sender = sender.clone();
        let reply = Box::new(move |decided: Result<_, _>| sender.send(decided.map(drop)).unwrap());
        Waiting { submission: submission(db.store(), arrival, at(5)), row: Some(row), reply }
    };
    db.store().submit(rows.iter().map(waiting).collect());
    answers.iter().take(rows.len()).collect()
}

fn reached(db: &Db, import: &Import) -> Option<ImportProgress> {
    let ruleset = db.ruleset();
    let found = db.store().reader().import_of(ruleset.tenant(), &import.hash).unwrap();
    assert_eq!(found, db.store().reader().import_named(ruleset.tenant(), &import.name).unwrap());
    found
}

fn requests(db: &Db) -> usize {
    let filter = counterfoil_core::view::Filter::default();
    db.store().reader().requests(db.ruleset().tenant(), &filter).unwrap().items.len()
}

#[test]
fn progress_counts_and_refusals_are_stored_with_the_rows() {
    let db = Db::new();
    let click = db.click(at(1));
    let id = db.store().reader().next_import_id().unwrap();
    let file = Arc::new(Import { id, name: "a.csv".into(), hash: [7; 32], started_at: at(3) });
    assert_eq!(reached(&db, &file), None);
    let sale = format!("pcid={click}&type=sale&value=1");
    let keyed = format!("{sale}&external_id=1");
    let rows = [(0, sale.as_str()), (1, keyed.as_str()), (2, keyed.as_str()), (3, "type=sale")];
    assert!(import(&db, &file, &rows).iter().all(Result::is_ok));
    assert!(import(&db, &file, &[(4, "pcid=x&type=sale"), (5, &sale)]).iter().all(Result::is_ok));
    let progress = reached(&db, &file).unwrap();
    assert_eq!((progress.rows, progress.next), (6, FilePlace { line: 8, offset: 700 }));
    assert_eq!(progress.import, *file);
    let counts = [
        (Outcome::Created, None, 3),
        (Outcome::Duplicate, Some(Reason::Duplicate), 1),
        (Outcome::Refused, Some(Reason::InvalidIdentifier), 1),
        (Outcome::Refused, Some(Reason::MissingIdentifier), 1),
    ];
    assert_eq!(progress.counts, counts);
    let reader = db.store().reader();
    let all = reader.refused_rows(id, None, 10).unwrap();
    let reasons: Vec<_> = all.iter().map(|row| (row.from.line, row.refusal.reason)).collect();
    assert_eq!(reasons, [(5, Reason::MissingIdentifier), (6, Reason::InvalidIdentifier)]);
    assert_eq!(reader.refused_rows(id, Some(400), 10).unwrap(), all[1..]);
    assert_eq!(reader.refused_rows(id, None, 1).unwrap(), all[..1]);
    assert_eq!(reader.next_import_id().unwrap(), id + 1);
    assert_eq!(reader.replay().unwrap().differences, []);
}

#[test]
fn a_row_that_does_not_follow_is_not_stored() {
    let db = Db::new();
    let click = db.click(at(1));
    let file = Arc::new(Import { id: 1, name: "a.csv".into(), hash: [7; 32], started_at: at(3) });
    let sale = format!("pcid={click}&type=sale&value=1");
    let sale = sale.as_str();
    let lost = Err(SubmitError::Internal);
    assert_eq!(import(&db, &file, &[(1, sale)]), [lost]);
    assert_eq!((reached(&db, &file), requests(&db)), (None, 0));
    assert_eq!(import(&db, &file, &[(0, sale), (1, sale)]), [Ok(()), Ok(())]);
    // Once more, behind a gap, and from the beginning.
    for row in [1, 3, 0] {
        assert_eq!(import(&db, &file, &[(row, sale)]), [lost], "{row}");
    }
    // What stands beside it in a commit is stored, in order or not at all.
    assert_eq!(import(&db, &file, &[(2, sale), (4, sale), (3, sale)]), [Ok(()), lost, Ok(())]);
    assert_eq!((reached(&db, &file).unwrap().rows, requests(&db)), (4, 4));
}

/// All of a change to the rounds is stored, and survives the process; other tenants see nothing.
#[test]
fn rounds_are_kept_until_they_are_forgotten() {
    let mut db = Db::new();
    let rules = db.store().rules("acme").unwrap();
    let file = |round: i64, name: &str, hash: u8| RoundFile {
        round,
        began_at: at(round),
        name: name.into(),
        hash: [hash; 32],
        newer_than: 4,
        is_done: false,
    };
    let kept = |db: &Db| db.store().reader().round_files(&acme()).unwrap();
    let change = |db: &Db, forget: &[u8], keep: &[RoundFile]| {
        let forget = forget.iter().map(|hash| [*hash; 32]).collect();
        db.store().change_rounds(&rules, forget, keep.to_vec()).unwrap();
    };
    assert_eq!(kept(&db), []);
    let (one, two, other) = (file(1, "one", 1), file(1, "two", 2), file(2, "other", 3));
    change(&db, &[], &[two.clone(), one.clone(), other.clone()]);
    db.reopen();
    assert_eq!(kept(&db), [one, two.clone(), other.clone()]);
    let done = RoundFile { is_done: true, ..two };
    let anew = file(2, "anew", 1);
    change(&db, &[1, 9], &[done.clone(), anew.clone()]);
    assert_eq!(kept(&db), [done.clone(), anew.clone(), other]);
    change(&db, &[1, 2, 3], std::slice::from_ref(&anew));
    assert_eq!(kept(&db), [anew]);
    let nobody = TenantName::new("nobody").unwrap();
    assert_eq!(db.store().reader().round_files(&nobody).unwrap(), []);
}
