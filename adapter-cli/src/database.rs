//! Opening databases: as their owner, or beside it; which tenant is meant; what is told when it
//! cannot be.

use std::{net::SocketAddr, path::Path};

use counterfoil_core::TenantName;
use counterfoil_sqlite::{
    InstallError, Installed, OpenError, Options, ReadError, Reader, Rules, RulesFormat, Store,
    SubmitError,
};

use crate::{
    arguments::DatabaseArguments, clock, failure::Failure, named_files, output,
    rules_files::RulesFile,
};

/// Opens a database to write to it; `role` says to others what this process is.
///
/// # Errors
/// Where it is locked, of a newer version, or no database.
pub(crate) fn own(path: &Path, role: String) -> Result<Store, Failure> {
    own_with(path, Options { role, ..Options::default() })
}

/// The same with other options.
///
/// # Errors
/// As [`own`].
pub(crate) fn own_with(path: &Path, options: Options) -> Result<Store, Failure> {
    check_place(path)?;
    Store::open(path, options).map_err(open_failure)
}

/// The same; where a server holds the database, the hint says how to ask that server, by the
/// address of its admin listener.
///
/// # Errors
/// As [`own`].
pub(crate) fn own_or(
    path: &Path,
    role: String,
    hint: impl FnOnce(&str) -> String,
) -> Result<Store, Failure> {
    check_place(path)?;
    let options = Options { role, ..Options::default() };
    Store::open(path, options).map_err(|error| {
        let hint = match &error {
            OpenError::Locked { owner, .. } => serving(owner).map(hint),
            _ => None,
        };
        let failure = open_failure(error);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// What a server tells others of itself, where it holds a database.
pub(crate) fn serving_role(public: SocketAddr, admin: SocketAddr) -> String {
    format!("{SERVE_WORDS}{public}{ADMIN_WORDS}{admin}")
}

/// Both listeners, the public one first, in what [`serving_role`] told.
pub(crate) fn served(owner: &str) -> Option<[SocketAddr; 2]> {
    let (public, _) = owner.strip_prefix(SERVE_WORDS)?.split_once(ADMIN_WORDS)?;
    Some([public.parse().ok()?, serving(owner)?.parse().ok()?])
}

/// The admin listener, in what [`serving_role`] told.
pub(crate) fn serving(owner: &str) -> Option<&str> {
    let (_, admin) = owner.split_once(ADMIN_WORDS)?;
    admin.split(' ').next()
}

/// Before the two addresses of a server.
const SERVE_WORDS: &str = "counterfoil serve on ";
/// Between the two addresses of a server.
const ADMIN_WORDS: &str = " and admin ";

/// Opens a database to read from it, beside a running server or alone.
///
/// # Errors
/// Where it is missing, of another version, or no database.
pub(crate) fn look(path: &Path) -> Result<Reader, Failure> {
    check_place(path)?;
    Reader::open(path).map_err(open_failure)
}

/// Refuses a path at which there can be no database, in plainer words than the system's.
///
/// # Errors
/// Where it is a folder, or its folder does not exist.
pub(crate) fn check_place(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        let inside = path.join("counterfoil.db");
        return Err(Failure::could_not(format_args!("`{}` is a folder", path.display()))
            .hint(format_args!("name a file, as in `{}`", inside.display())));
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if matches!(folder.try_exists(), Ok(false)) => {
            let folder = folder.display();
            Err(Failure::could_not(format_args!("the folder `{folder}` does not exist"))
                .hint("make it first, or name a file in another one"))
        }
        _ => Ok(()),
    }
}

/// Refuses to make a database that has nothing to decide with.
///
/// # Errors
/// Where there is none at this path yet, and no rules for one.
pub(crate) fn check_decides(path: &Path, has_rules: bool) -> Result<(), Failure> {
    check_place(path)?;
    if has_rules || path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::could_not(format_args!("there is no database `{path}`"))
        .hint("name an existing one, or make one by naming the rules: --rules PATH"))
}

/// Opens a database to read what belongs to one tenant.
///
/// # Errors
/// As [`look`], and where the tenant is not clear.
pub(crate) fn look_at_tenant(
    arguments: &DatabaseArguments,
) -> Result<(Reader, TenantName), Failure> {
    let reader = look(&arguments.db)?;
    let tenants = reader.tenants().map_err(read_failure)?;
    let wanted = arguments.tenant.tenant.as_deref();
    let tenant = choose(wanted, &tenants, |tenant| tenant)?.clone();
    Ok((reader, tenant))
}

/// The one that is named, or else the only one.
///
/// # Errors
/// Where there is none, or several and none is named.
pub(crate) fn choose<'a, T>(
    wanted: Option<&str>,
    loaded: &'a [T],
    name: impl Fn(&T) -> &TenantName,
) -> Result<&'a T, Failure> {
    let names = || {
        let names: Vec<_> = loaded.iter().map(|one| name(one).as_str()).collect();
        names.join(", ")
    };
    match (wanted, loaded) {
        (Some(wanted), _) => {
            loaded.iter().find(|one| name(one).as_str() == wanted).ok_or_else(|| {
                Failure::could_not(format_args!("there is no tenant `{wanted}`"))
                    .hint(format_args!("one of {}", names()))
            })
        }
        (None, [only]) => Ok(only),
        (None, []) => Err(Failure::could_not("the database has no tenant yet")
            .hint("start a server on it with `counterfoil serve --rules PATH --db FILE`")),
        (None, _) => Err(Failure::usage("there is more than one tenant")
            .hint(format_args!("name one with --tenant: {}", names()))),
    }
}

