//! Versions of rules: every text that was ever installed is kept, and each stored decision names
//! the version that made it.

use std::sync::Arc;

use counterfoil_core::{Currency, Issue, Ruleset, TenantName, Timestamp};

/// The language of a rules text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesFormat {
    /// TOML
    Toml,
    /// JSON
    Json,
}

/// An installed version of a tenant's rules: what requests are read and decided with.
#[derive(Debug)]
pub struct Rules {
    pub(crate) tenant: i64,
    pub(crate) version: u32,
    pub(crate) ruleset: Ruleset,
}

impl Rules {
    /// The version: 1 for the first text of the tenant, and so on.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The rules.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }
}

/// A stored version of a tenant's rules, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesVersion {
    /// The version.
    pub version: u32,
    /// The language of the text.
    pub format: RulesFormat,
    /// The text, as it was installed.
    pub text: String,
    /// When it was installed first.
    pub installed_at: Timestamp,
}

/// Why rules were not installed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The rules have mistakes: these, and warnings.
    #[error("the rules have mistakes")]
    Invalid(Vec<Issue>),
    /// The rules are for another tenant than the one that was asked for.
    #[error("the rules are for the tenant `{found}`, not for `{expected}`")]
    OtherTenant {
        /// The tenant in the rules.
        found: TenantName,
        /// The tenant that was asked for.
        expected: TenantName,
    },
    /// The tenant has conversions in another currency (R34).
    #[error(
        "the tenant `{tenant}` has conversions in {from}, so its currency cannot become {to}; \
         start a new tenant for {to}"
    )]
    CurrencyChange {
        /// The tenant.
        tenant: TenantName,
        /// The currency of what is stored.
        from: Currency,
        /// The currency of the new rules.
        to: Currency,
    },
    /// The store could not write; see [`crate::SubmitError`].
    #[error(transparent)]
    Store(#[from] crate::SubmitError),
}

/// What an installation did.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The rules that decide from now on.
    pub rules: Arc<Rules>,
    /// The version that decided before, where another did.
    pub replaced: Option<u32>,
    /// Whether the text is new to the database.
    pub is_new: bool,
    /// What is suspicious about the rules.
    pub warnings: Vec<Issue>,
}
