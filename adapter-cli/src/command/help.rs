//! `counterfoil help`: help on a command, on the exit codes, or on the file of a server.

use clap::Args;

use super::serve;
use crate::{
    arguments::{HELP_TEMPLATE, description},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, STRONG},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil help serve
  counterfoil help requests show
  counterfoil help exit-codes
  counterfoil help config > counterfoil.toml";

const EXIT_CODES: &str = "exit-codes";
const CONFIG: &str = "config";

/// Print help on a command, on the exit codes, or on the file of `serve --config`
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A command, `exit-codes`, or `config`
    topic: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let topic: Vec<&str> = arguments.topic.iter().map(String::as_str).collect();
    let text = match topic[..] {
        [EXIT_CODES] => exit_codes(),
        [CONFIG] => serve::CONFIG_EXAMPLE.to_owned(),
        _ => long_help(&topic)?,
    };
    output::say(text.trim_end())?;
    Ok(ExitCode::Done)
}

/// What `--help` prints of a command, or of one under it.
fn long_help(topic: &[&str]) -> Result<String, Failure> {
    let mut known = &description();
    for (place, name) in topic.iter().enumerate() {
        let above = topic.get(..place).unwrap_or_default();
        known = known.find_subcommand(name).ok_or_else(|| unknown(known, above, name))?;
    }
    let line = ["counterfoil"].into_iter().chain(topic.iter().copied()).chain(["--help"]);
    Ok(match description().try_get_matches_from(line) {
        Err(help) => help.render().ansi().to_string(),
        Ok(_) => String::new(),
    })
}

fn exit_codes() -> String {
    let line =
        |code: ExitCode| format!("{STRONG}{:>4}{STRONG:#}  {}", code.number(), code.meaning());
    ExitCode::ALL.map(line).join("\n")
}

fn unknown(known: &clap::Command, above: &[&str], name: &str) -> Failure {
    let mut names: Vec<&str> = known.get_subcommands().map(clap::Command::get_name).collect();
    if above.is_empty() {
        names.extend([EXIT_CODES, CONFIG]);
    }
    let topic = [above, &[name]].concat().join(" ");
    let failure = Failure::usage(format_args!("there is no help on `{topic}`"));
    if names.is_empty() {
        return failure.hint(format_args!("as in `counterfoil help {}`", above.join(" ")));
    }
    failure.hint(format_args!("one of {}", names.join(", ")))
}
