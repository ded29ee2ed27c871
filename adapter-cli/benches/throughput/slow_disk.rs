//! A slow disk, simulated: a small library preloaded below the server waits five milliseconds in
//! every sync. It needs a C compiler, and is left out where there is none.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::Result;
use crate::seed;

/// Whether there is a C compiler.
pub(crate) fn is_possible() -> bool {
    Command::new("cc")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Makes every sync of the command slow.
pub(crate) fn slow_down(command: &mut Command) -> Result<()> {
    command.env("LD_PRELOAD", library()?);
    Ok(())
}

fn library() -> Result<PathBuf> {
    let library = seed::folder()?.join("slow_fsync.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/throughput/slow_fsync.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(source)
        .status()?;
    if !compiled.success() {
        return Err(format!("`cc` could not compile `{source}`").into());
    }
    Ok(library)
}
