//! Erasing what is personal about one visitor. What stays: ids, the advertiser's id, amounts,
//! transactions, repeat keys and what the rules need; so a resend answers as before (P2, P3).

use counterfoil_core::{
    ConversionId, Params, RequestId, TenantName, Timestamp, Trace,
    view::{Erased, Subject},
};
use rusqlite::{Connection, params};

use crate::{
    ReadError, Store, SubmitError, audit, blobs,
    fault::{Fault, bad},
    gaps::ERASED,
    log,
    numbers::{self, Table},
    prune, rows,
    subject::Holdings,
};

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// What is there could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] SubmitError),
}

impl Store {
    /// Erases what is personal about a subject, also of requests that were submitted before and are
    /// not decided yet. Its rows are overwritten; what earlier writes left of them in unused parts
    /// of the file goes with [`crate::compact()`]. Copies, such as backups, are not reached.
    ///
    /// # Errors
    /// As [`Store::submit`], and where the database cannot be read; nothing has changed then.
    pub fn erase(
        &self,
        tenant: &TenantName,
        subject: &Subject,
        at: Timestamp,
    ) -> Result<Erased, EraseError> {
        // Looking at the whole log would hold up the writer. What is decided meanwhile was
        // accepted before, and is looked for where nothing more can come between.
        let held = self.reader().holdings(tenant, subject)?;
        let (tenant, subject) = (tenant.clone(), subject.clone());
        let erased = self.alone(move |db| match held.caught_up(db, &tenant, &subject) {
            Ok(held) => Ok(Ok(erase(db, &tenant, &held, at)?)),
            // Another advertiser's visitor came to have the same id meanwhile: no defect.
            Err(fault @ Fault::SeveralAdvertisers { .. }) => Ok(Err(ReadError::from(fault))),
            Err(fault) => Err(fault),
        })?;
        Ok(erased?)
    }
}

fn erase(
    db: &Connection,
    tenant: &TenantName,
    held: &Holdings,
    at: Timestamp,
) -> Result<Erased, Fault> {
    if held.conversions.is_empty() && held.requests.is_empty() {
        return Ok(Erased::default());
    }
    let mut erased = Erased { roots: held.roots.len() as u64, ..Erased::default() };
    let mut was_left = false;
    for root in &held.roots {
        let sql = "INSERT INTO erased (root, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        was_left |= db.prepare_cached(sql)?.execute(params![root.as_bytes(), at.as_ms()])? > 0;
    }
    for id in &held.conversions {
        was_left |= empty_conversion(db, id)?;
        erased.conversions += 1;
        was_left |= forget_messages(db, id, &mut erased)?;
    }
    for id in &held.requests {
        let emptied = empty_request(db, id)?;
        erased.requests += u64::from(emptied.is_some());
        was_left |= emptied == Some(true);
    }
    erased.was_erased_before = !was_left;
    let roots: Vec<String> = held.roots.iter().map(ToString::to_string).collect();
    let change = audit::Change {
        at,
        tenant: tenant.as_str(),
        action: "erase",
        subject: &roots.join(" "),
        detail: &format!(
            "conversions {}, requests {}, messages {}",
            erased.conversions, erased.requests, erased.messages
        ),
    };
    audit::append(db, &change)?;
    Ok(erased)
}

/// Params, sub ids and the affiliate's id of the click; of a click also as it was made. Tells
/// whether any of them was there.
fn empty_conversion(db: &Connection, id: &ConversionId) -> Result<bool, Fault> {
    let number = numbers::find(db, Table::Conversions, id.as_bytes())?;
    let sql = "SELECT more, ifnull(length(first_more), 0) > 0 FROM conversions WHERE number = ?1";
    let found =
        rows::one(db, sql, [number], |row| Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?)))?;
    let (more, has_first): (_, bool) = found.ok_or_else(|| bad("conversion", id))?;
    let mut more = blobs::decode_conversion(more.as_deref())?;
    let has_any = !more.affs.is_empty()
        || more.affiliate_click_id.is_some()
        || !more.params.is_empty()
        || has_first;
    more.affs = Vec::new().into();
    more.affiliate_click_id = None;
    more.params = std::borrow::Cow::Owned(Params::new());
    let sql = "UPDATE conversions SET more = ?2, \
               first_more = iif(first_more IS NULL, NULL, x'') WHERE number = ?1";
    db.prepare_cached(sql)?.execute(params![number, blobs::encode_conversion(&more)?])?;
    Ok(has_any)
}

/// Tells whether there was one that said anything, or has to wait.
fn forget_messages(db: &Connection, id: &ConversionId, erased: &mut Erased) -> Result<bool, Fault> {
    let sql = "SELECT id, standing IN (2, 4) AND lease_until IS NULL, request IS NOT ?2 \
               FROM messages WHERE conversion = ?1 ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let given = params![id.as_bytes(), prune::forgotten()?];
    let found = statement.query_map(given, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<([u8; 16], bool, bool)> = found.collect::<Result<_, _>>()?;
    // Those that have not ended may ask for the others.
    if found.iter().any(|(_, has_ended, _)| !has_ended) {
        erased.messages_left += found.len() as u64;
        return Ok(true);
    }
    let mut was_left = false;
    for (id, _, has_any) in found {
        prune::forget_message(db, &id)?;
        erased.messages += 1;
        was_left |= has_any;
    }
    Ok(was_left)
}

/// What came in, from where, and what was said about it. The outcome stays, with its reason. Tells
/// whether it was there still; nothing where the row is gone: it was pruned since it was found.
fn empty_request(db: &Connection, id: &RequestId) -> Result<Option<bool>, Fault> {
    let number = numbers::find(db, Table::Requests, id.as_bytes())?;
    let Some(mut logged) = log::numbered(db, number)? else {
        return Ok(None);
    };
    let has_any = logged.query != ERASED;
    logged.more.trace = std::borrow::Cow::Owned(Trace::default());
    if let Some(refusal) = &mut logged.more.refusal {
        refusal.message = ERASED.into();
        refusal.hint = None;
    }
    let sql = "UPDATE requests SET query = ?2, remote_addr = NULL, dialect = NULL, \
               more = ?3 WHERE number = ?1";
    let more = blobs::encode_request(&logged.more)?;
    db.prepare_cached(sql)?.execute(params![number, ERASED, more])?;
    Ok(Some(has_any))
}
