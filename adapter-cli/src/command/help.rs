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
  counterfoil help exit-codes
  counterfoil help config > counterfoil.toml";

const EXIT_CODES: &str = "exit-codes";
const CONFIG: &str = "config";

/// Print help on a command, on the exit codes, or on the file of `serve --config`
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A command, `exit-codes`, or `config`
    topic: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let text = match arguments.topic.as_deref() {
        Some(EXIT_CODES) => exit_codes(),
        Some(CONFIG) => serve::CONFIG_EXAMPLE.to_owned(),
        Some(name) if description().find_subcommand(name).is_none() => return Err(unknown(name)),
        topic => long_help(topic),
    };
    output::say(text.trim_end())?;
    Ok(ExitCode::Done)
}

/// What `--help` prints.
fn long_help(topic: Option<&str>) -> String {
    let line = ["counterfoil"].into_iter().chain(topic).chain(["--help"]);
    match description().try_get_matches_from(line) {
        Err(help) => help.render().ansi().to_string(),
        Ok(_) => String::new(),
    }
}

fn exit_codes() -> String {
    let line =
        |code: ExitCode| format!("{STRONG}{:>4}{STRONG:#}  {}", code.number(), code.meaning());
    ExitCode::ALL.map(line).join("\n")
}

fn unknown(topic: &str) -> Failure {
    let whole = description();
    let names: Vec<&str> =
        whole.get_subcommands().map(clap::Command::get_name).chain([EXIT_CODES, CONFIG]).collect();
    Failure::usage(format_args!("there is no help on `{topic}`"))
        .hint(format_args!("one of {}", names.join(", ")))
}
