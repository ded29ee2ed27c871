//! `counterfoil completions`: a script that completes the command line in a shell.

use clap::Args;
use clap_complete::{Shell, generate};

use crate::{
    arguments::{HELP_TEMPLATE, description},
    exit_code::ExitCode,
    failure::Failure,
    output,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil completions bash > ~/.local/share/bash-completion/completions/counterfoil
  counterfoil completions zsh > ~/.zfunc/_counterfoil
  counterfoil completions fish > ~/.config/fish/completions/counterfoil.fish";

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    generate(arguments.shell, &mut description(), "counterfoil", &mut script);
    output::say(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::Done)
}
