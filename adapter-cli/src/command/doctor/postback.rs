//! `counterfoil doctor URL`: what became of a postback that somebody says was sent, or what is
//! wrong with it.

mod instead;
mod route;

use std::sync::Arc;

use counterfoil_core::{
    Called, Diagnosis, Finding, Outcome, Ruleset, Sought, TenantName, Timestamp,
    view::{Explanation, RequestView},
};
use counterfoil_sqlite::{Arrivals, Arrived, Reader};
use serde::Serialize;
use url::Url;

use self::{instead::Instead, route::Origin};
use super::{Arguments, Settings, State};
use crate::{
    address::{self, Address},
    clock, database,
    exit_code::ExitCode,
    explained,
    failure::Failure,
    output::{self, GOOD, HINT, ListFormat, MISTAKE, QUIET, STRONG, SUSPICIOUS, counted, visible},
    rules_files::{self, RulesFile},
    secrets::Secrets,
};

/// The most arrivals that are told.
const ARRIVALS_MAX: usize = 10;

/// What is told of a postback.
#[derive(Serialize)]
struct Report<'a> {
    fine: bool,
    arrivals: Vec<Arrival<'a>>,
    examined: Option<Examined>,
    findings: &'a [Told],
    /// What would become of it now; absent without a database, and where it would not be decided.
    now: Option<&'a Explanation>,
    /// What would be answered now without a decision.
    not_decided: Option<&'a Instead>,
}

#[derive(Serialize)]
struct Arrival<'a> {
    tenant: &'a str,
    likeness: &'static str,
    request: &'a RequestView,
}

/// How many requests were looked through, back to when where there are older ones, and when the
/// log begins where what came earlier may have been pruned.
#[derive(Serialize)]
struct Examined {
    requests: u64,
    since: Option<Timestamp>,
    log_begins: Option<Timestamp>,
}

/// Something that was found: a fault is wrong for certain, a warning may be.
#[derive(Serialize)]
struct Told {
    state: State,
    code: &'static str,
    parameter: Option<String>,
    message: String,
    hint: String,
}

/// What the database says of it.
struct Stored {
    arrivals: Arrivals,
    /// When the log begins, where it has been pruned.
    begins: Option<Timestamp>,
    now: Option<Explanation>,
}

pub(super) fn run(
    settings: &Settings,
    text: &str,
    tenant: Option<&str>,
    arguments: &Arguments,
) -> Result<ExitCode, Failure> {
    if arguments.format == ListFormat::Csv {
        return Err(Failure::usage("what is told of one postback is no list")
            .hint("print it with --format table or --format json"));
    }
    let reader = settings.db.as_deref().map(database::look).transpose()?;
    let rulesets = rulesets(settings, reader.as_ref())?;
    let pasted = Pasted::read(text);
    let borrowed: Vec<&Ruleset> = rulesets.iter().map(|rules| &**rules).collect();
    if tenant.is_some() {
        database::choose(tenant, &borrowed, |rules| rules.tenant())?;
    }
    let diagnosed = |tenant| Diagnosis::of(&borrowed, tenant, &pasted.called(), clock::now());
    let mut diagnosis = diagnosed(tenant);
    let mut stored = None;
    if let Some(reader) = &reader {
        if diagnosis.ruleset.is_none() {
            let owner = owner(reader, &diagnosis.sought)?;
            diagnosis = diagnosed(owner.as_ref().map(TenantName::as_str));
        }
        let arrivals = reader.arrivals(&diagnosis.sought, arguments.requests, ARRIVALS_MAX);
        let arrivals = arrivals.map_err(database::read_failure)?;
        let known = reader.known_ids(&diagnosis.sought, arguments.requests);
        diagnosis.compare(&known.map_err(database::read_failure)?);
        let begins = reader.pruned_before().map_err(database::read_failure)?;
        stored = Some(Stored { arrivals, begins, now: None });
    }
    let secrets = Secrets::new(settings.secrets.clone())?;
    let route = pasted.origin.as_ref().and_then(|origin| route::look(settings, origin));
    let mut instead = match route.as_ref().filter(|told| told.state == State::Fault) {
        Some(told) => Some(Instead::of_route(told)),
        None => instead::look(&rulesets, &diagnosis, &pasted, &secrets),
    };
    if let (Some(reader), Some(stored), None) = (&reader, &mut stored, &instead) {
        stored.now = now(reader, &rulesets, &diagnosis, &pasted)?;
    }
    if diagnosis.ruleset.is_none() {
        output::tell("whose postback it is is not clear: name the tenant with --tenant");
    }
    let mut findings = findings(diagnosis.findings, stored.as_ref());
    findings.extend(instead.as_mut().and_then(|instead| instead.wrong.take()));
    let is_same = |arrived: &Arrived| arrived.likeness.is_same();
    let has_arrived =
        stored.as_ref().is_some_and(|stored| stored.arrivals.found.iter().any(is_same));
    // What arrived found its way.
    findings.extend(route.filter(|_| !has_arrived));
    // What arrived was encoded on its way, whatever was pasted.
    if let Some(c) = pasted.unreadable.filter(|_| !has_arrived) {
        findings.insert(0, unreadable(c));
    }
    let fine = is_fine(&findings);
    say(arguments.format, &findings, stored.as_ref(), instead.as_ref())?;
    Ok(if fine { ExitCode::Done } else { ExitCode::Negative })
}

