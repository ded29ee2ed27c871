//! `counterfoil explain`: the decision about a request, step by step. Nothing is written.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use counterfoil_core::{Decision, Ruleset, view::Explanation};
use counterfoil_fixtures::World;

use crate::{
    address::{self, Address},
    arguments::{HELP_TEMPLATE, TenantArgument},
    clock, database,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, AnswerFormat},
    rules_files::{self, RulesFile},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil explain --rules rules.toml --root shoply-cz/bo 'type=sale&value=100'
  counterfoil explain --rules rules.toml --db acme.db 'pcid=01993b2e-…&type=sale&value=100'
  counterfoil explain --rules rules/ --db acme.db 'https://x.example/api/acme/pixel.gif?pcid=…'";

/// Decide about a request and show how, without writing anything
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rules to decide with
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES", required = true)]
    rules: Vec<PathBuf>,
    /// A database with what is stored; a server may be running on it
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: Option<PathBuf>,
    /// Leave databases aside: assume that the request is about a click on this link
    #[arg(long, value_name = "OFFER/AFFILIATE")]
    root: Option<String>,
    #[command(flatten)]
    tenant: TenantArgument,
    /// The URL of a postback, or only its query
    #[arg(value_name = "URL_OR_QUERY")]
    request: String,
    /// How to print the decision
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut address = Address::read(&arguments.request, None)?;
    let files = rules_files::load(&arguments.rules)?;
    let rulesets: Vec<&Ruleset> = files.iter().filter_map(RulesFile::rules).collect();
    let wanted = arguments.tenant.tenant.as_deref();
    let wanted = wanted.or(address.tenant.as_deref());
    let ruleset = *database::choose(wanted, &rulesets, |ruleset| ruleset.tenant())?;
    let decision = match (&arguments.root, &arguments.db) {
        (Some(link), _) => after_click(ruleset, link, &mut address)?,
        (None, Some(db)) => {
            let reader = database::look(db)?;
            let request = address.arrival(ruleset).request;
            let ruleset = Arc::new(ruleset.clone());
            let decision = reader.explain(&ruleset, &request, clock::now());
            decision.map_err(database::read_failure)?
        }
        (None, None) => {
            output::tell(
                "nothing is stored: name a database with --db, or assume a click with --root",
            );
            let request = address.arrival(ruleset).request;
            World::new(ruleset.clone()).explain(&request, clock::now())
        }
    };
    let explanation = Explanation::of(&decision, ruleset);
    explained::say(&explanation, arguments.format)
}

/// Decides as if nothing were stored but one click, made just now. The request is about it,
/// whatever `pcid` was pasted with it.
fn after_click(ruleset: &Ruleset, link: &str, address: &mut Address) -> Result<Decision, Failure> {
    let click = address::assumed_click(ruleset, link)?;
    let now = clock::now();
    let mut world = World::new(ruleset.clone());
    let click = world.take(&click, now).map_err(Failure::could_not)?;
    if let Some(click) = click.conversion {
        address.set_click(ruleset, &click.id.to_string());
    }
    Ok(world.explain(&address.arrival(ruleset).request, now))
}
