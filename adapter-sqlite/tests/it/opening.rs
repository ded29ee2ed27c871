//! P12 and the ways in which a file is not ours to open.

use counterfoil_sqlite::{OpenError, Options, Reader, Store};

use crate::common::{Db, acme, at};

const SCHEMA: &str = include_str!("../schemas/v4.sql");
/// Every released schema, by version.
const RELEASED: [(i64, &str); 4] = [
    (1, include_str!("../schemas/v1.sql")),
    (2, include_str!("../schemas/v2.sql")),
    (3, include_str!("../schemas/v3.sql")),
    (4, SCHEMA),
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
fn a_newer_database_is_refused_and_left_alone() {
    let mut db = Db::new();
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.pragma_update(None, "user_version", 5).unwrap();
    drop(raw);
    for error in [
        Store::open(&db.path(), Options::default()).map(drop).unwrap_err(),
        Reader::open(&db.path()).map(drop).unwrap_err(),
    ] {
        let OpenError::Newer { found, known, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((found, known), (5, 4));
    }
    assert_eq!(db.number("PRAGMA user_version"), 5);
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
fn schema_of(path: &std::path::Path) -> String {
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

/// Every released schema, with rows in it, is upgraded to the one of a new database.
#[test]
fn released_schemas_upgrade_to_the_same() {
    let fresh = Db::new();
    for (version, dump) in RELEASED {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let raw = rusqlite::Connection::open(&path).unwrap();
        raw.execute_batch(dump).unwrap();
        raw.pragma_update(None, "application_id", 0x4346_4f4c).unwrap();
        raw.pragma_update(None, "user_version", version).unwrap();
        drop(raw);
        let store = Store::open(&path, Options::default()).unwrap();
        assert_eq!(schema_of(&path), schema_of(&fresh.path()));
        let rules = store.use_stored_rules().unwrap();
        assert_eq!(rules.len(), 1);
        let requests = store.reader().requests(&acme(), &Default::default()).unwrap();
        assert_eq!(requests.items.len(), 3);
        let report = store.reader().replay().unwrap();
        assert_eq!(report.differences, []);
        assert_eq!((report.clicks, report.requests), (1, 3));
    }
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