/// Whose the click is that is meant, where nothing else says whose postback it is.
fn owner(reader: &Reader, sought: &Sought<'_>) -> Result<Option<TenantName>, Failure> {
    let known = reader.known_ids(sought, 0).map_err(database::read_failure)?;
    Ok(known.conversions.into_iter().next().map(|(owner, _)| owner))
}

/// The rules of the files, and of tenants without one those that the database keeps.
fn rulesets(settings: &Settings, reader: Option<&Reader>) -> Result<Vec<Arc<Ruleset>>, Failure> {
    let files = match settings.rules.as_slice() {
        [] => Vec::new(),
        paths => rules_files::load(paths)?,
    };
    let mut rulesets: Vec<Arc<Ruleset>> =
        files.iter().filter_map(RulesFile::rules).cloned().map(Arc::new).collect();
    let Some(reader) = reader else {
        return Ok(rulesets);
    };
    for tenant in reader.tenants().map_err(database::read_failure)? {
        if rulesets.iter().any(|rules| *rules.tenant() == tenant) {
            continue;
        }
        let rules = reader.rules(&tenant, None).map_err(database::read_failure)?;
        rulesets.extend(rules.map(|rules| Arc::clone(rules.ruleset())));
    }
    Ok(rulesets)
}

/// What was pasted, taken apart.
struct Pasted {
    /// A character with which no server reads the request.
    unreadable: Option<char>,
    is_plain: bool,
    /// Where it goes, where the URL says by which scheme.
    origin: Option<Origin>,
    path: Option<String>,
    query: String,
    fragment: Option<String>,
    /// As a whole, for whoever reads URLs.
    text: String,
}

impl Pasted {
    /// Reads a URL, with or without its scheme, the first line of a request, or a query.
    fn read(text: &str) -> Self {
        let text = text.trim().trim_matches(['"', '\'']);
        let text =
            ["GET ", "POST "].iter().find_map(|verb| text.strip_prefix(verb)).unwrap_or(text);
        let text = text.split(" HTTP/").next().unwrap_or(text);
        let target = text.split('#').next().unwrap_or_default();
        let unreadable = target.chars().find(|c| is_unreadable(*c));
        let is_query = || !text.split(['?', '=']).next().unwrap_or_default().contains('/');
        let has_scheme = address::names_scheme(text);
        let url = match text {
            _ if has_scheme => Url::parse(text).ok(),
            _ if text.starts_with('/') => Url::parse(&format!("https://host{text}")).ok(),
            _ if is_query() => None,
            _ => Url::parse(&format!("https://{text}")).ok(),
        };
        let Some(url) = url else {
            let (query, fragment) = match text.split_once('#') {
                Some((query, fragment)) => (query, Some(fragment.to_owned())),
                None => (text, None),
            };
            let query = query.trim_start_matches('?').to_owned();
            let text = query.clone();
            let (is_plain, origin, path) = (false, None, None);
            return Self { unreadable, is_plain, origin, path, query, fragment, text };
        };
        let origin = Some(&url).filter(|_| has_scheme);
        Self {
            unreadable,
            is_plain: url.scheme() == "http",
            origin: origin.and_then(Origin::of),
            path: Some(url.path().to_owned()),
            query: url.query().unwrap_or_default().to_owned(),
            fragment: url.fragment().map(str::to_owned),
            text: url.to_string(),
        }
    }

