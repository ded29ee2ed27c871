//! The database, the disk under it, the clock beside it, the messages in it, and the
//! imports that have not ended.

use std::path::{Path, PathBuf};

use counterfoil_core::{Period, TenantName, Timestamp};
use counterfoil_sqlite::{Condition, Reader, RoundFile};

use super::{Finding, Settings};
use crate::{
    clock, database,
    output::{self, counted},
};

const DATABASE: &str = "database";
const DISK: &str = "disk";
const CLOCK: &str = "clock";
const MESSAGES: &str = "messages";
const IMPORTS: &str = "imports";

/// Bytes of a write-ahead log that nobody copies back. The server's is a quarter of that.
const WAL_LEN_MAX: u64 = 256 << 20;
/// Bytes of a database after which reading all of it is announced.
const ANNOUNCED_LEN: u64 = 1 << 30;
/// Free bytes below which a server is about to stop.
const FREE_MIN: u64 = 64 << 20;
/// Free bytes below which somebody should look.
const FREE_LOW: u64 = 1 << 30;
/// How far the newest row may be ahead of the clock.
const AHEAD_MAX: Period = Period::from_ms(1000);
/// Files of an import that are named.
const FILES_SHOWN: usize = 3;
/// How long a message may be due.
const OVERDUE_MAX: Period = Period::from_ms(10 * 60 * 1000);
/// Before this version existed no clock was right.
const CLOCK_MIN: Timestamp = Timestamp::from_ms(1_767_225_600_000);

/// Looks at the database, where one is named.
pub(super) fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings: Vec<Finding> = clock(None).into_iter().collect();
    let Some(db) = &settings.db else {
        return findings;
    };
    let about = db.display().to_string();
    if let Err(failure) = database::check_place(db) {
        findings.push(Finding::failed(DATABASE, about, &failure));
        return findings;
    }
    findings.extend(disk(db));
    if !db.exists() {
        let finding = Finding::warning(DATABASE, about, "there is no database yet");
        findings.push(finding.hint("`counterfoil serve` makes one; is the path right?"));
        return findings;
    }
    match database::look(db) {
        Ok(reader) => findings.extend(opened(&reader, &about)),
        Err(failure) => findings.push(Finding::failed(DATABASE, about, &failure)),
    }
    findings
}

fn opened(reader: &Reader, about: &str) -> Vec<Finding> {
    let unreadable = |error| vec![Finding::failed(DATABASE, about, &database::read_failure(error))];
    let condition = match reader.condition() {
        Ok(condition) => condition,
        Err(error) => return unreadable(error),
    };
    if condition.file_len > ANNOUNCED_LEN {
        output::tell(format_args!("reading all {} of `{about}`", size(condition.file_len)));
    }
    let mut findings = match reader.problems() {
        Ok(problems) if problems.is_empty() => vec![whole(about, &condition)],
        Ok(problems) => problems
            .iter()
            .map(|problem| {
                Finding::fault(DATABASE, about, format_args!("it is damaged: {problem}")).hint(
                    "stop the server, keep the file, and put a backup in its place; look at the \
                     disk before",
                )
            })
            .collect(),
        Err(error) => return unreadable(error),
    };
    if condition.wal_len > WAL_LEN_MAX {
        let message = format!("its write-ahead log has {}", size(condition.wal_len));
        findings.push(Finding::warning(DATABASE, about, message).hint(
            "look for a program that keeps the database open in a long read; the log shrinks once \
             that has ended",
        ));
    }
    findings.extend(clock(condition.newest_at));
    findings.extend(messages(reader, about));
    findings.extend(imports(reader, about));
    findings
}

fn whole(about: &str, condition: &Condition) -> Finding {
    let last = match condition.last_request_at {
        Some(at) => format!("the last request came at {at}"),
        None => "no request has come yet".to_owned(),
    };
    let message = format!(
        "it is whole; schema version {}, {}, write-ahead log {}; {last}",
        condition.schema_version,
        size(condition.file_len),
        size(condition.wal_len)
    );
    Finding::fine(DATABASE, about, message)
}

/// The clock by itself, or against the newest row.
fn clock(newest: Option<Timestamp>) -> Option<Finding> {
    let now = clock::now();
    let about = "this machine";
    let Some(newest) = newest else {
        return (now < CLOCK_MIN).then(|| {
            Finding::fault(CLOCK, about, format_args!("it says {now}")).hint("set the clock")
        });
    };
    let ahead = newest.since(now);
    Some(if ahead > AHEAD_MAX {
        let message = format!("it says {now}, and the newest row is of {newest}");
        Finding::fault(CLOCK, about, message)
            .hint("set the clock; rows of now carry the time of the newest until it has caught up")
    } else {
        Finding::fine(CLOCK, about, format_args!("it says {now}, after the newest row"))
    })
}

