//! Rules files: text in, checked rules out, every mistake at once.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::ruleset::Ruleset;

/// A rules file after its syntax was read: a tree that still knows where everything stood.
#[derive(Clone, Debug)]
pub struct RulesetSpec {
    _tree: (),
}

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The rules cannot be used.
    Error,
    /// Legal, but suspicious.
    Warning,
}

/// One thing that is wrong with a rules file, or suspicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the text: line and column from 1, where the parser knows.
    pub position: Option<(u32, u32)>,
    /// The path, as in `commission[2].payout`; empty for the whole file.
    pub path: String,
    /// What is wrong, without a full stop, input in backticks.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl RulesetSpec {
    /// Reads TOML.
    ///
    /// # Errors
    /// All mistakes of syntax.
    pub fn from_toml(text: &str) -> Result<Self, Vec<Issue>> {
        let _ = text;
        Err(Vec::new())
    }

    /// Reads JSON of the same shape.
    ///
    /// # Errors
    /// The mistake of syntax.
    pub fn from_json(text: &str) -> Result<Self, Vec<Issue>> {
        let _ = text;
        Err(Vec::new())
    }
}

impl Ruleset {
    /// Checks everything and makes the rules; warnings beside them.
    ///
    /// # Errors
    /// All errors and warnings.
    pub fn check(spec: RulesetSpec) -> Result<(Self, Vec<Issue>), Vec<Issue>> {
        let _ = spec;
        Err(Vec::new())
    }
}
