//! Messages as people see them: lists, single ones with their attempts, and numbers.

use std::{cell::Cell, str::FromStr};

use counterfoil_core::{
    ConversionId, MessageId, MessageOf, MessageState, TenantName, Timestamp,
    view::{AttemptView, DeliveryView, Filter, Page},
};
use rusqlite::{Connection, params};

use crate::{
    ReadError, Reader, blobs, codes,
    fault::Fault,
    lists::{List, Range},
    messages::{self, MESSAGE, MessageRow},
    prune,
    rows::{self, value},
};

/// A page ends early, with a cursor, once the answers in it have this many bytes: receivers choose
/// how much they say.
const ANSWERS_LEN_MAX: usize = 4 << 20;

/// How many messages there are of what asks for attention.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Messages that wait for their time or their turn, those that are retried or polled among
    /// them.
    pub due: u64,
    /// When the one that waits longest became due, or becomes it.
    pub oldest_due_at: Option<Timestamp>,
    /// Messages that wait for a result (R43) or for the step before (R46).
    pub held: u64,
    /// Messages that ended undelivered.
    pub dead: u64,
}

impl Reader {
    /// A page of messages with their attempts, newest first; see [`Reader::conversions`]. `since`
    /// and `until` are about when they were made.
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn deliveries(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<DeliveryView>, ReadError> {
        self.messages(tenant, filter, |db, row| {
            let attempts = attempts(db, &row.message.id)?;
            let view = DeliveryView::of(&row.message, row.reason, attempts);
            let len = view.attempts.iter().map(answer_len).sum();
            Ok((view, len))
        })
    }

    /// One message with its attempts.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn delivery(
        &self,
        tenant: &TenantName,
        id: MessageId,
    ) -> Result<Option<DeliveryView>, ReadError> {
        let filter = Filter { id: Some(id.to_string()), ..Filter::default() };
        Ok(self.deliveries(tenant, &filter)?.items.into_iter().next())
    }

    /// How many messages of all tenants wait, are held and are dead. Counts rows of indexes that
    /// hold nothing else.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn outbox(&self) -> Result<Outbox, ReadError> {
        let oldest_due_at = self.next_due()?;
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let count = |condition: &str| {
                let sql = format!("SELECT count(*) FROM messages WHERE {condition}");
                let count: Option<i64> = value(&snapshot, &sql, [])?;
                Ok::<_, Fault>(count.unwrap_or(0).unsigned_abs())
            };
            let claimable = count(messages::IS_CLAIMABLE)?;
            let leased = count(messages::IS_CLAIMABLE_LATER)?;
            Ok(Outbox {
                due: claimable.saturating_sub(leased) + count("standing = 5")?,
                oldest_due_at,
                held: count("standing = 1")?,
                dead: count("standing = 4")?,
            })
        })
    }

    /// How many of the dead messages cannot be sent again: their content is gone, erased or pruned.
    /// Looks at every dead one.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn forgotten_dead(&self) -> Result<u64, ReadError> {
        self.with(|db| {
            let sql = "SELECT count(*) FROM messages WHERE standing = 4 AND request = ?1";
            let count: Option<i64> = value(db, sql, [prune::forgotten()?])?;
            Ok(count.unwrap_or(0).unsigned_abs())
        })
    }

    /// A page of the ids of messages.
    pub(crate) fn message_ids(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<MessageId>, ReadError> {
        self.messages(tenant, filter, |_, row| Ok((row.message.id, 0)))
    }

    fn messages<T>(
        &self,
        tenant: &TenantName,
        filter: &Filter,
        view: impl Fn(&Connection, &MessageRow) -> Result<(T, usize), Fault>,
    ) -> Result<Page<T>, ReadError> {
        let mut range = Range::of(filter)?;
        range.end_before(filter.until);
        // What is no id is nobody's.
        let conversion = filter.conversion.as_ref().map(|text| ConversionId::from_str(text).ok());
        let has_column = has_no_other_column(filter) && conversion != Some(None);
        self.list(tenant, has_column, |list| {
            let sql = format!(
                "SELECT {MESSAGE} FROM messages WHERE id < ?1 AND id >= ?2 AND {} \
                 ORDER BY id DESC",
                bound(filter)
            );
            let conversion = conversion.flatten();
            let conversion = conversion.as_ref().map(ConversionId::as_bytes);
            let mut statement = list.db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![range.before, range.from, conversion])?;
            let shown = Cell::new(0_usize);
            list.page_until(
                filter,
                || shown.get() >= ANSWERS_LEN_MAX,
                || {
                    let Some(row) = rows.next()? else {
                        return Ok(None);
                    };
                    let row = messages::read(row)?;
                    let fits = fits(list, &row, filter);
                    let view = fits.then(|| view(list.db, &row)).transpose()?;
                    let view = view.map(|(view, len)| {
                        shown.set(shown.get().saturating_add(len));
                        view
                    });
                    Ok(Some((row.message.id, view)))
                },
            )
        })
    }
}

