//! Rules files: one file for each tenant, given one by one or as folders of them.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use counterfoil_core::{Issue, Ruleset, RulesetSpec, Severity};
use counterfoil_http::IpNet;

use crate::{
    destinations,
    failure::Failure,
    named_files::{self, Kind, Unread, is_json},
    output::{self, HINT, MISTAKE, QUIET, STRONG, SUSPICIOUS},
    secrets::{SecretError, Secrets},
};

/// A rules file as it was found: its text, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct RulesFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
    ruleset: Option<Ruleset>,
    /// Mistakes and warnings.
    pub(crate) issues: Vec<Issue>,
}

/// Reads all rules files of `paths`: files as they are, folders for the rules in
/// them.
///
/// # Errors
/// Where a file cannot be read or there is none. Mistakes in rules are no error here.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<RulesFile>, Failure> {
    let (files, unread) = read_each(paths)?;
    unread.into_iter().next().map_or(Ok(files), |unread| Err(unread.failure))
}

/// The same, whatever cannot be read: that comes beside the files.
///
/// # Errors
/// Where there is no file.
pub(crate) fn read_each(paths: &[PathBuf]) -> Result<(Vec<RulesFile>, Vec<Unread>), Failure> {
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    for found in named_files::gather(paths, Kind::Rules) {
        match found.and_then(read_file) {
            Ok(file) => files.push(file),
            Err(one) => unread.push(one),
        }
    }
    if files.is_empty() && unread.is_empty() {
        return Err(Failure::usage("there is no rules file to read")
            .hint("name a file such as rules.toml, or a folder with .toml or .json files"));
    }
    refuse_shared_tenants(&mut files);
    Ok((files, unread))
}

/// Reads rules that a command is going to use: warnings are told, mistakes end it.
///
/// # Errors
/// As [`read`], and where there are mistakes.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Vec<RulesFile>, Failure> {
    let files = read(paths)?;
    for file in &files {
        file.lines().iter().for_each(output::tell);
    }
    match files.iter().map(RulesFile::errors).sum() {
        0 => Ok(files),
        errors => Err(Failure::invalid_rules(errors)),
    }
}

impl RulesFile {
    /// The rules, unless there are mistakes.
    pub(crate) fn rules(&self) -> Option<&Ruleset> {
        self.ruleset.as_ref()
    }

    /// How many mistakes there are.
    pub(crate) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub(crate) fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    fn count(&self, severity: Severity) -> usize {
        let counted = |issue: &&Issue| issue.severity == severity;
        self.issues.iter().filter(counted).count()
    }

    /// Looks up the secrets that the rules name: what is missing is a warning, a clash
    /// and what should sign and cannot are mistakes.
    pub(crate) fn check_secrets(&mut self, secrets: &Secrets) {
        let Some(ruleset) = &self.ruleset else {
            return;
        };
        let issue = |problem: SecretError| Issue {
            severity: match problem {
                SecretError::Clash { .. } | SecretError::NoSigningKey { .. } => Severity::Error,
                _ => Severity::Warning,
            },
            position: None,
            path: String::new(),
            message: problem.to_string(),
            hint: Some(problem.hint()),
        };
        let problems = secrets.problems(std::iter::once(ruleset));
        self.issues.extend(problems.into_iter().map(issue));
    }

    /// Warns of destinations that a server refuses, but for those in the networks given.
    pub(crate) fn check_destinations(&mut self, allowed: &[IpNet]) {
        if let Some(ruleset) = &self.ruleset {
            self.issues.extend(destinations::warnings(ruleset, allowed));
        }
    }

    /// Its issues for people, mistakes first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut issues: Vec<&Issue> = self.issues.iter().collect();
        issues.sort_by_key(|issue| (issue.severity, issue.position));
        issues.iter().map(|issue| self.line(issue)).collect()
    }

    fn line(&self, issue: &Issue) -> String {
        let place = match issue.position {
            Some((line, column)) => format!("{}:{line}:{column}", self.path.display()),
            None => self.path.display().to_string(),
        };
        let (style, word) = match issue.severity {
            Severity::Error => (MISTAKE, "error"),
            Severity::Warning => (SUSPICIOUS, "warning"),
        };
        let message = &issue.message;
        let mut line = format!("{STRONG}{place}{STRONG:#}: {style}{word}{style:#}: {message}");
        if !issue.path.is_empty() {
            line.push_str(&format!("\n    {QUIET}at{QUIET:#}: {}", issue.path));
        }
        if let Some(hint) = &issue.hint {
            line.push_str(&format!("\n    {HINT}try{HINT:#}: {hint}"));
        }
        line
    }
}

fn read_file(path: PathBuf) -> Result<RulesFile, Unread> {
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let failure = unreadable(&path, &error);
            return Err(Unread { path, failure });
        }
    };
    let spec =
        if is_json(&path) { RulesetSpec::from_json(&text) } else { RulesetSpec::from_toml(&text) };
    let (ruleset, issues) = match spec.and_then(Ruleset::check) {
        Ok((ruleset, warnings)) => (Some(ruleset), warnings),
        Err(issues) => (None, issues),
    };
    Ok(RulesFile { path, text, ruleset, issues })
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::file("read", path, error);
    match error.kind() {
        io::ErrorKind::InvalidData => failure.hint("save the file as UTF-8"),
        _ => failure,
    }
}

/// One tenant, one file: a second one is a mistake, told at the second.
fn refuse_shared_tenants(files: &mut [RulesFile]) {
    let mut first_of: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        let Some(ruleset) = &file.ruleset else {
            continue;
        };
        let tenant = ruleset.tenant().as_str();
        if let Some(first) = first_of.get(tenant) {
            file.issues.push(Issue {
                severity: Severity::Error,
                position: None,
                path: "tenant".to_owned(),
                message: format!("the tenant `{tenant}` is in `{}` too", first.display()),
                hint: Some("keep one file for each tenant".to_owned()),
            });
            continue;
        }
        first_of.insert(tenant.to_owned(), file.path.clone());
    }
}
