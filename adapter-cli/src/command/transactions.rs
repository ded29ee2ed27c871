//! `counterfoil transactions`: the money.

mod edit;

use clap::{Args, Subcommand};
use counterfoil_core::{TransactionResult, view::Filter};

use super::list::{self, ListedArguments, OriginArguments, PageArguments};
use crate::{
    arguments::HELP_TEMPLATE,
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{Column, column, detail},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil transactions --db acme.db
  counterfoil transactions --db acme.db --result pending --affiliate bo
  counterfoil transactions --db acme.db --external-id A-1
  counterfoil transactions --db acme.db --since 2026-01-01 --until 2026-02-01
  counterfoil transactions --db acme.db --since 2026-01-01 --limit 1000 --format csv > new.csv
  counterfoil transactions edit --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab \\
      --result rejected --reason 'sent back'";

const COLUMNS: [Column; 15] = [
    column("id"),
    column("created_at"),
    column("result"),
    column("revenue"),
    column("payout"),
    column("currency"),
    column("affiliate_id"),
    column("offer_id"),
    column("commission_id"),
    detail("conversion_id"),
    detail("advertiser_id"),
    detail("type"),
    detail("auto_set_at"),
    detail("updated_at"),
    detail("revision"),
];

/// List transactions, newest first, or edit one
#[derive(Debug, Args)]
#[command(
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Transactions>,
    #[command(flatten)]
    list: ListArguments,
}

#[derive(Debug, Subcommand)]
enum Transactions {
    Edit(edit::Arguments),
}

#[derive(Debug, Args)]
struct ListArguments {
    #[command(flatten)]
    listed: ListedArguments,
    /// Only of conversions with this id of the advertiser
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Only with this result
    #[arg(long, value_parser = list::result, value_name = "RESULT")]
    result: Option<TransactionResult>,
    /// Only of this type
    #[arg(long, value_name = "NAME")]
    r#type: Option<String>,
    #[command(flatten)]
    origin: OriginArguments,
    #[command(flatten)]
    page: PageArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Some(Transactions::Edit(arguments)) => edit::run(arguments),
        None => page(&arguments.list),
    }
}

fn page(arguments: &ListArguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.listed.database())?;
    let filter = arguments.origin.narrow(Filter {
        external_id: arguments.external_id.clone(),
        result: arguments.result,
        r#type: arguments.r#type.clone(),
        ..arguments.page.filter()
    });
    let page = reader.transactions(&tenant, &filter);
    let page = page.map_err(database::read_failure)?;
    arguments.page.say(&COLUMNS, &page)
}
