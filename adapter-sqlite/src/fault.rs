//! What goes wrong inside a transaction, and whose fault it is.

use rusqlite::ErrorCode;

use crate::blobs::BlobError;

/// Why a statement or a row failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
    #[error("{0}")]
    Open(crate::OpenError),
    /// A row does not hold what this version writes.
    #[error("a row cannot be read: {0}")]
    Row(String),
    /// An external id was asked for alone, and means several visitors (R14).
    #[error("`{external_id}` is known of several advertisers")]
    SeveralAdvertisers { external_id: String, advertisers: Vec<Box<str>> },
    /// The core failed where it must not.
    #[error("the decision panicked")]
    Panic,
}

impl Fault {
    /// Whether the disk or the machine is at fault rather than a request: everyone waits then.
    pub(crate) fn is_of_the_machine(&self) -> bool {
        match self {
            Self::Random(_) | Self::Open(_) => true,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::ReadOnly
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::FileLockingProtocolFailed
                        | ErrorCode::OutOfMemory
                        | ErrorCode::DatabaseCorrupt
                        | ErrorCode::NotADatabase
                )
            ),
            Self::Blob(_) | Self::Row(_) | Self::SeveralAdvertisers { .. } | Self::Panic => false,
        }
    }
}

/// A column whose text or number is none of what this version writes.
pub(crate) fn bad(column: &str, value: impl std::fmt::Display) -> Fault {
    Fault::Row(format!("`{value}` in {column}"))
}