    fn called(&self) -> Called<'_> {
        Called {
            is_plain: self.is_plain,
            path: self.path.as_deref(),
            query: &self.query,
            fragment: self.fragment.as_deref(),
        }
    }
}

/// What HTTP has no place for in a target: the request is answered before it is one of ours.
fn is_unreadable(c: char) -> bool {
    matches!(c, ' ' | '"' | '<' | '>') || c.is_ascii_control()
}

/// What is told of a character that must be encoded.
fn unreadable(c: char) -> Told {
    let code = u32::from(c);
    Told {
        state: State::Fault,
        code: "unreadable_character",
        parameter: None,
        message: format!(
            "the URL holds `{}` as it is: a request like that is answered 400 without a body, and \
             no row tells of it",
            c.escape_default()
        ),
        hint: format!("write it as `%{code:02X}`"),
    }
}

/// What would become of it if it came now, just as it was pasted.
fn now(
    reader: &Reader,
    rulesets: &[Arc<Ruleset>],
    diagnosis: &Diagnosis<'_>,
    pasted: &Pasted,
) -> Result<Option<Explanation>, Failure> {
    let Some(found) = diagnosis.ruleset else {
        return Ok(None);
    };
    let (Some(rules), Ok(address)) = (
        rulesets.iter().find(|rules| rules.tenant() == found.tenant()),
        Address::read(&pasted.text, None),
    ) else {
        return Ok(None);
    };
    let request = address.arrival(rules).request;
    let explained = reader.explain(rules, &request, clock::now());
    let decision = explained.map_err(database::read_failure)?;
    Ok(Some(Explanation::of(&decision, rules)))
}

/// What is wrong, whether it arrived among it. Of one that arrived and was accepted nothing is said
/// of its proof, which may have been in a header, and was good.
fn findings(found: Vec<Finding>, stored: Option<&Stored>) -> Vec<Told> {
    let is_of_proof = |finding: &Finding| {
        matches!(
            finding,
            Finding::NotEncrypted { .. }
                | Finding::NoToken { .. }
                | Finding::NoSignature { .. }
                | Finding::SignedLongAgo { .. }
                | Finding::NeedsWebhook { .. }
        )
    };
    let accepted = stored.is_some_and(|stored| stored.arrivals.found.iter().any(is_accepted));
    // Beside a click id it may be another order.
    let is_taken = stored
        .and_then(|stored| stored.now.as_ref())
        .is_some_and(|now| now.outcome != Outcome::Refused);
    let state = |finding: &Finding| match finding {
        Finding::OtherCase { .. } if is_taken => State::Warning,
        _ => State::Fault,
    };
    let mut told: Vec<Told> = found
        .iter()
        .filter(|finding| !(accepted && is_of_proof(finding)))
        .map(|finding| Told {
            state: state(finding),
            code: finding.code(),
            parameter: finding.parameter().map(str::to_owned),
            message: finding.to_string(),
            hint: finding.hint(),
        })
        .collect();
    let Some(Stored { arrivals, begins, .. }) = stored.filter(|_| !accepted) else {
        return told;
    };
    let is_same = |arrived: &&Arrived| arrived.likeness.is_same();
    told.insert(
        0,
        match arrivals.found.iter().find(is_same) {
            Some(Arrived { request, .. }) => refused(request),
            None => not_arrived(arrivals, *begins),
        },
    );
    told
}

fn is_accepted(arrived: &Arrived) -> bool {
    arrived.likeness.is_same() && arrived.request.outcome != Outcome::Refused
}

fn refused(request: &RequestView) -> Told {
    let why = request.message.as_deref().unwrap_or_default();
    Told {
        state: State::Fault,
        code: "arrived_refused",
        parameter: request.parameter.as_deref().map(str::to_owned),
        message: format!("it arrived at {} and was refused: {why}", request.received_at),
        hint: request.hint.as_deref().unwrap_or("`counterfoil requests show` tells it all").into(),
    }
}

