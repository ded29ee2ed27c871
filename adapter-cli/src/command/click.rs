//! `counterfoil click`: make a click, as an affiliate link does.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::view::Explanation;

use super::write::{self, Opened};
use crate::{
    address::Click,
    arguments::{DatabaseArguments, HELP_TEMPLATE},
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil click --db acme.db --rules rules.toml shoply-cz/bo
  counterfoil click --db acme.db shoply-cz/bo --aff 1=newsletter --affiliate-click-id c-17
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
    /// The link: the ids of an offer and an affiliate
    #[arg(value_name = "OFFER/AFFILIATE")]
    link: String,
    /// The channel
    #[arg(long)]
    channel: Option<String>,
    /// The integration
    #[arg(long)]
    integration: Option<String>,
    /// A sub id of the affiliate, 1 to 10
    #[arg(long, value_name = "N=TEXT", value_parser = sub_id)]
    aff: Vec<(u8, Box<str>)>,
    /// The affiliate's own id of the click
    #[arg(long, value_name = "ID")]
    affiliate_click_id: Option<Box<str>>,
    /// How to print it: the pcid alone, or the whole decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Opened { store, rules } =
        write::open(&arguments.database, &arguments.rules, "counterfoil click")?;
    let mut affs = arguments.aff.clone();
    affs.sort();
    affs.dedup_by_key(|(number, _)| *number);
    let click = Click {
        channel: arguments.channel.clone(),
        integration: arguments.integration.clone(),
        affs,
        affiliate_click_id: arguments.affiliate_click_id.clone(),
    };
    let arrival = click.arrival(rules.ruleset(), &arguments.link)?;
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

fn sub_id(text: &str) -> Result<(u8, Box<str>), String> {
    let parts = text.split_once('=');
    let numbered = parts.and_then(|(number, text)| Some((number.parse().ok()?, text.into())));
    numbered
        .filter(|(number, _)| (1..=10).contains(number))
        .ok_or_else(|| {
            "a sub id is a number from 1 to 10 and a text, as in 1=newsletter".to_owned()
        })
}
