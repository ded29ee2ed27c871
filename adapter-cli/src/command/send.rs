//! `counterfoil send`: hand in a request, straight into a database.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::view::Explanation;

use super::write::{self, Opened};
use crate::{
    address::Address,
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::AnswerFormat,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil send --db acme.db 'pcid=01993b2e-7c1a-7f00-8000-0123456789ab&type=sale&value=100'
  counterfoil send --db acme.db 'advertiser_id=shoply&external_id=A-1&result=approved'
  counterfoil send --db acme.db 'https://x.example/api/acme/pixel.gif?pcid=…' --format json";

/// Hand in a request, straight into a database that no server holds
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Rules to decide with; without them, those that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// The URL of a postback, or only its query
    #[arg(value_name = "URL_OR_QUERY")]
    request: String,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let address = Address::read(&arguments.request)?;
    let mut database = arguments.database.clone();
    if database.tenant.tenant.is_none() {
        database.tenant.tenant.clone_from(&address.tenant);
    }
    let Opened { store, rules } = write::open(&database, &arguments.rules, "counterfoil send")?;
    let decided = write::submit(&store, &rules, address.arrival(rules.ruleset()))?;
    let ruleset = decided.rules.ruleset();
    let explanation = Explanation::of(&decided.decision, ruleset);
    explained::say(&explanation, arguments.format)
}
