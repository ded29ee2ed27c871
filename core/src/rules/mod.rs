//! Rules files: text in, checked rules out, every mistake at once. What a file can say is told at
//! [`RulesetSpec`].
//!
//! Text becomes a tree that knows where everything stood ([`RulesetSpec`], `tree`), or mistakes of
//! syntax with their hints (`syntax`). `names` knows the kinds of definitions with their keys, and
//! collects all ids before anything refers to them, so a definition with a mistake does not make
//! everything that names it a mistake too. The readers (`parties`, `commission`, `dialect`,
//! `postback`, `tracking_api`, `privacy`) walk the rest, each value once, with `item`, which reads
//! one value of any kind. What senders must prove is read by `auth`, outbound requests by `call`,
//! with `url`, `body` and `template`. Readers never stop at a mistake: it goes to one list, and the
//! reader yields nothing for it. Only where nothing was wrong there is a [`Ruleset`]; then
//! `warnings` looks at it as a whole.

mod auth;
mod body;
mod call;
mod commission;
mod dialect;
mod item;
mod names;
mod parties;
mod postback;
mod privacy;
mod syntax;
mod template;
mod tracking_api;
mod tree;
mod url;
mod warnings;

use alloc::{string::String, vec::Vec};
use core::fmt;

use self::{
    item::{Issues, Item, Table},
    names::Names,
    tree::Node,
};
use crate::{
    ruleset::{BUILT_IN_POSTBACK, GLOBAL_POSTBACK, PostbackDefinition, Ruleset, global_spoken},
    token::{PostbackId, SecretName, TenantName},
};

/// A rules file after its syntax was read: a tree that still knows where everything stood.
///
#[doc = include_str!("../../docs/rules.md")]
#[derive(Clone, Debug)]
pub struct RulesetSpec {
    root: Node,
}

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rules cannot be used.
    Error,
    /// Legal, but suspicious.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong with a rules file, or suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the text: line and column from 1, where the parser knows.
    pub position: Option<(u32, u32)>,
    /// The path, as in `commission[2].payout` (lists count from 0, as in JSON paths); empty for
    /// the whole file.
    pub path: String,
    /// What is wrong, without a full stop, input in backticks.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.severity)?;
        match (self.path.as_str(), self.position) {
            ("", None) => {}
            ("", Some((line, column))) => write!(f, "line {line}, column {column}: ")?,
            (path, None) => write!(f, "{path}: ")?,
            (path, Some((line, column))) => {
                write!(f, "{path} (line {line}, column {column}): ")?;
            }
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl RulesetSpec {
    /// Reads TOML.
    ///
    /// # Errors
    /// All mistakes of syntax.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Issue>> {
        tree::from_toml(text).map(|root| Self { root })
    }

    /// Reads JSON of the same shape.
    ///
    /// # Errors
    /// The first mistake of syntax.
    pub fn from_json(text: &str) -> Result<Self, Vec<Issue>> {
        tree::from_json(text).map(|root| Self { root })
    }
}

impl Ruleset {
    /// Checks everything and makes the rules; warnings beside them.
    ///
    /// # Errors
    /// All errors, then the warnings that could be found beside them.
    pub fn check(spec: RulesetSpec) -> Result<(Self, Vec<Issue>), Vec<Issue>> {
        let issues = Issues::default();
        let root = Item::root(&spec.root, &issues);
        let ruleset = read(&root, &issues);
        drop(root);
        let issues = issues.sorted();
        match ruleset {
            Some(ruleset) => Ok((ruleset, issues)),
            None => Err(issues),
        }
    }
}

/// The keys at the top of the file.
const KEYS: [&str; 13] = [
    "tenant",
    "currency",
    "api_tokens",
    "conversion_type",
    "advertiser",
    "affiliate",
    "offer",
    "commission",
    "dialect",
    "postback",
    "tracking_api",
    "exchange_rate",
    "privacy",
];

/// Reads everything, whatever is wrong on the way; nothing where something was.
fn read(root: &Item<'_>, issues: &Issues) -> Option<Ruleset> {
    let file = root.table(&KEYS, &[])?;
    let tenant = file.required("tenant", "tenant = \"acme\"");
    let tenant = tenant.and_then(|item| item.token(TenantName::new));
    let currency = file.required("currency", "currency = \"EUR\"");
    let currency = currency.and_then(|item| item.currency());
    let api_tokens = secrets(&file);
    let names = Names::collect(&file);
    parties::check_types(&names);
    let advertisers = parties::advertisers(&names);
    let affiliates = parties::affiliates(&names);
    let offers = parties::offers(&names);
    let commissions = commission::commissions(&names, currency);
    let dialects = dialect::dialects(&names);
    let postbacks = with_global(postback::postbacks(&names, &dialects));
    let tracking_apis = tracking_api::tracking_apis(&names);
    let exchange_rates = parties::exchange_rates(&file, currency);
    let privacy = privacy::privacy(&file, tenant.as_ref());
    if issues.any_error() {
        return None;
    }
    let postbacks = postbacks?;
    let ruleset = Ruleset {
        tenant: tenant?,
        currency: currency?,
        conversion_types: names.types.ids().cloned().collect(),
        advertisers,
        affiliates,
        offers,
        commissions,
        global_spoken: global_spoken(&postbacks, &dialects),
        dialects,
        postbacks,
        built_in: PostbackDefinition::open(PostbackId::new(BUILT_IN_POSTBACK).ok()?),
        exchange_rates,
        tracking_apis,
        api_tokens,
        privacy: privacy?,
    };
    warnings::warn(&names, &ruleset);
    Some(ruleset)
}

/// The secrets that `api_tokens` names.
fn secrets(table: &Table<'_>) -> Vec<SecretName> {
    let list = table.get("api_tokens").and_then(|item| item.list());
    let items = list.unwrap_or_default();
    items.iter().filter_map(Item::secret).collect()
}

/// The global postback exists unless the rules redefine or remove it; then it comes last.
fn with_global(mut postbacks: Vec<PostbackDefinition>) -> Option<Vec<PostbackDefinition>> {
    let global = PostbackId::new(GLOBAL_POSTBACK).ok()?;
    if !postbacks.iter().any(|definition| definition.id == global) {
        postbacks.push(PostbackDefinition::open(global));
    }
    Some(postbacks)
}
