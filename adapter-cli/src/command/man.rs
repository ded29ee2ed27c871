//! `counterfoil man`: the manual, a page for each command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use clap_mangen::Man;

use crate::{
    arguments::{HELP_TEMPLATE, description},
    exit_code::ExitCode,
    failure::Failure,
    output,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil man ~/.local/share/man/man1
  counterfoil man | man -l -";

/// Write the manual: all pages to a folder, or the first one to stdout
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The folder to write to; it is made where it is missing
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.folder {
        Some(folder) => write_all(folder)?,
        None => output::say(page(description())?.trim_end())?,
    }
    Ok(ExitCode::Done)
}

fn write_all(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    clap_mangen::generate_to(description(), folder)
        .map_err(|error| Failure::file("write to", folder, &error))?;
    let folder = folder.display();
    output::tell(format_args!("wrote the manual to `{folder}`; read it with `man counterfoil`"));
    Ok(())
}

fn page(command: clap::Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    let rendered = Man::new(command).render(&mut text);
    rendered.map_err(Failure::could_not)?;
    String::from_utf8(text).map_err(Failure::could_not)
}
