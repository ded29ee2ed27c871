//! What the commands share that write: owning a database for one request, and the moment at which
//! it happens.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use counterfoil_core::{Arrival, Timestamp};
use counterfoil_sqlite::{Decided, Rules, Store, Submission};

use super::list;
use crate::{arguments::DatabaseArguments, clock, database, failure::Failure, rules_files};

/// Which database is written, by which rules, and when.
#[derive(Clone, Debug, Args)]
pub(super) struct WriteArguments {
    #[command(flatten)]
    pub(super) database: DatabaseArguments,
    /// Rules to decide with; without them, those that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) moment: MomentArgument,
}

/// When something happens.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct MomentArgument {
    /// As if it were this moment, for what comes late and for trials: 2026-01-31T12:00:00Z, or a
    /// date for its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = list::moment)]
    pub(super) at: Option<Timestamp>,
}

impl MomentArgument {
    /// The moment that was named, else now.
    pub(super) fn moment(self) -> Timestamp {
        self.at.unwrap_or_else(clock::now)
    }
}

/// A database that this process owns, and the rules that decide.
pub(super) struct Opened {
    /// The database.
    pub(super) store: Store,
    /// The rules.
    pub(super) rules: Rules,
    /// When it happens.
    at: Timestamp,
}

/// Opens a database with the rules of `--rules`, or else with those that it keeps.
pub(super) fn open(arguments: &WriteArguments, role: &str) -> Result<Opened, Failure> {
    let WriteArguments { database: of, rules: paths, moment } = arguments;
    let files = if paths.is_empty() { Vec::new() } else { rules_files::load(paths)? };
    database::check_decides(&of.db, !files.is_empty())?;
    let store = database::own(&of.db, role.to_owned())?;
    let loaded = database::install_all(&store, &files)?;
    let wanted = of.tenant.tenant.as_deref();
    let rules = database::choose(wanted, &loaded, |rules| rules.ruleset().tenant())?;
    let rules = rules.clone();
    Ok(Opened { store, rules, at: moment.moment() })
}

impl Opened {
    /// Hands an arrival to the store and waits until it is on stable storage.
    pub(super) fn submit(&self, arrival: Arrival) -> Result<Decided, Failure> {
        let ruleset = Arc::clone(self.rules.ruleset());
        let submission = Submission { ruleset, arrival, received_at: self.at };
        self.store.submit_wait(submission).map_err(database::submit_failure)
    }
}
