//! Reading beside the writer: a few connections that cannot write.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use counterfoil_core::{
    ConversionId, Request, RequestId, Ruleset, TenantName, Timestamp, TransactionId,
    view::{ConversionView, Filter, Page, RequestView, TransactionView},
};

use crate::{
    open::OpenError,
    rules::{Rules, RulesVersion},
    store::Known,
};

/// Reads a database, beside whoever owns it. Every read is short and sees one committed state.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// SQLite failed.
    #[error("the database cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A row does not hold what this version writes.
    #[error("the database holds a row that cannot be read: {0}")]
    Row(String),
    /// The cursor is none that a page has named.
    #[error("`{0}` is no cursor: pass `next_cursor` of the page before")]
    Cursor(String),
}

/// An auto-set that waits for its time (R35).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The tenant.
    pub tenant: TenantName,
    /// The transaction; submit [`Request::AutoSet`] with it.
    pub transaction_id: TransactionId,
    /// When it is due.
    pub at: Timestamp,
}

/// A copy that was made and verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Conversions in it.
    pub conversions: u64,
    /// Transactions in it.
    pub transactions: u64,
    /// Log rows in it.
    pub requests: u64,
    /// Its size.
    pub bytes: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is a file already.
    #[error("`{0}` exists already; choose another name")]
    Exists(PathBuf),
    /// The copy is not what it should be; it was removed.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
    /// The file system failed.
    #[error("the copy cannot be written")]
    Io(#[from] io::Error),
    /// SQLite failed.
    #[error("the copy cannot be made: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What replaying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Requests that were decided again.
    pub requests: u64,
    /// Clicks that were made again.
    pub clicks: u64,
    /// What came out differently, the first [`ReplayReport::DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many differences there are in all.
    pub differences_total: u64,
}

impl ReplayReport {
    /// The most differences that are listed.
    pub const DIFFERENCES_MAX: usize = 1000;
}

/// One thing that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The request, conversion or transaction.
    pub id: String,
    /// What differs: `outcome`, `conversion`, `transaction`, `reason`.
    pub what: &'static str,
    /// What is stored.
    pub stored: String,
    /// What came out.
    pub decided: String,
}

impl Reader {
    /// Opens a database for reading, beside a running server or alone.
    ///
    /// # Errors
    /// Where there is none, or it is of another version or something else.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Looks up what the writer would otherwise have to: the root of the request's pcid. Absent
    /// where there is none yet; the writer looks again.
    pub fn known(&self, rules: &Rules, request: &Request) -> Option<Known> {
        let _ = (rules, request, &self.path);
        Known::pcid_of(request).map(|_| ())?;
        None
    }

    /// Decides without writing: what would become of the request now.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn explain(
        &self,
        tenant: &TenantName,
        ruleset: &Ruleset,
        request: &Request,
        at: Timestamp,
    ) -> Result<Explained, ReadError> {
        let _ = (tenant, ruleset, request, at);
        Err(ReadError::Row(String::new()))
    }

    /// The tenants of the database, by name.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn tenants(&self) -> Result<Vec<TenantName>, ReadError> {
        Ok(Vec::new())
    }

    /// The newest rules of a tenant, or those of a version, as text.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn rules_text(
        &self,
        tenant: &TenantName,
        version: Option<u32>,
    ) -> Result<Option<RulesVersion>, ReadError> {
        let _ = (tenant, version);
        Ok(None)
    }

    /// The rules of a version, or the ones that decided last, checked.
    ///
    /// # Errors
    /// Where the database cannot be read, or the text is invalid in this version.
    pub fn rules(
        &self,
        tenant: &TenantName,
        version: Option<u32>,
    ) -> Result<Option<Arc<Rules>>, ReadError> {
        let _ = (tenant, version);
        Ok(None)
    }

    /// A page of conversions, newest first. A page may have fewer rows than asked for, even none,
    /// and still a `next_cursor`: a page looks at a bounded number of rows.
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn conversions(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, ReadError> {
        let _ = (tenant, filter);
        Err(ReadError::Row(String::new()))
    }

    /// One conversion with its transactions.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn conversion(
        &self,
        tenant: &TenantName,
        id: ConversionId,
    ) -> Result<Option<ConversionView>, ReadError> {
        let _ = (tenant, id);
        Ok(None)
    }

    /// A page of transactions, newest first; see [`Reader::conversions`].
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn transactions(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, ReadError> {
        let _ = (tenant, filter);
        Err(ReadError::Row(String::new()))
    }

    /// One transaction.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn transaction(
        &self,
        tenant: &TenantName,
        id: TransactionId,
    ) -> Result<Option<TransactionView>, ReadError> {
        let _ = (tenant, id);
        Ok(None)
    }

    /// A page of log rows, newest first; see [`Reader::conversions`].
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn requests(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<RequestView>, ReadError> {
        let _ = (tenant, filter);
        Err(ReadError::Row(String::new()))
    }

    /// One log row.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn request(
        &self,
        tenant: &TenantName,
        id: RequestId,
    ) -> Result<Option<RequestView>, ReadError> {
        let _ = (tenant, id);
        Ok(None)
    }

    /// Auto-sets that are due by `now`, the earliest first (R35).
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn due_auto_sets(&self, now: Timestamp, limit: u32) -> Result<Vec<Due>, ReadError> {
        let _ = (now, limit);
        Ok(Vec::new())
    }

    /// When the next auto-set is due, over all tenants.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn next_auto_set(&self) -> Result<Option<Timestamp>, ReadError> {
        Ok(None)
    }

    /// Copies the database as it is now, while others write, and verifies the copy (P12).
    ///
    /// # Errors
    /// Where the file exists, cannot be written, or is not a true copy.
    pub fn backup(&self, to: &Path) -> Result<BackupReport, BackupError> {
        Err(BackupError::Exists(to.to_owned()))
    }

    /// Decides everything that is stored again, each with its version of the rules, in a temporary
    /// database, and compares.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn replay(&self) -> Result<ReplayReport, ReadError> {
        Ok(ReplayReport::default())
    }
}

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The decision.
    pub decision: counterfoil_core::Decision,
    /// The root of the conversion that it is about.
    pub root: Option<counterfoil_core::Root>,
}
