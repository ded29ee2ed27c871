//! `counterfoil requests`: every arrival, whatever came of it.

use clap::{Args, Subcommand};
use counterfoil_core::{
    Outcome, Reason, RequestId,
    view::{Filter, RequestView},
};

use super::list::{self, ListedArguments, PageArguments};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    database,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat, Column, GOOD, HINT, MISTAKE, STRONG, column, detail},
    timeline,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil requests --db acme.db
  counterfoil requests --db acme.db --outcome refused
  counterfoil requests --db acme.db --reason pairing_failed --format json
  counterfoil requests show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab";

const SHOW_EXAMPLES: &str = "\
Examples:
  counterfoil requests show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil requests show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab --format json";

const COLUMNS: [Column; 14] = [
    column("id"),
    column("received_at"),
    column("method"),
    column("outcome"),
    column("reason"),
    column("notes"),
    column("query"),
    detail("remote_addr"),
    detail("postback_id"),
    detail("message"),
    detail("hint"),
    detail("parameter"),
    detail("conversion_id"),
    detail("transaction_ids"),
];

/// List requests, newest first, or show how one was decided
#[derive(Debug, Args)]
#[command(
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    show: Option<Show>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    listed: ListedArguments,
    /// Only with this outcome
    #[arg(long, value_parser = list::outcome, value_name = "OUTCOME")]
    outcome: Option<Outcome>,
    /// Only with this reason
    #[arg(long, value_parser = list::reason, value_name = "REASON")]
    reason: Option<Reason>,
    #[command(flatten)]
    page: PageArguments,
}

#[derive(Debug, Subcommand)]
enum Show {
    Show(ShowArguments),
}

/// Show how one request was decided, step by step, and what became of it
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = SHOW_EXAMPLES)]
struct ShowArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The request
    id: RequestId,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.show {
        Some(Show::Show(arguments)) => show(arguments),
        None => page(&arguments.list),
    }
}

fn page(arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.listed.database())?;
    let filter =
        Filter { outcome: arguments.outcome, reason: arguments.reason, ..arguments.page.filter() };
    let page = reader.requests(&tenant, &filter);
    let page = page.map_err(database::read_failure)?;
    arguments.page.say(&COLUMNS, &page)
}

fn show(arguments: &ShowArguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.database)?;
    let found = reader.timeline(&tenant, arguments.id);
    let Some((request, timeline)) = found.map_err(database::read_failure)? else {
        let what = format!("the tenant `{tenant}` has no request `{}`", arguments.id);
        let maker = counterfoil_sqlite::request_of(arguments.id);
        let made = reader.request(&tenant, maker).map_err(database::read_failure)?;
        return Err(Failure::could_not(what).hint(match made {
            Some(_) => {
                format!("that is the id of what it made: `counterfoil requests show {maker}`")
            }
            None => "`counterfoil requests` lists them".to_owned(),
        }));
    };
    match arguments.format {
        AnswerFormat::Json => output::say_json(&timeline::beside(&request, &timeline)?)?,
        AnswerFormat::Text => {
            output::say(worded(&request))?;
            timeline::lines(&timeline).try_for_each(output::say)?;
        }
    }
    Ok(ExitCode::Done)
}

fn worded(request: &RequestView) -> String {
    let style = match request.outcome {
        Outcome::Refused => MISTAKE,
        _ => GOOD,
    };
    let mut lines = vec![
        format!("{STRONG}request{STRONG:#}   {}", request.id),
        format!("{STRONG}received{STRONG:#}  {}", request.received_at),
        format!("{STRONG}method{STRONG:#}    {}", request.method.name()),
        format!("{STRONG}query{STRONG:#}     {}", request.query),
        format!("{STRONG}outcome{STRONG:#}   {style}{}{style:#}", request.outcome),
    ];
    if let Some(reason) = request.reason {
        let message = request.message.as_deref().unwrap_or_default();
        lines.push(format!("{STRONG}reason{STRONG:#}    {reason}: {message}"));
    }
    if let Some(hint) = &request.hint {
        lines.push(format!("{HINT}try{HINT:#}       {hint}"));
    }
    if let Some(conversion) = request.conversion_id {
        lines.push(format!("{STRONG}about{STRONG:#}     conversion {conversion}"));
    }
    for note in &request.notes {
        lines.push(format!("{STRONG}note{STRONG:#}      {note}"));
    }
    if !request.trace.is_empty() {
        lines.push(format!("{STRONG}steps{STRONG:#}"));
    }
    lines.extend(explained::steps(&request.trace));
    lines.join("\n")
}
