//! `counterfoil check`: everything that is wrong with rules, at once.

use std::{borrow::Cow, path::PathBuf};

use clap::Args;
use counterfoil_core::{Issue, Severity};
use counterfoil_http::IpNet;
use serde::Serialize;

use crate::{
    arguments::HELP_TEMPLATE,
    destinations,
    exit_code::ExitCode,
    failure::Failure,
    named_files::Unread,
    output::{self, AnswerFormat, GOOD, MISTAKE, counted},
    rules_files::{self, RulesFile},
    secrets::Secrets,
};

const EXAMPLES: &str = "\
Examples:
  counterfoil check rules.toml
  counterfoil check rules/ --secrets /etc/counterfoil/secrets
  counterfoil check rules.toml --format json | jq '.issues[].message'";

/// Tell all mistakes and warnings in rules
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Rules files, or folders of them
    #[arg(required = true, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    paths: Vec<PathBuf>,
    /// The folder with the secrets, one file each
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_SECRETS")]
    secrets: Option<PathBuf>,
    /// Networks that messages may reach although they are not public, as `serve` is told
    #[arg(long, value_name = "CIDR", env = "COUNTERFOIL_ALLOW_DESTINATION",
          value_delimiter = ',', value_parser = destinations::network)]
    allow_destination: Vec<IpNet>,
    /// How to print the issues
    #[arg(long, value_enum, default_value_t)]
    format: AnswerFormat,
}

/// What JSON shows of the result.
#[derive(Serialize)]
struct Report<'a> {
    valid: bool,
    issues: Vec<ReportedIssue<'a>>,
}

#[derive(Serialize)]
struct ReportedIssue<'a> {
    file: String,
    severity: &'static str,
    line: Option<u32>,
    column: Option<u32>,
    path: &'a str,
    message: Cow<'a, str>,
    hint: Option<&'a str>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let (mut files, unread) = rules_files::read_each(&arguments.paths)?;
    let secrets = Secrets::new(arguments.secrets.clone())?;
    for file in &mut files {
        file.check_secrets(&secrets);
        file.check_destinations(&arguments.allow_destination);
    }
    let errors: usize = files.iter().map(RulesFile::errors).sum();
    match arguments.format {
        AnswerFormat::Json => output::say_json(&report(&files, &unread))?,
        AnswerFormat::Text => {
            for line in files.iter().flat_map(RulesFile::lines) {
                output::say(line)?;
            }
        }
    }
    if !files.is_empty() {
        summarize(&files, errors, unread.is_empty());
    }
    let answer = if errors == 0 { ExitCode::Done } else { ExitCode::Negative };
    Ok(tell_unread(&unread).unwrap_or(answer))
}

/// Tells what could not be read; the code is that of the first.
fn tell_unread(unread: &[Unread]) -> Option<ExitCode> {
    let codes: Vec<ExitCode> = unread.iter().map(|one| one.failure.report()).collect();
    codes.first().copied()
}

fn summarize(files: &[RulesFile], errors: usize, is_whole: bool) {
    let warnings: usize = files.iter().map(RulesFile::warnings).sum();
    let counts = format!(
        "{}, {}, {}",
        counted(files.len(), "file"),
        counted(errors, "mistake"),
        counted(warnings, "warning")
    );
    if !is_whole {
        output::tell(format_args!("{MISTAKE}not all rules could be read{MISTAKE:#}: {counts}"));
    } else if errors == 0 {
        output::tell(format_args!("{GOOD}the rules are valid{GOOD:#}: {counts}"));
    } else {
        output::tell(format_args!("{MISTAKE}the rules are invalid{MISTAKE:#}: {counts}"));
    }
}

fn report<'a>(files: &'a [RulesFile], unread: &'a [Unread]) -> Report<'a> {
    let reported = |file: &RulesFile, issue| reported(file.path.display().to_string(), issue);
    let issues =
        files.iter().flat_map(|file| file.issues.iter().map(move |issue| reported(file, issue)));
    let issues = unread.iter().map(reported_unread).chain(issues).collect();
    Report { valid: unread.is_empty() && files.iter().all(|file| file.errors() == 0), issues }
}

fn reported_unread(unread: &Unread) -> ReportedIssue<'_> {
    ReportedIssue {
        file: unread.path.display().to_string(),
        severity: "error",
        line: None,
        column: None,
        path: "",
        message: unread.failure.to_string().into(),
        hint: unread.failure.to_try(),
    }
}

fn reported(file: String, issue: &Issue) -> ReportedIssue<'_> {
    ReportedIssue {
        file,
        severity: match issue.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        line: issue.position.map(|(line, _)| line),
        column: issue.position.map(|(_, column)| column),
        path: &issue.path,
        message: Cow::Borrowed(&issue.message),
        hint: issue.hint.as_deref(),
    }
}