/// Makes the rules of a file the ones that decide.
///
/// # Errors
/// Where they have mistakes, change the currency of what is stored, or cannot be stored.
pub(crate) fn install(store: &Store, file: &RulesFile) -> Result<Installed, Failure> {
    let format =
        if named_files::is_json(&file.path) { RulesFormat::Json } else { RulesFormat::Toml };
    let installed = store.install_rules(None, &file.text, format, clock::now());
    installed.map_err(install_failure)
}

/// Checks rules files against what is stored, so that none of them is installed where one cannot.
///
/// # Errors
/// Where one changes the currency of what is stored, or the database cannot be read.
pub(crate) fn check_all(store: &Store, files: &[RulesFile]) -> Result<(), Failure> {
    let mut rules = files.iter().filter_map(RulesFile::rules);
    let check = |rules| store.reader().check_rules(rules);
    rules.try_for_each(check).map_err(install_failure)
}

/// Makes rules files, or where there are none the stored rules, the ones that decide.
///
/// # Errors
/// As [`install`]; stored rules may be invalid in this version.
pub(crate) fn install_all(store: &Store, files: &[RulesFile]) -> Result<Vec<Rules>, Failure> {
    if files.is_empty() {
        return store.use_stored_rules().map_err(install_failure);
    }
    check_all(store, files)?;
    let rules = |file| install(store, file).map(|installed| installed.rules);
    files.iter().map(rules).collect()
}

/// What is told where rules were not installed.
pub(crate) fn install_failure(error: InstallError) -> Failure {
    match error {
        InstallError::Invalid(issues) => {
            issues.iter().for_each(output::tell);
            Failure::invalid_rules(issues.len())
        }
        InstallError::Store(error) => submit_failure(error),
        other => Failure::could_not(other),
    }
}

/// What is told where a request was not decided.
pub(crate) fn submit_failure(error: SubmitError) -> Failure {
    let hint = match error {
        SubmitError::Busy => "try again in a moment",
        SubmitError::Unavailable => "look whether the disk is full, then try again",
        SubmitError::Internal => "run it again with --log debug and report what it says",
    };
    Failure::could_not(error).hint(hint)
}

/// What is told where a database could not be read.
pub(crate) fn read_failure(error: ReadError) -> Failure {
    match error {
        ReadError::Cursor(_) => Failure::usage(error),
        ReadError::SeveralAdvertisers { ref advertisers, .. } => {
            let hint = format!("name one with --advertiser: {}", advertisers.join(", "));
            Failure::usage(error).hint(hint)
        }
        ReadError::Open(error) => open_failure(error),
        ReadError::Held(_) => Failure::could_not(error).hint(HELD_HINT),
        other => Failure::could_not(other)
            .hint("look at the disk; a backup restores by being put in the file's place"),
    }
}

/// What to try where a program that is no server of ours holds a database.
const HELD_HINT: &str = "wait until it is done, or end it: it is a program that opened the file \
                         with SQLite, such as a shell (`sqlite3`), a viewer or a copy";

/// What is told where a database could not be opened.
pub(crate) fn open_failure(error: OpenError) -> Failure {
    let hint = match &error {
        OpenError::Missing { .. } => "`counterfoil serve --rules PATH --db FILE` makes one",
        OpenError::NotADatabase { .. } => "name the file that `serve --db` writes",
        OpenError::Damaged { .. } => {
            "write no more to it: stop the server, keep the file, and put a backup in its place \
             (`counterfoil backup` verifies what it copies); look at the disk before"
        }
        OpenError::Newer { .. } => "install the version that wrote it",
        OpenError::Older { .. } => "make a backup, then start `counterfoil serve` on it once",
        OpenError::Locked { .. } => {
            "stop it first, or leave the work to it: a server takes requests over HTTP, and new \
             rules at a hangup (SIGHUP); commands that only read work beside it"
        }
        OpenError::Held { .. } => HELD_HINT,
        OpenError::Read { .. } => {
            "end what reads it, such as a list or a backup, then `counterfoil privacy compact`"
        }
        _ => "look at the permissions and the space of its folder",
    };
    Failure::could_not(error).hint(hint)
}
