//! What `send` and `click` share: owning a database for one request.

use std::{path::PathBuf, sync::Arc};

use counterfoil_core::Arrival;
use counterfoil_sqlite::{Decided, Rules, Store, Submission};

use crate::{arguments::DatabaseArguments, clock, database, failure::Failure, rules_files};

/// A database that this process owns, and the rules that decide.
pub(super) struct Opened {
    /// The database.
    pub(super) store: Store,
    /// The rules.
    pub(super) rules: Rules,
}

/// Opens a database with the rules of `paths`, or else with those that it keeps.
pub(super) fn open(
    arguments: &DatabaseArguments,
    paths: &[PathBuf],
    role: &str,
) -> Result<Opened, Failure> {
    let files = if paths.is_empty() { Vec::new() } else { rules_files::load(paths)? };
    let store = database::own(&arguments.db, role.to_owned())?;
    let loaded = database::install_all(&store, &files)?;
    let wanted = arguments.tenant.tenant.as_deref();
    let rules = database::choose(wanted, &loaded, |rules| rules.ruleset().tenant())?;
    let rules = rules.clone();
    Ok(Opened { store, rules })
}

/// Hands an arrival to the store and waits until it is on stable storage.
pub(super) fn submit(store: &Store, rules: &Rules, arrival: Arrival) -> Result<Decided, Failure> {
    let submission =
        Submission { ruleset: Arc::clone(rules.ruleset()), arrival, received_at: clock::now() };
    store.submit_wait(submission).map_err(database::submit_failure)
}
