//! P12 and the ways in which a file is not ours to open.

use std::path::{Path, PathBuf};

use counterfoil_core::{ConversionId, Outcome, view::Filter};
use counterfoil_sqlite::{OpenError, Options, ReadError, Reader, Store};

use crate::common::{Db, acme, at};

const SCHEMA: &str = include_str!("../schemas/v7.sql");
/// Every released schema, by version.
const RELEASED: [(i64, &str); 7] = [
    (1, include_str!("../schemas/v1.sql")),
    (2, include_str!("../schemas/v2.sql")),
    (3, include_str!("../schemas/v3.sql")),
    (4, include_str!("../schemas/v4.sql")),
    (5, include_str!("../schemas/v5.sql")),
    (6, include_str!("../schemas/v6.sql")),
    (7, SCHEMA),
];

#[test]
fn a_second_owner_is_told_who_the_first_is() {
    let options =
        Options { role: "counterfoil serve on 127.0.0.1:8080".into(), ..Options::default() };
    let mut db = Db::with(options);
    let error = Store::open(&db.path(), Options::default()).unwrap_err();
    let OpenError::Locked { owner, .. } = &error else {
        panic!("{error}");
    };
    let process = std::process::id();
    assert_eq!(*owner, format!("counterfoil serve on 127.0.0.1:8080 (process {process})"));
    assert!(error.to_string().contains("is in use by counterfoil serve"));
    // Readers are welcome, and when the owner goes the next one may come.
    assert_eq!(Reader::open(&db.path()).unwrap().tenants().unwrap(), [acme()]);
    db.reopen();
}

#[test]
fn a_database_that_a_foreign_program_holds_is_told_as_held() {
    let mut db = Db::new();
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    let hold = |how: &str| raw.execute_batch(how).unwrap();
    hold("BEGIN EXCLUSIVE");
    // In WAL mode that leaves readers be.
    let reader = Reader::open(&db.path()).unwrap();
    let error = Store::open(&db.path(), Options::default()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Held { .. }), "{error}");
    hold("COMMIT");
    drop(reader);

    hold("PRAGMA journal_mode = delete; BEGIN EXCLUSIVE");
    let error = Reader::open(&db.path()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Held { .. }), "{error}");
    assert!(error.to_string().ends_with("test.db` is held by another process"), "{error}");
    hold("COMMIT");

    // It may be taken from a reader that has it open, too.
    let reader = Reader::open(&db.path()).unwrap();
    hold("BEGIN EXCLUSIVE");
    let error = reader.tenants().unwrap_err();
    assert!(matches!(error, ReadError::Held(_)), "{error}");
    assert_eq!(error.to_string(), "the database is held by another process");
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let mut db = Db::new();
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.pragma_update(None, "user_version", 8).unwrap();
    drop(raw);
    for error in [
        Store::open(&db.path(), Options::default()).map(drop).unwrap_err(),
        Reader::open(&db.path()).map(drop).unwrap_err(),
    ] {
        let OpenError::Newer { found, known, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((found, known), (8, 7));
    }
    assert_eq!(db.number("PRAGMA user_version"), 8);
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "a text that is long enough to be taken for a page".repeat(99)).unwrap();
    let foreign = folder.path().join("foreign.db");
    let raw = rusqlite::Connection::open(&foreign).unwrap();
    raw.execute_batch("CREATE TABLE other (x)").unwrap();
    drop(raw);
    for path in [text, foreign] {
        let before = std::fs::read(&path).unwrap();
        for error in [
            Store::open(&path, Options::default()).map(drop).unwrap_err(),
            Reader::open(&path).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, OpenError::NotADatabase { .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was made beside");
}

#[test]
fn a_reader_needs_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db");
    let error = Reader::open(&path).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(!path.exists());
    let inside = path.join("deeper.db");
    let error = Store::open(&inside, Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
}

#[test]
fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.db");
    std::fs::write(&path, "").unwrap();
    drop(Store::open(&path, Options::default()).unwrap());
    assert_eq!(Reader::open(&path).unwrap().tenants().unwrap(), []);
}

/// The schema as SQLite keeps it.
fn schema_of(path: &Path) -> String {
    let db = rusqlite::Connection::open(path).unwrap();
    let mut statement =
        db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let texts = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    texts.map(|text| text.unwrap() + ";\n").collect()
}

#[test]
fn the_schema_is_a_stored_form() {
    let db = Db::new();
    let schema = schema_of(&db.path());
    let dump = SCHEMA.split("-- rows\n").next().unwrap();
    assert_eq!(schema, dump, "the schema has changed: add a step, never change a released one");
    assert!(!schema.contains("REAL"));
    assert_eq!(schema.matches("CREATE TABLE").count(), schema.matches("STRICT").count());
}

/// A database as a released version left it.
fn left_by(folder: &Path, version: i64, dump: &str, more: &str) -> PathBuf {
    let path = folder.join("test.db");
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(dump).unwrap();
    raw.execute_batch(more).unwrap();
    raw.pragma_update(None, "application_id", 0x4346_4f4c).unwrap();
    raw.pragma_update(None, "user_version", version).unwrap();
    path
}

/// Every released schema, with rows in it, is upgraded to the one of a new database.
#[test]
fn released_schemas_upgrade_to_the_same() {
    let fresh = Db::new();
    for (version, dump) in RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let path = left_by(folder.path(), version, dump, "");
        let store = Store::open(&path, Options::default()).unwrap();
        assert_eq!(schema_of(&path), schema_of(&fresh.path()));
        let rules = store.use_stored_rules().unwrap();
        assert_eq!(rules.len(), 1);
        let reader = store.reader();
        let requests = reader.requests(&acme(), &Filter::default()).unwrap().items;
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert_eq!(reader.request(&acme(), request.id).unwrap(), Some(request));
        }
        let report = reader.replay().unwrap();
        assert_eq!(report.differences, []);
        assert_eq!((report.clicks, report.requests), (1, 3));
    }
}

