//! `counterfoil click`: make a click, as an affiliate link does.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::view::Explanation;

use super::write::{self, Opened};
use crate::{
    address,
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil click --db acme.db --rules rules.toml shoply-cz/bo
  counterfoil click --db acme.db 'shoply-cz/bo?affs1=newsletter&affiliate_click_id=c-17'
  pcid=$(counterfoil click --db acme.db shoply-cz/bo)    the pcid alone is on stdout";

/// Make a click, straight into a database that no server holds
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Rules to decide with; without them, those that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// The link: the ids of an offer and an affiliate, and a query where there is more to say
    #[arg(value_name = "OFFER/AFFILIATE[?QUERY]")]
    link: String,
    /// How to print it: the pcid alone, or the whole decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Opened { store, rules } =
        write::open(&arguments.database, &arguments.rules, "counterfoil click")?;
    let arrival = address::click(rules.ruleset(), &arguments.link)?;
    let decided = write::submit(&store, &rules, arrival)?;
    if let (Some(conversion), AnswerFormat::Text) = (&decided.decision.conversion, arguments.format)
    {
        output::say(conversion.id)?;
        return Ok(ExitCode::Done);
    }
    let ruleset = decided.rules.ruleset();
    let explanation = Explanation::of(&decided.decision, ruleset);
    explained::say(&explanation, arguments.format)
}
