//! The files that a command was given: one by one, or as folders of them. Rules and scenarios are
//! both TOML and often lie side by side: of folders, each command takes its own kind.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{failure::Failure, output};

/// What a file can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The rules of a tenant: TOML or JSON, with `tenant` at the top.
    Rules,
    /// Scenarios to play: TOML, with `scenario` at the top.
    Scenarios,
}

/// A file or a folder that cannot be used, and why.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    pub(crate) failure: Failure,
}

impl From<Unread> for Failure {
    fn from(unread: Unread) -> Self {
        unread.failure
    }
}

/// The files of this kind in `paths`: files as they are, folders for what is in them, by name. What
/// is left out of a folder is told. One that leads nowhere, a folder that cannot be read, or a
/// single file of the other kind stands among them with the reason.
pub(crate) fn gather(paths: &[PathBuf], kind: Kind) -> Vec<Result<PathBuf, Unread>> {
    let mut found = Vec::new();
    for path in paths {
        match of_path(path, kind) {
            Ok(files) => found.extend(files.into_iter().map(Ok)),
            Err(failure) => found.push(Err(Unread { path: path.clone(), failure })),
        }
    }
    found
}

/// Whether a file is JSON by its name; all others are TOML.
pub(crate) fn is_json(path: &Path) -> bool {
    has_extension(path, "json")
}

impl Kind {
    fn other(self) -> Self {
        match self {
            Self::Rules => Self::Scenarios,
            Self::Scenarios => Self::Rules,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Scenarios => "scenarios",
        }
    }

    /// The command that reads it, and what that does with it.
    fn reader(self) -> (&'static str, &'static str) {
        match self {
            Self::Rules => ("check", "checks them"),
            Self::Scenarios => ("test", "plays them"),
        }
    }

    /// The key at the top by which it is known.
    fn mark(self) -> &'static str {
        match self {
            Self::Rules => "tenant",
            Self::Scenarios => "scenario",
        }
    }
}

fn of_path(path: &Path, kind: Kind) -> Result<Vec<PathBuf>, Failure> {
    if path.is_dir() {
        return of_folder(path, kind);
    }
    if matches!(path.try_exists(), Ok(false)) {
        return Err(missing(path));
    }
    if is_of_the_other_kind(path, kind) {
        return Err(wrong_kind(path, kind));
    }
    Ok(vec![path.to_owned()])
}

fn of_folder(folder: &Path, kind: Kind) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: io::Error| Failure::file("read the folder", folder, &error);
    let entries: Vec<_> = fs::read_dir(folder).and_then(Iterator::collect).map_err(unreadable)?;
    let is_candidate = |file: &PathBuf| {
        let by_name = has_extension(file, "toml") || kind == Kind::Rules && is_json(file);
        by_name && file.is_file()
    };
    let mut files: Vec<PathBuf> =
        entries.iter().map(fs::DirEntry::path).filter(is_candidate).collect();
    files.sort();
    let (skipped, files): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| is_of_the_other_kind(file, kind));
    for file in skipped {
        let other = kind.other().name();
        output::tell(format_args!("skipped `{}`: it holds {other}", file.display()));
    }
    Ok(files)
}

/// What cannot be read or has mistakes is left to those who tell them.
fn is_of_the_other_kind(path: &Path, kind: Kind) -> bool {
    if is_json(path) {
        return false;
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    let table: toml::Table = toml::from_str(&text).unwrap_or_default();
    table.contains_key(kind.other().mark()) && !table.contains_key(kind.mark())
}

fn missing(path: &Path) -> Failure {
    Failure::could_not(format_args!("there is no file or folder `{}`", path.display()))
        .hint("look at the spelling; a path is taken from the folder that the command runs in")
}

fn wrong_kind(path: &Path, kind: Kind) -> Failure {
    let (path, other) = (path.display(), kind.other());
    let (command, does) = other.reader();
    let (found, wanted) = (other.name(), kind.name());
    Failure::usage(format_args!("`{path}` holds {found}, not {wanted}"))
        .hint(format_args!("`counterfoil {command} {path}` {does}"))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