/// Before version 5 many ids of one moment began alike: their rows stand behind one another now.
#[test]
fn ids_that_begin_alike_are_found_after_an_upgrade() {
    let (version, dump) = RELEASED[3];
    let folder = tempfile::tempdir().unwrap();
    let alike = "INSERT INTO conversions SELECT CAST(substr(id, 1, 9) || other.column1 || \
         substr(id, 11) AS BLOB), tenant, root, type, method, source, offer, advertiser, \
         affiliate, channel, integration, external_id, value, price, currency, more, pair, \
         created_at, updated_at, revision, ruleset, first_more \
         FROM conversions, (VALUES (x'01'), (x'90'), (x'ee')) AS other WHERE root IS NULL";
    left_by(folder.path(), version, dump, alike);
    let mut db = Db { folder, store: None };
    db.reopen();
    let ids = || -> Vec<_> {
        let page = db.reader().conversions(&acme(), &Filter::default()).unwrap();
        page.items.into_iter().map(|conversion| conversion.id).collect()
    };
    let before = ids();
    assert_eq!(before.len(), 5);
    assert_eq!(db.number("SELECT count(*) FROM conversions_apart"), 3);
    assert!(before.is_sorted_by(|newer, older| newer > older));
    for id in &before {
        let found = db.reader().conversion(&acme(), *id).unwrap().unwrap();
        assert_eq!(found.id, *id);
        let mut beside = *id.as_bytes();
        beside[11] ^= 1;
        let beside = ConversionId::from_bytes(beside);
        assert_eq!(db.reader().conversion(&acme(), beside).unwrap(), None);
        let decided = db.send(&format!("pcid={id}&type=sale&value=10&external_id={id}"), at(1));
        assert_eq!(decided.decision.outcome, Outcome::Created);
        let under = decided.decision.conversion.unwrap();
        assert_eq!(under.root_id, found.root_id);
    }
    assert_eq!(db.reader().replay().unwrap().differences, []);
}

#[test]
fn ids_rise_over_a_restart_although_the_clock_steps_back() {
    let mut db = Db::new();
    let first = db.send("type=sale", at(100_000)).receipt.id;
    db.reopen();
    let click = db.click(at(0));
    assert!(*click.as_bytes() > *first.as_bytes());
    db.reopen();
    let last = db.send("type=sale", at(1)).receipt.id;
    assert!(*last.as_bytes() > *click.as_bytes());
}
