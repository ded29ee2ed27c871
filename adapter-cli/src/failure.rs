//! Why a command could not do what it was asked to do: what, with which input, what to try.

use std::{fmt, path::Path};

use crate::{
    exit_code::ExitCode,
    output::{self, HINT, MISTAKE},
};

/// A command that could not finish. It is reported once, on stderr, by [`crate::run`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    what: String,
    hint: Option<String>,
    code: ExitCode,
}

impl Failure {
    /// It could not: exit code 1.
    pub(crate) fn could_not(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), hint: None, code: ExitCode::CouldNot }
    }

    /// The command line does not fit: exit code 2.
    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self { code: ExitCode::Usage, ..Self::could_not(what) }
    }

    /// The rules have mistakes, which were shown already: exit code 3.
    pub(crate) fn invalid_rules(errors: usize) -> Self {
        let mistakes = output::counted(errors, "mistake");
        Self {
            code: ExitCode::Negative,
            ..Self::could_not(format_args!("the rules have {mistakes}"))
        }
        .hint("correct what is listed above; `counterfoil check` tells it again")
    }

    /// A file could not be used.
    pub(crate) fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        Self::could_not(format_args!("cannot {doing} `{}`: {error}", path.display()))
    }

    /// What to try.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// What to try, where anything can be tried.
    pub(crate) fn to_try(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Tells it on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        output::tell(format_args!("{MISTAKE}error{MISTAKE:#}: {}", self.what));
        if let Some(hint) = &self.hint {
            output::tell(format_args!("  {HINT}try{HINT:#}: {hint}"));
        }
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
