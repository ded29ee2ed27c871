//! P12: a copy taken while serving restores and verifies.

use std::sync::atomic::{AtomicBool, Ordering};

use counterfoil_sqlite::{BackupError, Options, Reader, Store};

use crate::common::{Db, acme, at};

#[test]
fn a_copy_taken_under_load_is_whole_and_replays() {
    let db = Db::new();
    let pcid = db.click(at(0));
    for n in 0..200 {
        db.send(&format!("pcid={pcid}&type=sale&external_id=a{n}&value=1"), at(n));
    }
    let to = db.folder.path().join("copy.db");
    let done = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                db.send(&format!("pcid={pcid}&type=sale&external_id=b{n}&value=1"), at(n));
            }
        });
        let report = db.reader().backup(&to);
        done.store(true, Ordering::Relaxed);
        report.unwrap()
    });
    assert!(report.conversions >= 201, "{report:?}");
    assert_eq!(report.conversions, report.transactions + 1);
    assert_eq!(report.bytes, std::fs::metadata(&to).unwrap().len());
    let copy = Reader::open(&to).unwrap();
    assert_eq!(copy.problems().unwrap(), [] as [&str; 0]);
    assert_eq!(copy.replay().unwrap().differences, []);
    assert_eq!(copy.requests(&acme(), &Default::default()).unwrap().items.len(), 50);
    drop(copy);
    // A copy serves as well as the original.
    let restored = Store::open(&to, Options::default()).unwrap();
    assert_eq!(restored.use_stored_rules().unwrap().len(), 1);
}

#[test]
fn a_copy_overwrites_nothing_and_leaves_nothing_behind() {
    let db = Db::new();
    let to = db.folder.path().join("copy.db");
    std::fs::write(&to, "precious").unwrap();
    let error = db.reader().backup(&to).unwrap_err();
    assert!(matches!(error, BackupError::Exists(_)), "{error}");
    assert_eq!(std::fs::read(&to).unwrap(), b"precious");
    let foreign = db.folder.path().join("other.db.partial");
    std::fs::write(&foreign, "precious").unwrap();
    db.reader().backup(&db.folder.path().join("other.db")).unwrap();
    assert_eq!(std::fs::read(&foreign).unwrap(), b"precious");
    std::fs::remove_file(foreign).unwrap();
    let nowhere = db.folder.path().join("none/copy.db");
    assert!(db.reader().backup(&nowhere).is_err());
    let names = std::fs::read_dir(db.folder.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains("partial")), "{names:?}");
}
