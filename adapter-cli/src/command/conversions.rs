//! `counterfoil conversions`: what happened.

use clap::Args;
use counterfoil_core::{TransactionResult, view::Filter};

use super::list::{self, OriginArguments, PageArguments};
use crate::{
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output::{Column, column, detail},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil conversions --db acme.db
  counterfoil conversions --db acme.db --type sale --affiliate bo --since 2026-01-01
  counterfoil conversions --db acme.db --external-id A-1 --format json
  counterfoil conversions --db acme.db --limit 1000 --format csv > conversions.csv";

const COLUMNS: [Column; 21] = [
    column("id"),
    column("created_at"),
    column("type"),
    column("offer_id"),
    column("affiliate_id"),
    column("external_id"),
    column("value"),
    column("currency"),
    detail("price"),
    detail("root_id"),
    detail("source"),
    detail("method"),
    detail("advertiser_id"),
    detail("channel"),
    detail("integration"),
    detail("affs"),
    detail("affiliate_click_id"),
    detail("params"),
    detail("updated_at"),
    detail("revision"),
    detail("transactions"),
];

/// List conversions, newest first
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Only of this type
    #[arg(long, value_name = "NAME")]
    r#type: Option<String>,
    /// Only with this id of the advertiser
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// Only with a transaction of this result
    #[arg(long, value_parser = list::result, value_name = "RESULT")]
    result: Option<TransactionResult>,
    #[command(flatten)]
    origin: OriginArguments,
    #[command(flatten)]
    page: PageArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (reader, tenant) = database::look_at_tenant(&arguments.database)?;
    let filter = arguments.origin.narrow(Filter {
        r#type: arguments.r#type.clone(),
        external_id: arguments.external_id.clone(),
        result: arguments.result,
        ..arguments.page.filter()
    });
    let page = reader.conversions(&tenant, &filter);
    let page = page.map_err(database::read_failure)?;
    arguments.page.say(&COLUMNS, &page)
}
