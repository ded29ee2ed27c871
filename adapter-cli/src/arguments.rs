//! The command line: what all commands share of it.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args, CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{command::Command, exit_code::ExitCode};

/// How every `--help` is laid out: what it is, examples, then the details.
pub(crate) const HELP_TEMPLATE: &str =
    "{about}{after-help}\n\n{usage-heading} {usage}\n\n{all-args}";

const EXAMPLES: &str = "\
Examples:
  counterfoil demo                                  see all of it at work in a minute
  counterfoil check rules.toml                      are these rules right?
  counterfoil serve --rules rules.toml --db acme.db run it
  counterfoil requests --db acme.db --outcome refused
  counterfoil doctor --rules rules.toml --db acme.db
  counterfoil help exit-codes";

/// Postback tracking that answers durably, counts once, computes exactly and explains every
/// decision
#[derive(Debug, Parser)]
#[command(
    name = "counterfoil",
    version,
    about,
    help_template = HELP_TEMPLATE,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Which database, and which tenant in it.
#[derive(Clone, Debug, Args)]
pub(crate) struct DatabaseArguments {
    /// The database
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    pub(crate) db: PathBuf,
    #[command(flatten)]
    pub(crate) tenant: TenantArgument,
}

/// Which tenant.
#[derive(Clone, Debug, Args)]
pub(crate) struct TenantArgument {
    /// The tenant, where there is more than one
    #[arg(long, value_name = "NAME", env = "COUNTERFOIL_TENANT")]
    pub(crate) tenant: Option<String>,
}

/// Reads the arguments of the process. Help and mistakes are printed here.
///
/// # Errors
/// The exit code, where there is no command to run.
pub(crate) fn read() -> Result<Command, ExitCode> {
    read_from(std::env::args_os())
}

fn read_from(arguments: impl Iterator<Item = OsString>) -> Result<Command, ExitCode> {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => Ok(arguments.command),
        Err(mut error) => {
            suggest_rules(&mut error);
            // Nobody can be told that the stream is closed.
            let _ = error.print();
            Err(if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done })
        }
    }
}

/// `serve rules.toml` is what many try first.
fn suggest_rules(error: &mut clap::Error) {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let serves = error.get(ContextKind::Usage).is_some_and(|usage| {
        matches!(usage, ContextValue::StyledStr(usage) if usage.to_string().contains(" serve "))
    });
    let has_name_of_rules = [".toml", ".json"].iter().any(|end| given.ends_with(end));
    if error.kind() == ErrorKind::UnknownArgument && serves && has_name_of_rules {
        let suggestion = format!("name rules files with --rules, as in `--rules {given}`");
        let suggestion = ContextValue::StyledStrs(vec![suggestion.into()]);
        error.insert(ContextKind::Suggested, suggestion);
    }
}

/// The whole command line as clap describes it, for man pages and completions.
pub(crate) fn description() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        description().debug_assert();
    }

    #[test]
    fn every_command_begins_its_help_with_examples() {
        for mut command in description().get_subcommands().cloned() {
            let help = command.render_long_help().to_string();
            let example = help.find("Examples:").expect(&help);
            let usage = help.find("Usage:").expect(&help);
            assert!(example < usage, "{help}");
        }
    }
}
