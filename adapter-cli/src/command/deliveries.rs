//! `counterfoil deliveries`: every message to another system, whatever became of it.

mod retry;

use clap::{Args, Subcommand};
use counterfoil_core::{
    ConversionId, DeadReason, MessageId, MessageState, TenantName, Timestamp,
    view::{DeliveryView, Filter, Page},
};
use counterfoil_sqlite::Reader;
use serde::Serialize;

use super::list::{ListedArguments, PageArguments};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    database,
    exit_code::ExitCode,
    failure::Failure,
    messages,
    output::{self, AnswerFormat, Column, column, detail},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil deliveries --db acme.db
  counterfoil deliveries --db acme.db --state dead --tracking-api bo-sales
  counterfoil deliveries --db acme.db --postback shoply-orders
  counterfoil deliveries show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil deliveries retry --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil deliveries retry --db acme.db --state dead --tracking-api bo-sales";

const SHOW_EXAMPLES: &str = "\
Examples:
  counterfoil deliveries show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab
  counterfoil deliveries show --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab --format json";

/// What CSV has.
const COLUMNS: [Column; 14] = [
    column("id"),
    column("tracking_api_id"),
    column("event"),
    column("sequence"),
    column("state"),
    column("reason"),
    column("due_at"),
    column("last_error"),
    detail("postback_id"),
    detail("step"),
    detail("conversion_id"),
    detail("transaction_id"),
    detail("request"),
    detail("attempts"),
];

/// What people see.
const TABLE: [Column; 9] = [
    column("id"),
    column("from"),
    column("event"),
    column("sequence"),
    column("state"),
    column("reason"),
    column("attempts"),
    column("last"),
    column("due_at"),
];

/// List messages to other systems, newest first, show one, or send some again
#[derive(Debug, Args)]
#[command(
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Deliveries>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    listed: ListedArguments,
    #[command(flatten)]
    of: MessageArguments,
    #[command(flatten)]
    page: PageArguments,
}

/// Which messages are wanted.
#[derive(Clone, Debug, Default, Args)]
struct MessageArguments {
    /// Only those that stand here: due, held, sending, delivered, polling or dead
    #[arg(long, value_parser = state, value_name = "STATE")]
    state: Option<MessageState>,
    /// Only those of this tracking API
    #[arg(long, value_name = "ID")]
    tracking_api: Option<String>,
    /// Only those of steps of this postback definition
    #[arg(long, value_name = "ID")]
    postback: Option<String>,
    /// Only those about this conversion
    #[arg(long, value_name = "ID")]
    conversion: Option<ConversionId>,
    /// Only those of this owner: admin, or an affiliate's id
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
}

impl MessageArguments {
    /// The filter, narrowed by them.
    fn narrow(&self, filter: Filter) -> Filter {
        Filter {
            state: self.state,
            tracking_api: self.tracking_api.clone(),
            postback: self.postback.clone(),
            conversion: self.conversion.map(|id| id.to_string()),
            owner: self.owner.clone(),
            ..filter
        }
    }
}

fn state(text: &str) -> Result<MessageState, String> {
    MessageState::named(text)
        .ok_or_else(|| format!("one of {}", MessageState::ALL.map(MessageState::name).join(", ")))
}

#[derive(Debug, Subcommand)]
enum Deliveries {
    Show(ShowArguments),
    Retry(retry::Arguments),
}

/// Show one message: the request, what was tried, why it is dead and what to do
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = SHOW_EXAMPLES)]
struct ShowArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The message
    id: MessageId,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Some(Deliveries::Show(arguments)) => show(arguments),
        Some(Deliveries::Retry(arguments)) => retry::run(arguments),
        None => page(&arguments.list),
    }
}

fn page(arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.listed.database())?;
    let filter = arguments.of.narrow(arguments.page.filter());
    let page = reader.deliveries(&tenant, &filter);
    let page = page.map_err(database::read_failure)?;
    if page.items.is_empty() {
        refuse_unknown(&reader, &tenant, &arguments.of)?;
    }
    if !arguments.page.is_table() {
        return arguments.page.say(&COLUMNS, &page);
    }
    let items = page.items.iter().map(Listed::of).collect();
    arguments.page.say(&TABLE, &Page { items, next_cursor: page.next_cursor })
}

/// A list of nothing is no answer about a tracking API that there is not, and never was.
fn refuse_unknown(
    reader: &Reader,
    tenant: &TenantName,
    of: &MessageArguments,
) -> Result<(), Failure> {
    let Some(id) = of.tracking_api.as_deref() else {
        return Ok(());
    };
    let rules = reader.rules(tenant, None).map_err(database::read_failure)?;
    // Rules that cannot be read say nothing about it.
    let is_known = rules.is_none_or(|rules| rules.ruleset().tracking_api(id).is_some());
    let ever = Filter { tracking_api: Some(id.to_owned()), limit: Some(1), ..Filter::default() };
    let stored = reader.deliveries(tenant, &ever).map_err(database::read_failure)?;
    if is_known || !stored.items.is_empty() {
        return Ok(());
    }
    let what = format_args!("neither the rules nor the rows have a tracking API `{id}`");
    Err(Failure::could_not(what).hint("`counterfoil deliveries` without it shows what there is"))
}

/// A message in the table that people see.
#[derive(Serialize)]
struct Listed {
    id: MessageId,
    from: String,
    event: Option<&'static str>,
    sequence: Option<u32>,
    state: MessageState,
    reason: Option<DeadReason>,
    attempts: usize,
    last: Option<String>,
    due_at: Timestamp,
}

impl Listed {
    fn of(message: &DeliveryView) -> Self {
        Self {
            id: message.id,
            from: messages::origin(message),
            event: message.event,
            sequence: message.sequence,
            state: message.state,
            reason: message.reason,
            attempts: message.attempts.len(),
            last: message.attempts.last().map(messages::ended),
            due_at: message.due_at,
        }
    }
}

/// The arguments with which a command finds the same database and tenant, for a shell.
fn again(database: &DatabaseArguments) -> String {
    let quoted = |text: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        match text.bytes().all(is_plain) {
            true => text.to_owned(),
            false => format!("'{}'", text.replace('\'', "'\\''")),
        }
    };
    let db = quoted(&database.db.to_string_lossy());
    let tenant = database.tenant.tenant.as_deref();
    let tenant = tenant.map(|tenant| format!(" --tenant {}", quoted(tenant)));
    format!("--db {db}{}", tenant.unwrap_or_default())
}

fn show(arguments: &ShowArguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.database)?;
    let found = reader.delivery(&tenant, arguments.id);
    let Some(message) = found.map_err(database::read_failure)? else {
        let what = format!("the tenant `{tenant}` has no delivery `{}`", arguments.id);
        return Err(Failure::could_not(what).hint("`counterfoil deliveries` lists them"));
    };
    match arguments.format {
        AnswerFormat::Json => output::say_json(&message)?,
        AnswerFormat::Text => {
            output::say(messages::whole(&message, &again(&arguments.database)).join("\n"))?
        }
    }
    Ok(ExitCode::Done)
}
