//! Where a postback goes: its path, and whose rules it meets there.

use alloc::{format, string::String, vec::Vec};

use super::{Called, Finding};
use crate::{dialects::DIALECTS, nearest::nearest, ruleset::Ruleset};

/// Whose rules a postback meets, and the dialect that its path names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'r, 'p> {
    pub(super) ruleset: Option<&'r Ruleset>,
    pub(super) dialect: Option<&'p str>,
}

/// Path and query, also where the question mark is missing between them.
pub(super) fn split<'a>(
    called: &Called<'a>,
    findings: &mut Vec<Finding>,
) -> (Option<&'a str>, &'a str) {
    match called.path.and_then(|path| path.split_once('&')) {
        Some((path, query)) if called.query.is_empty() => {
            findings.push(Finding::NoQuestionMark);
            (Some(path), query)
        }
        _ => (called.path, called.query),
    }
}

/// Finds the rules, and tells what is wrong with the path.
pub(super) fn find<'r: 'p, 'p>(
    rulesets: &[&'r Ruleset],
    wanted: Option<&str>,
    path: Option<&'p str>,
    findings: &mut Vec<Finding>,
) -> Place<'r, 'p> {
    let named = |name: &str| rulesets.iter().copied().find(|rules| rules.tenant().as_str() == name);
    let only = || match rulesets {
        [only] => Some(*only),
        _ => None,
    };
    let ruleset = wanted.and_then(named).or_else(only);
    let Some(path) = path else {
        return Place { ruleset, dialect: None };
    };
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (tenant, dialect) = match segments.as_slice() {
        ["api", tenant, "postbacks", "handle"] | ["api", tenant, "pixel.gif"] => (*tenant, None),
        ["api", tenant, "postbacks", dialect] => (*tenant, Some(*dialect)),
        ["c", _, _, _] => {
            findings.push(Finding::AffiliateLink);
            return Place { ruleset, dialect: None };
        }
        _ => return meant(rulesets, ruleset, path, findings),
    };
    let names = || rulesets.iter().map(|rules| rules.tenant().as_str());
    let ruleset = named(tenant).or_else(|| {
        let close = nearest(tenant, names()).and_then(named).or_else(only);
        if !rulesets.is_empty() {
            let meant = close.map(|rules| rules.tenant().clone());
            findings.push(Finding::UnknownTenant { given: tenant.into(), meant });
        }
        close
    });
    Place { ruleset, dialect }
}

/// What a path that is none of ours was probably meant to be, by the segments that are ours.
fn meant<'r: 'p, 'p>(
    rulesets: &[&'r Ruleset],
    otherwise: Option<&'r Ruleset>,
    path: &str,
    findings: &mut Vec<Finding>,
) -> Place<'r, 'p> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let has = |name: &str| segments.iter().any(|segment| segment.eq_ignore_ascii_case(name));
    let of_path = rulesets.iter().copied().find(|rules| has(rules.tenant().as_str()));
    let ruleset = of_path.or(otherwise);
    let own = ruleset.map(Ruleset::dialects).unwrap_or_default().iter().map(|dialect| &**dialect);
    let mut foreign = own.chain(DIALECTS).filter(|dialect| !dialect.is_native());
    let dialect = foreign.find(|dialect| has(&dialect.name)).map(|dialect| &*dialect.name);
    let tenant = ruleset.map_or("{tenant}", |rules| rules.tenant().as_str());
    let meant: String = if has("pixel.gif") || has("pixel") {
        format!("/api/{tenant}/pixel.gif")
    } else {
        format!("/api/{tenant}/postbacks/{}", dialect.unwrap_or("handle"))
    };
    findings.push(Finding::WrongPath { path: path.into(), meant: meant.into() });
    Place { ruleset, dialect }
}
