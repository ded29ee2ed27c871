//! How a command ends: a documented part of the interface.

use std::process;

/// The exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitCode {
    /// The command did what it was asked to do.
    Done,
    /// It could not: a file is missing, a database is locked, a port is taken.
    CouldNot,
    /// The command line is wrong.
    Usage,
    /// It did, and the answer is negative: the rules are invalid, a scenario failed, the request
    /// was refused, a replay differs, the doctor found a fault.
    Negative,
    /// It was interrupted before it had finished.
    Interrupted,
}

impl ExitCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Done, Self::CouldNot, Self::Usage, Self::Negative, Self::Interrupted];

    /// The number that the process ends with.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CouldNot => 1,
            Self::Usage => 2,
            Self::Negative => 3,
            Self::Interrupted => 130,
        }
    }

    /// What it means, in a sentence without a full stop.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::CouldNot => "could not: the message on stderr says what, and what to try",
            Self::Usage => "usage: the command line is wrong",
            Self::Negative => {
                "the answer is negative: rules invalid, scenario failed, request refused, replay \
                 differs, the doctor found a fault"
            }
            Self::Interrupted => "interrupted before it had finished",
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}
