//! `import --again`: killed wherever it may be, the same command stores no row twice, and begins
//! anew only once all was done.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::Stdio,
};

use counterfoil_core::TenantName;
use counterfoil_sqlite::{Options, Reader, RoundFile, Store};

use super::{clicked, import, rows};
use crate::{
    sandbox::{Ran, Sandbox},
    server::wait_until,
};

const BOTH: &str = "one.csv two.csv --again";
const FINISHED: &str = "finished the import that was cut short";

/// Where a command writes to and waits for ever, and the other end of it.
fn full() -> (Stdio, UnixStream) {
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let error = loop {
        if let Err(error) = theirs.write(b"x") {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    theirs.set_nonblocking(false).unwrap();
    (OwnedFd::from(theirs).into(), ours)
}

fn row(pcid: &str, name: &str) -> String {
    format!("pcid,type,row\n{pcid},sale,{name}\n")
}

/// A sandbox with two files, of one row each, that were imported.
fn two_imported() -> (Sandbox, String) {
    let (sandbox, pcid) = clicked();
    let sandbox = sandbox.file("one.csv", &row(&pcid, "one")).file("two.csv", &row(&pcid, "two"));
    import(&sandbox, "one.csv two.csv").code(0);
    assert_eq!(rows(&sandbox).len(), 2);
    (sandbox, pcid)
}

/// The files of the rounds that have not ended.
fn unended(reader: &Reader) -> Vec<RoundFile> {
    reader.round_files(&TenantName::new("acme").unwrap()).unwrap()
}

/// Kills an import that waits where it writes to, once so many files are done.
fn kill(sandbox: &Sandbox, arguments: &str, done: usize, stdout: Stdio, stderr: Stdio) {
    let rows_stored = rows(sandbox).len() + done;
    let reader = Reader::open(&sandbox.path("acme.db")).unwrap();
    let mut command = sandbox.command();
    command.args(["import", "--db", "acme.db"]).args(arguments.split(' '));
    command.stdin(File::open(sandbox.path("one.csv")).unwrap()).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().expect("an import");
    let is_done = |file: &RoundFile| file.is_done;
    wait_until("files are done", || unended(&reader).into_iter().filter(is_done).count() == done);
    assert!(child.try_wait().unwrap().is_none(), "it has ended");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(rows(sandbox).len(), rows_stored);
}

/// Kills an import while it tells of its first file.
fn kill_behind_the_first(sandbox: &Sandbox, arguments: &str) {
    let (stderr, _ours) = full();
    kill(sandbox, arguments, 1, Stdio::null(), stderr);
}

/// Imports, and asserts how many rows are stored then.
#[track_caller]
fn imports(sandbox: &Sandbox, arguments: &str, rows_stored: usize) -> Ran {
    let ran = import(sandbox, arguments).code(0);
    assert_eq!(rows(sandbox).len(), rows_stored, "{ran:#?}");
    ran
}

#[test]
fn killed_between_two_files_it_goes_on_with_the_second() {
    let (sandbox, _) = two_imported();
    kill_behind_the_first(&sandbox, BOTH);
    let ended = imports(&sandbox, BOTH, 4)
        .stderr_has("going on with the import of 20")
        .stderr_has("nothing to do: `one.csv` was imported on 20")
        .stderr_has("imported `two.csv`: 1 row read, 1 created; ")
        .stderr_has(FINISHED);
    for (item, before) in ended.json()["items"].as_array().unwrap().iter().zip([1, 0]) {
        assert_eq!((&item["rows"], &item["rows_before"]), (&1.into(), &before.into()), "{item}");
    }
    let anew = imports(&sandbox, BOTH, 6);
    assert!(!anew.stderr.contains("cut short"), "{anew:#?}");
}

/// It is killed while it prints the summary.
#[test]
fn killed_behind_its_last_row_it_has_nothing_left_to_do_and_says_so() {
    let nothing_left = "nothing was left to do; run it again to import the files anew";
    let (sandbox, _) = two_imported();
    let (stdout, _ours) = full();
    kill(&sandbox, BOTH, 2, stdout, Stdio::null());
    imports(&sandbox, BOTH, 4).stderr_has(FINISHED).stderr_has(nothing_left);
    imports(&sandbox, BOTH, 6);
    // A stream is known by its content.
    let (stdout, _ours) = full();
    kill(&sandbox, "- --again", 1, stdout, Stdio::null());
    imports(&sandbox, "one.csv --again", 7).stderr_has(nothing_left);
    imports(&sandbox, "one.csv --again", 8);
}

/// The rows are stored, and that the file is done is not.
#[test]
fn killed_right_behind_the_last_row_of_a_file_it_goes_on_with_the_next() {
    let (sandbox, _) = two_imported();
    kill_behind_the_first(&sandbox, BOTH);
    let store = Store::open(&sandbox.path("acme.db"), Options::default()).unwrap();
    let rules = store.use_stored_rules().unwrap();
    let files = unended(store.reader()).into_iter();
    let files = files.map(|file| RoundFile { is_done: false, ..file }).collect();
    store.change_rounds(&rules[0], Vec::new(), files).unwrap();
    drop(store);
    imports(&sandbox, BOTH, 4).stderr_has("nothing to do: `one.csv`").stderr_has(FINISHED);
    imports(&sandbox, BOTH, 6);
}

/// The round has begun, and no row is stored.
#[test]
fn killed_before_its_first_row_it_begins_with_it() {
    let (sandbox, _) = two_imported();
    kill_behind_the_first(&sandbox, BOTH);
    imports(&sandbox, BOTH, 4);
    kill_behind_the_first(&sandbox, BOTH);
    let store = Store::open(&sandbox.path("acme.db"), Options::default()).unwrap();
    let rules = store.use_stored_rules().unwrap();
    let newest = store.reader().next_import_id().unwrap() - 1;
    let files = unended(store.reader()).into_iter();
    let anew = |file| RoundFile { is_done: false, newer_than: newest, ..file };
    store.change_rounds(&rules[0], Vec::new(), files.map(anew).collect()).unwrap();
    drop(store);
    imports(&sandbox, BOTH, 7).stderr_has("imported `one.csv`: 1 row read").stderr_has(FINISHED);
}

#[test]
fn what_comes_into_a_folder_meanwhile_joins_and_what_changes_is_imported_whole() {
    let (sandbox, pcid) = clicked();
    fs::create_dir(sandbox.path("all")).unwrap();
    let sandbox = sandbox.file("one.csv", "").file("all/a.csv", &row(&pcid, "a"));
    let sandbox = sandbox.file("all/b.csv", &row(&pcid, "b"));
    imports(&sandbox, "all", 2);
    kill_behind_the_first(&sandbox, "all --again");
    let sandbox = sandbox.file("all/aa.csv", &row(&pcid, "aa"));
    let sandbox = sandbox.file("all/b.csv", &row(&pcid, "changed"));
    let ended = imports(&sandbox, "all --again", 5).stderr_has(FINISHED);
    assert!(!ended.stderr.contains("repeated"), "nothing of it was stored: {ended:#?}");
    kill_behind_the_first(&sandbox, "all --again");
    let sandbox = sandbox.file("all/a.csv", &row(&pcid, "changed too"));
    imports(&sandbox, "all --again", 9)
        .stderr_has("all/a.csv` has changed since the import that was cut short stored 1 row of it")
        .stderr_has(FINISHED);
    imports(&sandbox, "all --again", 12);
}

#[test]
fn a_part_of_the_files_goes_on_and_the_others_stay() {
    let (sandbox, _) = two_imported();
    kill_behind_the_first(&sandbox, BOTH);
    imports(&sandbox, "one.csv --again", 3)
        .stderr_has("nothing was left to do; run it again to import these files anew")
        .stderr_has("has 1 file left; with --again, import `")
        .stderr_has("two.csv`");
    imports(&sandbox, "one.csv --again", 4);
    imports(&sandbox, "two.csv --again", 5).stderr_has(FINISHED);
    imports(&sandbox, "two.csv --again", 6);
    kill_behind_the_first(&sandbox, BOTH);
    imports(&sandbox, "two.csv --again", 8).stderr_has(FINISHED);
    imports(&sandbox, BOTH, 10);
}

#[test]
fn without_again_and_in_a_dry_run_what_was_cut_short_stays_as_it_is() {
    let (sandbox, _) = two_imported();
    kill_behind_the_first(&sandbox, BOTH);
    imports(&sandbox, "one.csv two.csv", 3)
        .stderr_has("was cut short: with --again, the same command goes on with it");
    imports(&sandbox, &format!("{BOTH} --dry-run"), 3)
        .stderr_has("nothing to do: `one.csv`")
        .stderr_has("would import `two.csv`: 1 row read");
    imports(&sandbox, BOTH, 4).stderr_has(FINISHED);
    imports(&sandbox, &format!("{BOTH} --dry-run"), 4).stderr_has("would import `one.csv`");
    let anew = imports(&sandbox, BOTH, 6);
    assert!(!anew.stderr.contains("cut short"), "{anew:#?}");
}

#[test]
fn two_files_of_the_same_content_are_one() {
    let (sandbox, _) = two_imported();
    fs::copy(sandbox.path("one.csv"), sandbox.path("copy.csv")).unwrap();
    imports(&sandbox, "one.csv copy.csv two.csv --again", 4)
        .stderr_has("nothing to do: `copy.csv` has the same content as `one.csv`");
}

#[test]
fn the_doctor_tells_of_what_was_cut_short_and_how_to_go_on() {
    let (sandbox, _) = two_imported();
    let said = || {
        let ran = sandbox.run("doctor --db acme.db --format json");
        let all = ran.json()["findings"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["check"] == "imports")
    };
    assert_eq!(said(), None);
    kill_behind_the_first(&sandbox, BOTH);
    let said_then = said().unwrap();
    assert_eq!(said_then["state"], "warning");
    let message = said_then["message"].as_str().unwrap();
    assert!(message.ends_with("with --again has not ended: 1 file left"), "{message}");
    let hint = said_then["hint"].as_str().unwrap();
    let command = hint.split('`').nth(1).unwrap().strip_prefix("counterfoil ").unwrap();
    sandbox.run(command).code(0).stderr_has(FINISHED);
    assert_eq!(rows(&sandbox).len(), 4);
    assert_eq!(said(), None);
    // What is gone asks for nothing.
    kill_behind_the_first(&sandbox, BOTH);
    fs::remove_file(sandbox.path("two.csv")).unwrap();
    assert_eq!(said(), None);
}
