//! Imports that end before their file does: killed, or asked to stop.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
};

use counterfoil_core::TenantName;
use counterfoil_sqlite::Reader;

use super::{clicked, import, rows};
use crate::{sandbox::Sandbox, server::wait_until};

/// Rows of the file that is cut short.
const ROWS: usize = 15_000;

fn start(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    let mut command = sandbox.command();
    command.args(["import", "--db", "acme.db"]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("an import")
}

/// A sandbox with a file of many rows, every tenth of them refused.
fn many() -> Sandbox {
    let (sandbox, pcid) = clicked();
    let mut csv = "pcid,type,value,row\n".to_owned();
    for row in 0..ROWS {
        let value = if row % 10 == 0 { "x" } else { "1" };
        writeln!(csv, "{pcid},sale,{value},{row}").unwrap();
    }
    sandbox.file("many.csv", &csv)
}

/// How many rows of the file are stored.
fn stored(sandbox: &Sandbox) -> impl Fn() -> u64 {
    let reader = Reader::open(&sandbox.path("acme.db")).unwrap();
    let tenant = TenantName::new("acme").unwrap();
    let name = fs::canonicalize(sandbox.path("many.csv")).unwrap();
    move || {
        let import = reader.import_named(&tenant, &name.to_string_lossy()).unwrap();
        import.map_or(0, |import| import.rows)
    }
}

/// What was handed in is stored, and the same command goes on behind it.
#[test]
fn interrupted_it_stores_what_it_has_and_says_where_it_goes_on() {
    let sandbox = many();
    let stored = stored(&sandbox);
    let mut command = sandbox.command();
    command.args(["import", "many.csv", "--db", "acme.db"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("rows are stored", || stored() > 0);
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    let before = stored();
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(before > 0 && before < ROWS as u64, "{before}");
    // The header is a line of its own.
    let line = before + 2;
    assert!(told.contains("interrupted") && told.contains(&format!("at line {line}")), "{told}");
    assert!(!sandbox.path("many.rejects.csv").exists());
    let left = ROWS as u64 - before;
    import(&sandbox, "many.csv")
        .code(3)
        .stderr_has(&format!("resuming `many.csv` at line {line}"))
        .stderr_has(&format!("`many.csv`: {left} rows read behind the {before} stored before, "));
    assert_eq!(rows(&sandbox).len(), ROWS);
    let rejects = fs::read_to_string(sandbox.path("many.rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count(), ROWS / 10 + 1);
}

/// P1 for imports: killed again and again, no row is lost and none is doubled, though nothing in
/// the rows tells one from the other.
#[test]
fn killed_in_the_middle_it_goes_on_behind_the_last_stored_row() {
    let sandbox = many();
    let stored = stored(&sandbox);
    let mut rounds = 0;
    loop {
        let before = stored();
        let child = RefCell::new(start(&sandbox, &["many.csv"]));
        let has_ended = Cell::new(false);
        wait_until("rows are stored", || {
            has_ended.set(child.borrow_mut().try_wait().unwrap().is_some());
            has_ended.get() || stored() > before
        });
        if has_ended.get() {
            break;
        }
        let mut child = child.into_inner();
        child.kill().unwrap();
        child.wait().unwrap();
        rounds += 1;
    }
    assert!(rounds >= 3, "killed {rounds} times");
    let item = import(&sandbox, "many.csv").code(3).stderr_has("nothing to do").json();
    let (total, tenth) = (ROWS as u64, ROWS as u64 / 10);
    let item = &item["items"][0];
    assert_eq!(
        (&item["rows"], &item["created"], &item["refused"]),
        (&total.into(), &(total - tenth).into(), &tenth.into())
    );
    let mut seen = BTreeMap::new();
    for row in rows(&sandbox) {
        let number = row.query.rsplit("row=").next().unwrap().to_owned();
        *seen.entry(number).or_insert(0) += 1;
    }
    assert_eq!((seen.len(), seen.values().max()), (ROWS, Some(&1)));
    let rejects = fs::read_to_string(sandbox.path("many.rejects.csv")).unwrap();
    assert_eq!(rejects.lines().count() as u64, tenth + 1);
    sandbox.run("replay --db acme.db").code(0);
}

/// Anew begins only what was whole: cut short, it goes on like a first import, as do the files
/// behind the one that was cut short.
#[test]
fn an_import_anew_that_is_cut_short_is_resumed_by_the_same_command() {
    let sandbox = many();
    let pcid = rows_of(&sandbox, "many.csv").next().unwrap().split(',').next().unwrap().to_owned();
    let sandbox = sandbox.file("few.csv", &format!("pcid,type,row\n{pcid},sale,few\n"));
    let stored = stored(&sandbox);
    import(&sandbox, "few.csv many.csv").code(3);
    for signal in ["INT", "KILL", "KILL"] {
        let before = stored();
        let child = start(&sandbox, &["few.csv", "many.csv", "--again"]);
        wait_until("rows are stored", || stored() != before && stored() > 0);
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        child.wait_with_output().unwrap();
        assert!(stored() < ROWS as u64, "{signal}: it was too fast to be cut short");
    }
    import(&sandbox, "few.csv many.csv --again")
        .code(3)
        .stderr_has("nothing to do: `few.csv` was imported on ")
        .stderr_has("resuming `many.csv` at line");
    let mut seen = BTreeMap::new();
    for row in rows(&sandbox) {
        *seen.entry(row.query.rsplit("row=").next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), ROWS + 1);
    assert!(seen.values().all(|times| *times == 2), "{seen:?}");
    import(&sandbox, "few.csv --again").code(0).stderr_has("1 row read, 1 created; ");
}

/// The lines of a file behind its header.
fn rows_of(sandbox: &Sandbox, name: &str) -> impl Iterator<Item = String> {
    let text = fs::read_to_string(sandbox.path(name)).unwrap();
    text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>().into_iter()
}