fn messages(reader: &Reader, about: &str) -> Vec<Finding> {
    let outbox = match reader.outbox() {
        Ok(outbox) => outbox,
        Err(error) => return vec![Finding::fault(MESSAGES, about, error)],
    };
    let forgotten = match reader.forgotten_dead() {
        Ok(forgotten) => forgotten,
        Err(error) => return vec![Finding::fault(MESSAGES, about, error)],
    };
    let mut findings = Vec::new();
    // What is forgotten asks for nothing: it cannot be sent again.
    let dead = outbox.dead.saturating_sub(forgotten);
    if dead > 0 {
        let message = format!("{dead} ended undelivered");
        findings.push(Finding::warning(MESSAGES, about, message).hint(
            "`counterfoil deliveries --state dead` tells why; `deliveries retry` sends them again",
        ));
    }
    let now = clock::now();
    let overdue = outbox.oldest_due_at.filter(|at| now.since(*at) > OVERDUE_MAX);
    if let Some(at) = overdue {
        let message = format!("waiting {}, the oldest since {at}", outbox.due);
        findings.push(Finding::warning(MESSAGES, about, message).hint(
            "is a server running on the database? `counterfoil deliveries --state due` tells what \
             holds them up",
        ));
    }
    if findings.is_empty() {
        let dead = match forgotten {
            0 => "none dead".to_owned(),
            forgotten => format!("{forgotten} dead, and erased or pruned"),
        };
        let message = format!("waiting {}, held {}, {dead}", outbox.due, outbox.held);
        findings.push(Finding::fine(MESSAGES, about, message));
    }
    findings
}

/// The folder of a file.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(unix)]
fn disk(db: &Path) -> Vec<Finding> {
    use rustix::fs::{Access, access, statvfs};
    let folder = folder(db);
    let about = folder.display().to_string();
    let mut findings = Vec::new();
    match statvfs(&folder) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let message = format!("{} are free", size(free));
            findings.push(match free {
                0..FREE_MIN => Finding::fault(DISK, &about, message)
                    .hint("make space: a server that cannot write refuses everything"),
                FREE_MIN..FREE_LOW => {
                    Finding::warning(DISK, &about, message).hint("make space soon")
                }
                _ => Finding::fine(DISK, &about, message),
            });
        }
        Err(error) => findings.push(
            Finding::fault(DISK, &about, error).hint("look at the permissions of the folder"),
        ),
    }
    let mut needed = vec![folder];
    needed.extend(Some(db.to_owned()).filter(|db| db.exists()));
    for path in needed {
        if access(&path, Access::WRITE_OK).is_err() {
            findings.push(
                Finding::warning(DISK, path.display(), "this user cannot write here")
                    .hint("a server must be able to; is it run by another user?"),
            );
        }
    }
    findings
}

#[cfg(not(unix))]
fn disk(_db: &Path) -> Vec<Finding> {
    Vec::new()
}

/// A number of bytes in words.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        Some((shift, unit)) => format!("{} {unit}", bytes >> shift),
        None => format!("{bytes} bytes"),
    }
}

/// Imports with `--again` that were cut short.
fn imports(reader: &Reader, about: &str) -> Vec<Finding> {
    let unreadable = |error| Finding::failed(IMPORTS, about, &database::read_failure(error));
    let tenants = match reader.tenants() {
        Ok(tenants) => tenants,
        Err(error) => return vec![unreadable(error)],
    };
    let of = |tenant| match reader.round_files(tenant) {
        Ok(files) => unended(tenant, &files, about),
        Err(error) => Some(unreadable(error)),
    };
    tenants.iter().filter_map(of).collect()
}

/// Only files that are there can be gone on with.
fn unended(tenant: &TenantName, files: &[RoundFile], about: &str) -> Option<Finding> {
    let is_left = |file: &&RoundFile| !file.is_done && Path::new(&file.name).is_file();
    let left: Vec<&RoundFile> = files.iter().filter(is_left).collect();
    let began_at = left.iter().map(|file| file.began_at).min()?;
    let mut named: Vec<&str> = left.iter().take(FILES_SHOWN).map(|file| &*file.name).collect();
    if left.len() > FILES_SHOWN {
        named.push("…");
    }
    let left = counted(left.len(), "file");
    let message = format!("an import of {began_at} with --again has not ended: {left} left");
    Some(Finding::warning(IMPORTS, about, message).hint(format_args!(
        "unless it is under way, `counterfoil import --again --db {about} --tenant {tenant} {}` \
         goes on with it",
        named.join(" ")
    )))
}
