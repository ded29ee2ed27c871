//! `counterfoil transactions edit`: an administrator's edit, straight into a database.

use clap::Args;
use counterfoil_core::{
    Arrival, Pairs, TransactionId, TransactionResult, VALUE_LEN_MAX, view::Explanation,
};

use super::super::{
    list,
    write::{self, WriteArguments},
};
use crate::{
    arguments::HELP_TEMPLATE, exit_code::ExitCode, explained, failure::Failure,
    output::AnswerFormat,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil transactions edit --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab \\
      --result rejected --reason 'sent back'
  counterfoil transactions edit --db acme.db 01993b2e-7c1a-7f00-8000-0123456789ab \\
      --payout 4.50 --reason 'as agreed on the phone'";

/// Change the result or the amounts of one transaction; amounts stand until the next edit
///
/// The edit is a request like any other: it has a row in the log, and tracking APIs tell of it.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    write: WriteArguments,
    /// The transaction
    id: TransactionId,
    /// The new result: pending, approved or rejected
    #[arg(long, value_parser = list::result, value_name = "RESULT")]
    result: Option<TransactionResult>,
    /// The new revenue, in the tenant's currency
    #[arg(long, value_name = "AMOUNT")]
    revenue: Option<String>,
    /// The new payout, in the tenant's currency
    #[arg(long, value_name = "AMOUNT")]
    payout: Option<String>,
    /// Why, in your words
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

/// A log row must be readable again, and reading has this limit.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why".to_owned()),
        text if text.len() > VALUE_LEN_MAX => Err(format!("at most {VALUE_LEN_MAX} bytes")),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let opened = write::open(&arguments.write, "counterfoil transactions edit")?;
    let decided = opened.submit(Arrival::edit(&pairs(arguments)))?;
    let explanation = Explanation::of(&decided.decision, decided.rules.ruleset());
    explained::say(&explanation, arguments.format)
}

fn pairs(arguments: &Arguments) -> Pairs<'_> {
    let given = [
        ("transaction_id", Some(arguments.id.to_string().into())),
        ("result", arguments.result.map(|result| result.name().into())),
        ("revenue", arguments.revenue.as_deref().map(Into::into)),
        ("payout", arguments.payout.as_deref().map(Into::into)),
        ("reason", Some(arguments.reason.as_str().into())),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name.into(), value?))).collect()
}
