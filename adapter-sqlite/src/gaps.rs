//! Where the history is not whole any more: what was pruned, and what was erased.
//!
//! A decision depends on one root and what is under it, and, through pairs and repeat keys, on
//! conversions under others, which it names in its trace. So replaying leaves out each root of
//! which anything is gone, with all that is under it, and each request that is about such a root or
//! names one: these are not checked. What such a request changed under another root (R21 a) is not
//! known then, so that root is left out from there on. Under the others all is decided on facts
//! that are whole.

use std::collections::BTreeSet;

use counterfoil_core::{ConversionId, Reason, Step, Trace};
use rusqlite::Connection;

use crate::{
    fault::Fault,
    log::LogRow,
    numbers::{self, Table},
    prune,
    rows::value,
};

/// What stands for the parameters of a request that were erased; no log row has it otherwise.
pub(crate) const ERASED: &str = "(erased)";

/// The roots of which something is gone.
pub(crate) struct Gaps {
    /// All up to this id.
    pub(crate) upto: Option<[u8; 16]>,
    erased: BTreeSet<[u8; 16]>,
    /// Those that were changed by a request that was left out.
    changed: BTreeSet<[u8; 16]>,
}

/// Whether a root and what is under it were erased.
pub(crate) fn is_erased(db: &Connection, root: &ConversionId) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM erased WHERE root = ?1";
    let found: Option<i64> = value(db, sql, [root.as_bytes()])?;
    Ok(found.is_some())
}

impl Gaps {
    pub(crate) fn of(db: &Connection) -> Result<Self, Fault> {
        let mut erased = db.prepare("SELECT root FROM erased")?;
        let erased = erased.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Self { upto: prune::pruned_upto(db)?, erased, changed: BTreeSet::new() })
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.upto.is_none() && self.erased.is_empty()
    }

    /// Whether something is gone of a root.
    pub(crate) fn has(&self, root: &[u8; 16]) -> bool {
        let is_gone = self.upto.is_some_and(|upto| *root <= upto) || self.erased.contains(root);
        is_gone || self.changed.contains(root)
    }

    /// Whether a request is about a root of which something is gone, or may have been decided as it
    /// was because of one.
    pub(crate) fn touch(&self, db: &Connection, logged: &LogRow) -> Result<bool, Fault> {
        // It may be about no root at all.
        if logged.query == ERASED {
            return Ok(true);
        }
        if self.is_empty() {
            return Ok(false);
        }
        // The traces of these do not name what else was found.
        if matches!(logged.reason, Some(Reason::PairingConflict | Reason::ExternalIdTaken)) {
            return Ok(true);
        }
        let about = logged.conversion.map_or(Ok(false), |id| self.hold(db, &id))?;
        Ok(about || self.are_named(db, &logged.more.trace)?)
    }

    /// Whether a trace names a root of which something is gone.
    pub(crate) fn are_named(&self, db: &Connection, trace: &Trace) -> Result<bool, Fault> {
        for id in named(trace) {
            if self.hold(db, &id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A request is left out: what it was about is not known from here on.
    pub(crate) fn leave_out(&mut self, db: &Connection, logged: &LogRow) -> Result<(), Fault> {
        if let Some(id) = &logged.conversion {
            self.changed.insert(root_of(db, id)?);
        }
        Ok(())
    }

    /// Whether something is gone of the root of a conversion.
    pub(crate) fn hold(&self, db: &Connection, id: &ConversionId) -> Result<bool, Fault> {
        Ok(!self.is_empty() && self.has(&root_of(db, id)?))
    }
}

/// The conversions that a trace names.
pub(crate) fn named(trace: &Trace) -> impl Iterator<Item = ConversionId> {
    trace.steps.iter().filter_map(|step| match step {
        Step::Paired { root, .. } => Some(*root),
        Step::Key { first, .. } => *first,
        Step::Target { conversion, .. } => Some(*conversion),
        _ => None,
    })
}

/// The root of a conversion; what is not stored any more stands for itself.
fn root_of(db: &Connection, id: &ConversionId) -> Result<[u8; 16], Fault> {
    let number = numbers::find(db, Table::Conversions, id.as_bytes())?;
    let sql = "SELECT ifnull(root, id) FROM conversions WHERE number = ?1";
    Ok(value(db, sql, [number])?.unwrap_or(*id.as_bytes()))
}
