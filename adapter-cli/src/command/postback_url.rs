//! `counterfoil postback-url`: what a partner is to call.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::Ruleset;

use crate::{
    arguments::{HELP_TEMPLATE, TenantArgument},
    database,
    exit_code::ExitCode,
    failure::Failure,
    output,
    rules_files::{self, RulesFile},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil postback-url shoply-orders --rules rules.toml --base https://pb.example
  counterfoil postback-url global --rules rules.toml";

/// Print the address that a partner is to call, with the partner's macros in place of values
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The postback definition
    #[arg(value_name = "DEFINITION")]
    definition: String,
    /// Rules files, or folders of them
    #[arg(long, required = true, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// Where partners reach the public listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    base: String,
    #[command(flatten)]
    tenant: TenantArgument,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let files = rules_files::load(&arguments.rules)?;
    let rulesets: Vec<&Ruleset> = files.iter().filter_map(RulesFile::rules).collect();
    let wanted = arguments.tenant.tenant.as_deref();
    let ruleset = *database::choose(wanted, &rulesets, |ruleset| ruleset.tenant())?;
    let mut active = ruleset.postbacks().iter().filter(|definition| definition.active);
    let known: Vec<&str> = active.clone().map(|definition| definition.id.as_str()).collect();
    let Some(definition) = active.find(|one| one.id.as_str() == arguments.definition) else {
        let wanted = output::visible(&arguments.definition);
        let message = format!("no active postback has the id `{wanted}`");
        return Err(Failure::could_not(message).hint(format!("known are {}", known.join(", "))));
    };
    output::say(definition.url(&arguments.base, ruleset.tenant()))?;
    output::tell(format_args!(
        "the macros are those of {}: replace them by the partner's own where they differ",
        definition.dialect.system
    ));
    Ok(ExitCode::Done)
}
