//! `counterfoil doctor`: what is wrong with an installation, or with one postback, and what to do.
//!
//! Without a URL each part looks at one thing and returns [`Finding`]s; the parts change nothing
//! and send no message. With a URL `postback` finds what arrived, or what is wrong with it.

mod database;
mod destinations;
mod ports;
mod postback;
mod rules;
mod settings;

use std::{
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use counterfoil_http::IpNet;
use serde::Serialize;

use self::settings::Settings;
use super::serve;
use crate::{
    arguments::{HELP_TEMPLATE, TenantArgument},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, Column, GOOD, HINT, ListFormat, MISTAKE, SUSPICIOUS, column},
};

const EXAMPLES: &str = "\
Examples:
  counterfoil doctor --rules rules.toml --db acme.db
  counterfoil doctor --config /etc/counterfoil.toml --format json
  counterfoil doctor --db acme.db 'https://x.example/api/acme/postbacks/handle?pcid=…&type=sale'
  counterfoil doctor --rules rules.toml 'clickid={clickid}&payout=10'";

const COLUMNS: [Column; 5] =
    [column("check"), column("state"), column("about"), column("message"), column("hint")];

/// How far the two clocks of the machine may come apart while they are watched.
const JUMP_MAX: Duration = Duration::from_secs(1);

/// Say what is wrong and what to do: with rules, database, disk, clock, ports, destinations and
/// secrets, or with a postback that somebody says was sent
///
/// With a URL: whether it arrived, what became of it, what is wrong with it, and what would become
/// of it now. It is looked for among the newest requests of all tenants.
///
/// Nothing is changed, and no message is sent; a server may be running. Ends with 3 where something
/// is wrong. Flags are those of `serve`.
#[derive(Debug, Args)]
#[command(help_template = HELP_TEMPLATE, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A postback that somebody says was sent: its URL, or only its query
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// Rules files, or folders of them; without, the rules that the database keeps
    #[arg(long, value_name = "PATH", env = "COUNTERFOIL_RULES")]
    rules: Vec<PathBuf>,
    /// The database
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB")]
    db: Option<PathBuf>,
    /// Where senders and visitors come in [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "COUNTERFOIL_LISTEN", value_parser = serve::address)]
    listen: Option<SocketAddr>,
    /// Where administrators come in [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", env = "COUNTERFOIL_ADMIN_LISTEN",
          value_parser = serve::address)]
    admin_listen: Option<SocketAddr>,
    /// The folder with the secrets, one file each
    #[arg(long, value_name = "DIR", env = "COUNTERFOIL_SECRETS")]
    secrets: Option<PathBuf>,
    /// Networks that messages may reach although they are not public
    #[arg(long, value_name = "CIDR", env = "COUNTERFOIL_ALLOW_DESTINATION",
          value_delimiter = ',', value_parser = crate::destinations::network)]
    allow_destination: Vec<IpNet>,
    /// The file with the settings of the server
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    tenant: TenantArgument,
    /// The most requests that are looked through for a URL, the newest first
    #[arg(long, value_name = "ROWS", default_value_t = 1_000_000)]
    requests: u64,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    /// Which input it is about.
    about: String,
    message: String,
    hint: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Fine,
    Warning,
    Fault,
}

#[derive(Serialize)]
struct Report<'a> {
    fine: bool,
    findings: &'a [Finding],
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let settings = Settings::gather(arguments)?;
    if let Some(url) = &arguments.url {
        let tenant = arguments.tenant.tenant.as_deref();
        return postback::run(&settings, url, tenant, arguments);
    }
    let began = (Instant::now(), SystemTime::now());
    let (mut findings, rulesets) = rules::look(&settings);
    findings.extend(rules::secrets(&settings, &rulesets));
    findings.extend(database::look(&settings));
    findings.extend(ports::look(&settings));
    findings.extend(destinations::look(&settings, &rulesets));
    findings.extend(jumps(began));
    let fine = findings.iter().all(|finding| finding.state != State::Fault);
    say(arguments.format, fine, &findings)?;
    Ok(if fine { ExitCode::Done } else { ExitCode::Negative })
}

/// A wall clock that is set while it is watched is set by somebody.
fn jumps((instant, wall): (Instant, SystemTime)) -> Option<Finding> {
    let steady = instant.elapsed();
    // A clock that went back has moved by no less than this.
    let moved = wall.elapsed().unwrap_or_default();
    (moved.abs_diff(steady) > JUMP_MAX).then(|| {
        let message = format!("{moved:?} went by on the wall clock, and {steady:?} in truth");
        Finding::warning("clock", "this machine", message)
            .hint("let one time service set the clock")
    })
}

fn say(format: ListFormat, fine: bool, findings: &[Finding]) -> Result<(), Failure> {
    match format {
        ListFormat::Json => output::say_json(&Report { fine, findings })?,
        ListFormat::Csv => output::say_list(format, &COLUMNS, &findings, findings)?,
        ListFormat::Table => findings.iter().flat_map(Finding::lines).try_for_each(output::say)?,
    }
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (faults, warnings) = (count(State::Fault), count(State::Warning));
    let (style, verdict) =
        if fine { (GOOD, "nothing is wrong") } else { (MISTAKE, "something is wrong") };
    output::tell(format_args!("{style}{verdict}{style:#}: faults {faults}, warnings {warnings}"));
    Ok(())
}

impl Finding {
    fn fine(check: &'static str, about: impl ToString, message: impl ToString) -> Self {
        let (about, message) = (about.to_string(), message.to_string());
        Self { check, state: State::Fine, about, message, hint: None }
    }

    fn warning(check: &'static str, about: impl ToString, message: impl ToString) -> Self {
        Self { state: State::Warning, ..Self::fine(check, about, message) }
    }

    fn fault(check: &'static str, about: impl ToString, message: impl ToString) -> Self {
        Self { state: State::Fault, ..Self::fine(check, about, message) }
    }

    /// What ends another command is a fault here.
    fn failed(check: &'static str, about: impl ToString, failure: &Failure) -> Self {
        let hint = failure.to_try().map(str::to_owned);
        Self { hint, ..Self::fault(check, about, failure) }
    }

    fn hint(self, hint: impl ToString) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    fn lines(&self) -> Vec<String> {
        let (style, word) = match self.state {
            State::Fine => (GOOD, "fine"),
            State::Warning => (SUSPICIOUS, "warning"),
            State::Fault => (MISTAKE, "fault"),
        };
        let Self { check, about, message, .. } = self;
        let mut lines = vec![format!("{style}{word:<7}{style:#}  {check:<12}  {about}: {message}")];
        let hint = self.hint.as_deref();
        lines.extend(hint.map(|hint| format!("{:23}{HINT}try{HINT:#}: {hint}", "")));
        lines
    }
}
