//! The rules of a running server: at its start, and again when it is asked to read them; then its
//! certificate too.

use counterfoil_core::Ruleset;
use counterfoil_sqlite::{Installed, Rules, Store};

use super::{config::Settings, exposure};
use crate::{
    database, destinations,
    failure::Failure,
    rules_files::{self, RulesFile},
    secrets::Secrets,
};

/// Runs the rules of the files, or without files those that the database keeps. A stored version
/// that differs from its file is kept, and told.
///
/// # Errors
/// Where rules cannot be installed, or a secret that they name is missing or signs nothing.
pub(super) fn start_rules(
    store: &Store,
    files: &[RulesFile],
    settings: &Settings,
    secrets: &Secrets,
) -> Result<(), Failure> {
    require_secrets(files.iter().filter_map(RulesFile::rules), secrets)?;
    warn_of(files.iter().filter_map(RulesFile::rules), settings, secrets);
    if files.is_empty() {
        let stored = database::install_all(store, &[])?;
        if stored.is_empty() {
            return Err(Failure::could_not("the database keeps no rules yet")
                .hint("name rules files with --rules"));
        }
        require_secrets(stored.iter().map(|rules| &**rules.ruleset()), secrets)?;
        warn_of(stored.iter().map(|rules| &**rules.ruleset()), settings, secrets);
    }
    database::check_all(store, files)?;
    for file in files {
        let stored = newest_stored(store, file)?;
        let installed = database::install(store, file)?;
        tell_what_changed(file, stored, &installed);
    }
    warn_of_idle_tenants(store)
}

/// Reads the files again. Rules with mistakes change nothing: the ones before go on.
pub(super) fn again(store: &Store, settings: &Settings, secrets: &Secrets) {
    read_certificate_again(settings);
    if settings.rules_from_db {
        return tracing::warn!("the rules come from the database: there is no file to read again");
    }
    match read_again(store, settings, secrets) {
        Ok(versions) => tracing::info!(?versions, "the rules were read again"),
        Err(failure) => {
            failure.report();
            tracing::error!(%failure, "the rules were not replaced: the ones before go on");
        }
    }
}

fn read_certificate_again(settings: &Settings) {
    let Some(tls) = &settings.tls else {
        return;
    };
    match tls.reload() {
        Ok(()) => tracing::info!("the certificate was read again"),
        Err(error) => {
            tracing::error!(%error, "the certificate was not replaced: the one before goes on");
        }
    }
}

/// All files are checked before the first of them runs.
fn read_again(
    store: &Store,
    settings: &Settings,
    secrets: &Secrets,
) -> Result<Vec<String>, Failure> {
    let files = rules_files::load(&settings.rules)?;
    require_secrets(files.iter().filter_map(RulesFile::rules), secrets)?;
    warn_of(files.iter().filter_map(RulesFile::rules), settings, secrets);
    database::check_all(store, &files)?;
    let mut versions = Vec::new();
    for file in &files {
        let rules = database::install(store, file)?.rules;
        versions.push(format!("{} {}", rules.ruleset().tenant(), rules.version()));
    }
    Ok(versions)
}

/// The version that the database runs before a file is installed.
fn newest_stored(store: &Store, file: &RulesFile) -> Result<Option<u32>, Failure> {
    let Some(ruleset) = file.rules() else {
        return Ok(None);
    };
    let stored = store.reader().rules_text(ruleset.tenant(), None);
    let stored = stored.map_err(database::read_failure)?;
    Ok(stored.map(|stored| stored.version))
}

fn tell_what_changed(file: &RulesFile, stored: Option<u32>, installed: &Installed) {
    let rules: &Rules = &installed.rules;
    let (tenant, version) = (rules.ruleset().tenant(), rules.version());
    match stored {
        Some(stored) if stored != version && installed.is_new => tracing::info!(
            %tenant, version, stored, file = %file.path.display(),
            "the rules file has changed: its version runs, the stored one is kept"
        ),
        // Perhaps the newer one was installed over the admin listener, and is not meant to end.
        Some(stored) if stored != version => tracing::warn!(
            %tenant, version, stored, file = %file.path.display(),
            "the rules file is older than the stored rules: its version runs, theirs is kept"
        ),
        _ => tracing::info!(%tenant, version, "these rules run"),
    }
}

/// Tenants that have rows and no rules here are told, so that nobody forgets a file.
fn warn_of_idle_tenants(store: &Store) -> Result<(), Failure> {
    let stored = store.reader().tenants();
    for tenant in stored.map_err(database::read_failure)? {
        if store.rules(tenant.as_str()).is_none() {
            tracing::warn!(%tenant, "a stored tenant is not served: no rules file has it");
        }
    }
    Ok(())
}

fn warn_of<'a>(
    rulesets: impl Iterator<Item = &'a Ruleset> + Clone,
    settings: &Settings,
    secrets: &Secrets,
) {
    warn_of_refused(rulesets.clone(), settings);
    for (what, hint) in secrets.oddities(rulesets.clone().flat_map(Ruleset::secrets)) {
        tracing::warn!(hint, "{what}");
    }
    exposure::warn_of(&exposure::of_rules(rulesets, settings.listening()));
}

/// Destinations that are going to be refused are told before the first message dies of it.
fn warn_of_refused<'a>(rulesets: impl Iterator<Item = &'a Ruleset>, settings: &Settings) {
    for ruleset in rulesets {
        for issue in destinations::warnings(ruleset, &settings.allowed) {
            let (tenant, path, message) = (ruleset.tenant(), &issue.path, &issue.message);
            tracing::warn!(%tenant, path, hint = issue.hint, "{message}");
        }
    }
}

fn require_secrets<'a>(
    rulesets: impl Iterator<Item = &'a Ruleset> + Clone,
    secrets: &Secrets,
) -> Result<(), Failure> {
    match secrets.problems(rulesets).first() {
        None => Ok(()),
        Some(problem) => Err(Failure::could_not(problem).hint(problem.hint())),
    }
}