fn not_arrived(arrivals: &Arrivals, begins: Option<Timestamp>) -> Told {
    let requests = counted(arrivals.examined, "request");
    let back = arrivals.since.map(|at| format!(", back to {at}")).unwrap_or_default();
    let like = match arrivals.found.len() {
        0 => "nor is any like it",
        _ => "and what was found is only like it",
    };
    let none = format!("none of the newest {requests}{back} is the same, {like}");
    let message = match begins {
        None => format!("it has not arrived: {none}"),
        Some(at) => format!(
            "it has not arrived since the log begins, at {at}: {none}; what came earlier is pruned"
        ),
    };
    Told {
        state: State::Fault,
        code: "not_arrived",
        parameter: None,
        message,
        hint:
            "ask the sender for the time and for the answer that it got; look into the log of the \
               proxy; no log row here has what names no tenant, or is no request, what was told \
               429, and junk beyond what the log keeps \
               (`counterfoil_requests_unlogged_total` counts it)"
                .into(),
    }
}

fn is_fine(findings: &[Told]) -> bool {
    findings.iter().all(|told| told.state != State::Fault)
}

fn say(
    format: ListFormat,
    findings: &[Told],
    stored: Option<&Stored>,
    instead: Option<&Instead>,
) -> Result<(), Failure> {
    let fine = is_fine(findings);
    let arrivals = stored.map(|stored| &stored.arrivals);
    let found = || arrivals.into_iter().flat_map(|arrivals| &arrivals.found);
    if format == ListFormat::Json {
        let report = Report {
            fine,
            arrivals: found().map(Arrival::of).collect(),
            examined: stored.map(|Stored { arrivals, begins, .. }| Examined {
                requests: arrivals.examined,
                since: arrivals.since,
                log_begins: *begins,
            }),
            findings,
            not_decided: instead,
            now: stored.and_then(|stored| stored.now.as_ref()),
        };
        return output::say_json(&report);
    }
    found().flat_map(lines).try_for_each(output::say)?;
    findings.iter().flat_map(Told::lines).try_for_each(output::say)?;
    if let Some(now) = stored.and_then(|stored| stored.now.as_ref()) {
        output::say(format_args!("{STRONG}if it came now{STRONG:#}"))?;
        let lines = explained::lines(now).into_iter();
        lines.map(|line| format!("  {line}")).try_for_each(output::say)?;
    }
    if let Some(instead) = instead {
        output::say(format_args!("{STRONG}if it came now{STRONG:#}"))?;
        output::say(format_args!("  {}", visible(&instead.message)))?;
    }
    if fine {
        output::tell(format_args!("{GOOD}nothing is wrong with it{GOOD:#}"));
    }
    Ok(())
}

impl<'a> Arrival<'a> {
    fn of(arrived: &'a Arrived) -> Self {
        let Arrived { tenant, likeness, request } = arrived;
        Self { tenant: tenant.as_str(), likeness: likeness.code(), request }
    }
}

fn lines(arrived: &Arrived) -> Vec<String> {
    let Arrived { tenant, likeness, request } = arrived;
    let outcome = request.outcome;
    let style = if outcome == Outcome::Refused { MISTAKE } else { GOOD };
    let reason = request.reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    let (at, id, likeness) = (request.received_at, request.id, likeness.words());
    let word = if arrived.likeness.is_same() { "arrived" } else { "similar" };
    let mut lines = vec![
        format!("{STRONG}{word:<7}{STRONG:#}  {at}  {id}  {tenant}"),
        format!("         {likeness}: {style}{outcome}{style:#}{reason}"),
        format!("         {QUIET}{}{QUIET:#}", visible(&request.query)),
    ];
    let message = request.message.as_deref().filter(|_| outcome == Outcome::Refused);
    lines.extend(message.map(|message| format!("         {}", visible(message))));
    lines
}

impl Told {
    fn lines(&self) -> [String; 2] {
        let message = visible(&self.message);
        let (style, word) = match self.state {
            State::Fault => (MISTAKE, "wrong"),
            State::Fine | State::Warning => (SUSPICIOUS, "perhaps"),
        };
        [
            format!("{style}{word:<7}{style:#}  {message} ({})", self.code),
            format!("         {HINT}try{HINT:#}: {}", visible(&self.hint)),
        ]
    }
}
