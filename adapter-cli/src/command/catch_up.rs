//! `counterfoil catch-up`: what a server does by itself when its time has come, done once: results
//! that set themselves, then messages. With the server's own timer and dispatcher.

mod outbox;

use std::{path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use counterfoil_core::{
    Draw, MessageId, MessageState, TenantName,
    view::{DeliveryView, Explanation},
};
use counterfoil_http::{Dispatcher, SubmitError};
use counterfoil_sqlite::Decided;
use serde::Serialize;
use tokio::runtime;

use self::outbox::{Chosen, OnePass};
use super::write::MomentArgument;
use crate::{
    arguments::HELP_TEMPLATE,
    auto_sets, database,
    exit_code::ExitCode,
    failure::Failure,
    messages,
    output::{self, AnswerFormat, GOOD, MISTAKE},
    rules_files,
    secrets::Secrets,
    sending::{self, SendingArguments},
    store::EmbeddedStore,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil catch-up --db acme.db                       as from cron, where no server runs
  counterfoil catch-up --db acme.db --tracking-api bo-sales
  counterfoil catch-up --db trial.db --at 2026-03-01 --allow-destination 127.0.0.1
  counterfoil catch-up --db trial.db --at 2026-03-01 --only results";

/// Do what is due, once, on a database that no server holds: set results, send messages
///
/// Results are set that rules set after a time (auto_set); then every message that is due is
/// attempted, as `serve` would. What must wait, as for a retry, is left for the next time. The exit
/// code is 3 where an attempt failed.
///
/// With --at it is as if it were that moment, which does not pass: attempts take no time. Nothing
/// is left to chance: waits have no jitter.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The database
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: PathBuf,
    /// Rules to decide with; without them, those that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// Only set results, or only send messages
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Only>,
    /// Only send messages of this tracking API
    #[arg(long, value_name = "ID", conflicts_with_all = ["postback", "step"])]
    tracking_api: Option<String>,
    /// Only send messages of steps of this postback definition
    #[arg(long, value_name = "ID")]
    postback: Option<String>,
    /// Only send messages of this step, from 1
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    step: Option<u32>,
    #[command(flatten)]
    moment: MomentArgument,
    #[command(flatten)]
    sending: SendingArguments,
    /// How to print what was done
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Results that set themselves.
    Results,
    /// Messages.
    Messages,
}

/// What was done.
#[derive(Default, Serialize)]
struct CaughtUp {
    /// The decisions that set results, in their order.
    results: Vec<Explanation>,
    /// The messages that were attempted, as they stand now.
    deliveries: Vec<DeliveryView>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let chosen = Chosen {
        tracking_api: arguments.tracking_api.clone(),
        postback: arguments.postback.clone(),
        step: arguments.step,
    };
    let secrets = Secrets::new(arguments.sending.secrets.clone())?;
    let store = Arc::new(EmbeddedStore::new(open(arguments)?));
    let mut done = CaughtUp::default();
    if arguments.only != Some(Only::Messages) && chosen.is_all() {
        done.results = set_results(&store, arguments)?;
    }
    if arguments.only != Some(Only::Results) {
        let sent = send(&store, chosen, arguments, &secrets)?;
        done.deliveries = shown(&store, sent)?;
    }
    match arguments.format {
        AnswerFormat::Json => output::say_json(&done)?,
        AnswerFormat::Text => done.tell(&format!("--db {}", arguments.db.display()))?,
    }
    Ok(if done.deliveries.iter().any(has_failed) { ExitCode::Negative } else { ExitCode::Done })
}

fn open(arguments: &Arguments) -> Result<counterfoil_sqlite::Store, Failure> {
    let paths = &arguments.rules;
    let files = if paths.is_empty() { Vec::new() } else { rules_files::load(paths)? };
    let store = database::own_or(&arguments.db, "counterfoil catch-up".to_owned(), |_| {
        "a server does it by itself: nothing is left to be done".to_owned()
    })?;
    if database::install_all(&store, &files)?.is_empty() {
        return Err(Failure::could_not("the database keeps no rules yet")
            .hint("name rules files with --rules"));
    }
    Ok(store)
}

fn set_results(store: &EmbeddedStore, arguments: &Arguments) -> Result<Vec<Explanation>, Failure> {
    let mut results = Vec::new();
    let decided = |decided: Decided| {
        results.push(Explanation::of(&decided.decision, decided.rules.ruleset()));
    };
    let now = arguments.moment.moment();
    let submitted = auto_sets::submit_due(store.store(), now, || false, decided);
    submitted.map_err(|_| {
        Failure::could_not("some results that are due were not set")
            .hint("look whether the disk is full, then try again")
    })?;
    Ok(results)
}

/// Sends what is due, until nothing is left that may be sent now.
fn send(
    store: &Arc<EmbeddedStore>,
    chosen: Chosen,
    arguments: &Arguments,
    secrets: &Secrets,
) -> Result<Vec<(TenantName, MessageId)>, Failure> {
    let SendingArguments { allow_destination, ca_file, .. } = &arguments.sending;
    let mut config = sending::config(secrets, allow_destination, ca_file.as_ref());
    if let Some(at) = arguments.moment.at {
        config.clock = Arc::new(move || at);
        config.draws = Arc::new(|| Draw(0));
    }
    let outbox = OnePass::new(Arc::clone(store), chosen, arguments.moment.at.is_some());
    let dispatcher = Dispatcher::new(config, Arc::new(outbox.clone())).map_err(sending::failure)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Failure::could_not)?.block_on(dispatcher.run(outbox.ended()));
    outbox.finish().map_err(|error| {
        let hint = match error {
            SubmitError::Busy => "try again in a moment",
            SubmitError::Unavailable => "look whether the disk is full, then try again",
        };
        Failure::could_not(error).hint(hint)
    })
}

fn shown(
    store: &EmbeddedStore,
    sent: Vec<(TenantName, MessageId)>,
) -> Result<Vec<DeliveryView>, Failure> {
    let read = |(tenant, id)| store.store().reader().delivery(&tenant, id).transpose();
    sent.into_iter().filter_map(read).map(|row| row.map_err(database::read_failure)).collect()
}

/// Whether the last attempt did not arrive.
fn has_failed(message: &DeliveryView) -> bool {
    matches!(message.state, MessageState::Due | MessageState::Dead)
}

impl CaughtUp {
    /// Tells it; `of` names the database to other commands.
    fn tell(&self, of: &str) -> Result<(), Failure> {
        for transaction in self.results.iter().flat_map(|decided| &decided.transactions) {
            let result = transaction.result.name();
            output::say(format_args!("{GOOD}{result}{GOOD:#}  transaction {}", transaction.id))?;
        }
        for message in &self.deliveries {
            let style = if has_failed(message) { MISTAKE } else { GOOD };
            let state = message.state.name();
            let origin = messages::origin(message);
            let last = message.attempts.last().map(messages::ended).unwrap_or_default();
            output::say(format_args!("{style}{state}{style:#}  {origin}  {}  {last}", message.id))?;
            if has_failed(message) {
                messages::why_failed(message, of).into_iter().try_for_each(output::say)?;
            }
        }
        let failed = self.deliveries.iter().filter(|message| has_failed(message)).count();
        output::tell(format_args!(
            "results set: {}; messages attempted: {}, failed: {failed}",
            self.results.len(),
            self.deliveries.len()
        ));
        Ok(())
    }
}
