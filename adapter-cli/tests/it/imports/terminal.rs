//! What an import shows while it works: on a terminal a bar, elsewhere nothing.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Read,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::Stdio,
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::{clicked, import};

/// Both ends of a terminal: what is written to the second is read from the first.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    tcsetwinsize(&ours, Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes())).to_owned();
    let theirs = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (File::from(ours), theirs)
}

#[test]
fn a_terminal_shows_share_rows_rate_and_time_left_and_nothing_else_does() {
    let (sandbox, pcid) = clicked();
    let mut csv = "pcid,type,value,row\n".to_owned();
    for row in 0..12_000 {
        writeln!(csv, "{pcid},sale,1,{row}").unwrap();
    }
    let sandbox = sandbox.file("a.csv", &csv);
    let (mut ours, theirs) = terminal();
    let mut command = sandbox.command();
    command.env("TERM", "xterm").args(["import", "a.csv", "--db", "acme.db", "--dry-run"]);
    let mut child = command.stdout(Stdio::null()).stderr(theirs).spawn().unwrap();
    // The command holds the other end, and would be a second one to hold it.
    drop(command);
    let shown = thread::spawn(move || {
        let mut shown = Vec::new();
        // The end of a terminal whose other end is closed is an error.
        let _ = ours.read_to_end(&mut shown);
        String::from_utf8_lossy(&shown).into_owned()
    });
    assert!(child.wait().unwrap().success());
    let shown = shown.join().unwrap();
    for part in [" %  ", " rows, ", "/s, ", " left"] {
        assert!(shown.contains(part), "`{part}` is not in {shown:?}");
    }
    // The bar is wiped away before the result is told.
    let (bar, told) = shown.rsplit_once(" left").unwrap();
    assert!(bar.contains('\r') && told.contains("\u{1b}[2K"), "{told:?}");
    assert!(told.contains("`a.csv`: 12000 rows read"), "{told:?}");
    let elsewhere = import(&sandbox, "a.csv").code(0);
    assert!(!elsewhere.stderr.contains(" left"), "{elsewhere:?}");
}
