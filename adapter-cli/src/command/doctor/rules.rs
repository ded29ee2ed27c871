//! Rules, and the secrets that they name.

use std::sync::Arc;

use counterfoil_core::{Ruleset, Severity};
use counterfoil_sqlite::Reader;

use super::{Finding, Settings};
use crate::{
    command::serve::exposure,
    database,
    rules_files::{self, RulesFile},
    secrets::Secrets,
};

const RULES: &str = "rules";
const SECRETS: &str = "secrets";

/// Looks at the rules of the files, or else at those that the database keeps; returns those that
/// have no mistakes.
pub(super) fn look(settings: &Settings) -> (Vec<Finding>, Vec<Arc<Ruleset>>) {
    let (mut findings, rulesets) = match (settings.rules.as_slice(), &settings.db) {
        ([], Some(db)) if db.exists() => match database::look(db) {
            Ok(reader) => stored(&reader),
            // The database's own part tells it.
            Err(_) => Default::default(),
        },
        ([], _) => Default::default(),
        (paths, _) => match rules_files::read(paths) {
            Ok(files) => of_files(&files, settings),
            Err(failure) => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                (vec![Finding::failed(RULES, paths.join(", "), &failure)], Vec::new())
            }
        },
    };
    let open = exposure::of_rules(rulesets.iter().map(|rules| &**rules), settings.listening);
    let warning =
        |open: exposure::Exposure| Finding::warning(RULES, open.about, open.what).hint(open.hint);
    findings.extend(open.into_iter().map(warning));
    (findings, rulesets)
}

fn of_files(files: &[RulesFile], settings: &Settings) -> (Vec<Finding>, Vec<Arc<Ruleset>>) {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(issues(file));
        if let Some(rules) = file.rules().filter(|_| file.errors() == 0) {
            let message = format!("the rules of the tenant `{}` are valid", rules.tenant());
            findings.push(Finding::fine(RULES, file.path.display(), message));
        }
    }
    if let Some(Ok(reader)) = settings.db.as_deref().filter(|db| db.exists()).map(database::look) {
        findings.extend(files.iter().filter_map(|file| compare(&reader, file)));
    }
    let rulesets = files.iter().filter(|file| file.errors() == 0).filter_map(RulesFile::rules);
    (findings, rulesets.cloned().map(Arc::new).collect())
}

fn issues(file: &RulesFile) -> impl Iterator<Item = Finding> {
    file.issues.iter().map(|issue| {
        let path = file.path.display();
        let about = match issue.position {
            Some((line, column)) => format!("{path}:{line}:{column}"),
            None => path.to_string(),
        };
        let at = if issue.path.is_empty() { String::new() } else { format!("{}: ", issue.path) };
        let message = format!("{at}{}", issue.message);
        let finding = match issue.severity {
            Severity::Error => Finding::fault(RULES, about, message),
            Severity::Warning => Finding::warning(RULES, about, message),
        };
        Finding { hint: issue.hint.clone(), ..finding }
    })
}

/// A file and what the database keeps of its tenant: a server runs the latter.
fn compare(reader: &Reader, file: &RulesFile) -> Option<Finding> {
    let rules = file.rules()?;
    let about = file.path.display();
    if let Err(error) = reader.check_rules(rules) {
        let finding = Finding::fault(RULES, about, error);
        return Some(finding.hint("keep the currency, or start with another database"));
    }
    let stored = reader.rules_text(rules.tenant(), None).ok()??;
    let differs = stored.text != file.text;
    differs.then(|| {
        let message = format!(
            "the database runs version {} of these rules, which is another text",
            stored.version
        );
        Finding::warning(RULES, about, message)
            .hint("start the server anew, or send it SIGHUP, for the file to count")
    })
}

fn stored(reader: &Reader) -> (Vec<Finding>, Vec<Arc<Ruleset>>) {
    let mut findings = Vec::new();
    let mut rulesets = Vec::new();
    let tenants = match reader.tenants() {
        Ok(tenants) => tenants,
        Err(error) => return (vec![Finding::fault(RULES, "the database", error)], rulesets),
    };
    if tenants.is_empty() {
        let finding = Finding::warning(RULES, "the database", "it keeps no rules yet");
        findings.push(finding.hint("start a server on it with --rules PATH"));
    }
    for tenant in tenants {
        let about = format!("the stored rules of `{tenant}`");
        match reader.rules(&tenant, None) {
            Ok(Some(rules)) => {
                let message = format!("version {} is valid", rules.version());
                findings.push(Finding::fine(RULES, about, message));
                rulesets.push(Arc::clone(rules.ruleset()));
            }
            Ok(None) => findings.push(
                Finding::fault(RULES, about, "this version finds mistakes in them")
                    .hint("`counterfoil check` on the file tells them; correct it and serve it"),
            ),
            Err(error) => findings.push(Finding::fault(RULES, about, error)),
        }
    }
    (findings, rulesets)
}

/// Looks at the secrets that rules name, and at the administrators' token.
pub(super) fn secrets(settings: &Settings, rulesets: &[Arc<Ruleset>]) -> Vec<Finding> {
    let folder = settings.secrets.as_ref().map(|folder| folder.display().to_string());
    let about = folder.unwrap_or_else(|| "the environment".to_owned());
    let secrets = match Secrets::new(settings.secrets.clone()) {
        Ok(secrets) => secrets,
        Err(failure) => return vec![Finding::failed(SECRETS, about, &failure)],
    };
    let rulesets = || rulesets.iter().map(|rules| &**rules);
    let mut findings: Vec<Finding> = secrets
        .problems(rulesets())
        .iter()
        .map(|problem| Finding::fault(SECRETS, &about, problem).hint(problem.hint()))
        .collect();
    let odd = secrets.oddities(rulesets().flat_map(Ruleset::secrets));
    let warning = |(message, hint)| Finding::warning(SECRETS, &about, message).hint(hint);
    findings.extend(odd.into_iter().map(warning));
    findings.extend(match secrets.admin_token() {
        Ok(Some(_)) => None,
        Ok(None) => Some(
            Finding::warning(
                SECRETS,
                &about,
                "there is no secret `admin_token`: each start makes one",
            )
            .hint("set COUNTERFOIL_SECRET_ADMIN_TOKEN, or write a file of that name"),
        ),
        Err(failure) => Some(Finding::failed(SECRETS, &about, &failure)),
    });
    if findings.is_empty() {
        let count =
            rulesets().flat_map(Ruleset::secrets).collect::<std::collections::BTreeSet<_>>();
        let message = format!("all can be had: {} of the rules, and `admin_token`", count.len());
        findings.push(Finding::fine(SECRETS, about, message));
    }
    findings
}
