//! `counterfoil click`: make a click, as an affiliate link does.

use clap::Args;
use counterfoil_core::view::Explanation;

use super::write::{self, WriteArguments};
use crate::{
    address,
    arguments::HELP_TEMPLATE,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil click --db acme.db --rules rules.toml shoply-cz/bo
  counterfoil click --db acme.db 'shoply-cz/bo?affs1=newsletter&affiliate_click_id=c-17'
  counterfoil click --db acme.db --at 2026-01-31T12:00:00Z shoply-cz/bo
  pcid=$(counterfoil click --db acme.db shoply-cz/bo)    the pcid alone is on stdout";

/// Make a click, straight into a database that no server holds
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    write: WriteArguments,
    /// The link: the ids of an offer and an affiliate, and a query where there is more to say
    #[arg(value_name = "OFFER/AFFILIATE[?QUERY]")]
    link: String,
    /// How to print it: the pcid alone, or the whole decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let opened = write::open(&arguments.write, "counterfoil click")?;
    let arrival = address::click(opened.rules.ruleset(), &arguments.link)?;
    let decided = opened.submit(arrival)?;
    let explanation = Explanation::of(&decided.decision, decided.rules.ruleset());
    match (&decided.decision.conversion, arguments.format) {
        (_, AnswerFormat::Json) => explained::say(&explanation, arguments.format),
        (Some(click), AnswerFormat::Text) => {
            output::say(click.id)?;
            Ok(ExitCode::Done)
        }
        // Whoever reads a pcid from stdout reads none.
        (None, AnswerFormat::Text) => {
            output::tell(explained::lines(&explanation).join("\n"));
            Ok(ExitCode::Negative)
        }
    }
}