fn answer_len(attempt: &AttemptView) -> usize {
    attempt.response.as_ref().map_or(0, |response| response.len())
}

/// What bounds the rows that a page looks at, by an index where there is one.
fn bound(filter: &Filter) -> &'static str {
    match (&filter.conversion, filter.state) {
        (Some(_), _) => "conversion = ?3",
        (None, Some(MessageState::Held)) => "standing = 1 AND ?3 IS NULL",
        (None, Some(MessageState::Dead)) => "standing = 4 AND ?3 IS NULL",
        (None, Some(MessageState::Sending)) => "lease_until IS NOT NULL AND ?3 IS NULL",
        (None, _) => "?3 IS NULL",
    }
}

fn fits(list: &List<'_>, row: &MessageRow, filter: &Filter) -> bool {
    let owner = row.owner.as_deref().unwrap_or("admin");
    let (tracking_api, postback) = match &row.message.of {
        MessageOf::TrackingApi(id) => (Some(id.as_str()), None),
        MessageOf::Step { postback, .. } => (None, Some(postback.as_str())),
    };
    row.tenant == list.tenant
        && filter.state.is_none_or(|state| state == row.message.state)
        && filter.owner.as_deref().is_none_or(|wanted| wanted == owner)
        && filter.tracking_api.as_deref().is_none_or(|wanted| Some(wanted) == tracking_api)
        && filter.postback.as_deref().is_none_or(|wanted| Some(wanted) == postback)
}

fn has_no_other_column(filter: &Filter) -> bool {
    filter.external_id.is_none()
        && filter.r#type.is_none()
        && filter.result.is_none()
        && filter.outcome.is_none()
        && filter.reason.is_none()
        && filter.affiliate.is_none()
        && filter.offer.is_none()
        && filter.advertiser.is_none()
}

/// The attempts of a message, oldest first.
fn attempts(db: &Connection, id: &MessageId) -> Result<Vec<AttemptView>, Fault> {
    let mut statement = db.prepare_cached(
        "SELECT number, started_at, took, outcome, status, error, response, unmapped FROM attempts \
         WHERE message = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query(params![id.as_bytes()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        let status = row.get(4)?;
        let unmapped: Option<Vec<u8>> = row.get(7)?;
        let outcome = codes::attempt_outcome(row.get(3)?, status)
            .ok_or_else(|| Fault::Row("an attempt has an unknown outcome".to_owned()))?;
        attempts.push(AttemptView {
            number: row.get(0)?,
            started_at: rows::time(row, 1)?,
            duration_ms: row.get::<_, i64>(2)?.unsigned_abs(),
            outcome: outcome.name(),
            status,
            error: row.get(5)?,
            response: row.get(6)?,
            unmapped_values: blobs::decode_unmapped(unmapped.as_deref())?,
        });
    }
    Ok(attempts)
}
