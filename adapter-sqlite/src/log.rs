//! The log: a row for each request, whatever came of it. Those of a batch are written together.

use std::sync::LazyLock;

use counterfoil_core::{
    Arrival, ConversionId, Method, Outcome, Reason, Refusal, RequestId, Step, TenantName,
    Timestamp,
    view::{Filter, Page, RequestView},
};
use rusqlite::{Connection, Row, params};

use crate::{
    ReadError, Reader,
    blobs::{self, RequestMore},
    click,
    codes::Coded,
    fault::Fault,
    gaps::{self, ERASED},
    lists::{List, Range, has_no_message_column},
    numbers::{self, Table},
    rows,
    store::Decided,
    together::Insert,
};

/// The columns of a log row, in the order in which [`read_request`] takes them.
pub(crate) const REQUEST: &str = "id, tenant, received_at, method, dialect, remote_addr, query, \
     ruleset, outcome, reason, conversion, more";

static INSERT: LazyLock<Insert> = LazyLock::new(|| Insert::new("requests", REQUEST, ""));

/// Writes the log rows of requests, in their order. A click of an affiliate link is its own record.
pub(crate) fn write<'a>(
    db: &Connection,
    decided: impl Iterator<Item = (&'a Arrival, &'a Decided)>,
) -> Result<(), Fault> {
    let is_own_record = |(arrival, decided): &(&Arrival, &Decided)| {
        arrival.method == Method::Link && decided.decision.outcome == Outcome::Created
    };
    let rows: Vec<_> = decided.filter(|decided| !is_own_record(decided)).collect();
    INSERT.write(db, &rows, |(arrival, Decided { receipt, decision, rules }), values| {
        let conversion = decision.conversion.as_ref().map(|conversion| conversion.id);
        values.row(&[
            receipt.id.as_bytes(),
            &rules.tenant,
            &receipt.at.as_ms(),
            &arrival.method.stored(),
            &arrival.dialect.as_deref(),
            &arrival.remote_addr.as_deref(),
            &arrival.query,
            &rules.version,
            &decision.outcome.stored(),
            &decision.refusal.as_ref().map(|refusal| refusal.reason.stored()),
            &conversion.as_ref().map(ConversionId::as_bytes),
            &blobs::encode_request(&RequestMore::of(decision))?,
        ])
    })?;
    Ok(())
}

impl Reader {
    /// A page of log rows, newest first; see [`Reader::conversions`].
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn requests(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<RequestView>, ReadError> {
        let range = Range::of(filter)?;
        let has_column = filter.result.is_none()
            && filter.external_id.is_none()
            && filter.r#type.is_none()
            && filter.affiliate.is_none()
            && filter.offer.is_none()
            && filter.advertiser.is_none()
            && has_no_message_column(filter);
        self.list(tenant, has_column, |list| {
            let sql = format!(
                "SELECT {REQUEST} FROM requests WHERE number < ?1 AND number >= ?2 \
                 ORDER BY number DESC"
            );
            let before = numbers::first_from(list.db, Table::Requests, &range.before)?;
            let from = numbers::first_from(list.db, Table::Requests, &range.from)?;
            let mut statement = list.db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![before, from])?;
            list.page(filter, || {
                let Some(row) = rows.next()? else {
                    return Ok(None);
                };
                let id = RequestId::from_bytes(row.get(0)?);
                Ok(Some((id, self.request_view(list, read_request(row)?, filter)?)))
            })
        })
    }

    /// One log row. A click of an affiliate link has none: what it would tell is decided again.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn request(
        &self,
        tenant: &TenantName,
        id: RequestId,
    ) -> Result<Option<RequestView>, ReadError> {
        let filter = Filter { id: Some(id.to_string()), ..Filter::default() };
        let logged = self.requests(tenant, &filter)?.items.into_iter().next();
        if logged.is_some() {
            return Ok(logged);
        }
        let of_click = self.list(tenant, true, |list| {
            let items = self.request_of_click(list, &id)?.into_iter().collect();
            Ok(Page { items, next_cursor: None })
        })?;
        Ok(of_click.items.into_iter().next())
    }

    fn request_of_click(
        &self,
        list: &List<'_>,
        id: &RequestId,
    ) -> Result<Option<RequestView>, Fault> {
        let Some(click) = click::made_by(list.db, list.tenant, id)? else {
            return Ok(None);
        };
        let rules = self.rules_of(list.db, list.tenant, click.ruleset)?;
        let mut logged = click.logged(rules.as_ref().map(|rules| &*rules.ruleset));
        if gaps::is_erased(list.db, &id.conversion_id())? {
            logged.query = ERASED.to_owned();
        }
        self.request_view(list, logged, &Filter::default())
    }

    fn request_view(
        &self,
        list: &List<'_>,
        logged: LogRow,
        filter: &Filter,
    ) -> Result<Option<RequestView>, Fault> {
        let fits = logged.tenant == list.tenant
            && filter.outcome.is_none_or(|outcome| outcome == logged.outcome)
            && filter.reason.is_none_or(|reason| Some(reason) == logged.reason)
            && list.is_within(logged.received_at, filter);
        if !fits {
            return Ok(None);
        }
        let rules = self.rules_of(list.db, list.tenant, logged.ruleset)?;
        let ruleset = rules.as_ref().map(|rules| &*rules.ruleset);
        let steps = &logged.more.trace.steps;
        let definition = steps.iter().find_map(|step| match step {
            Step::Definition(place) => *place,
            _ => None,
        });
        let definition = definition.and_then(|place| usize::try_from(place).ok());
        let postback = ruleset.zip(definition).and_then(|(r, place)| r.definition_at(place));
        let unreadable =
            || vec![format!("version {} of the rules cannot be read any more", logged.ruleset)];
        let trace = match ruleset {
            _ if logged.query == ERASED => Vec::new(),
            Some(ruleset) => logged.more.trace.lines(ruleset, logged.outcome),
            None => unreadable(),
        };
        let notes = logged.more.notes();
        let refusal = logged.refusal();
        Ok(Some(RequestView {
            id: logged.id,
            received_at: logged.received_at,
            method: logged.method,
            remote_addr: logged.remote_addr,
            query: logged.query,
            postback_id: postback.map(|postback| postback.id.as_str().into()),
            outcome: logged.outcome,
            reason: logged.reason,
            message: refusal.as_ref().map(|refusal| refusal.message.clone()),
            parameter: refusal.as_ref().and_then(|refusal| refusal.parameter.clone()),
            hint: refusal.and_then(|refusal| refusal.hint),
            notes,
            conversion_id: logged.conversion,
            transaction_ids: logged.more.transaction_ids,
            trace,
        }))
    }
}

/// The log row of a number, where there is one.
pub(crate) fn numbered(db: &Connection, number: Option<i64>) -> Result<Option<LogRow>, Fault> {
    let sql = format!("SELECT {REQUEST} FROM requests WHERE number = ?1");
    rows::one(db, &sql, params![number], read_request)
}

/// A log row.
pub(crate) struct LogRow {
    pub(crate) id: RequestId,
    pub(crate) tenant: i64,
    pub(crate) received_at: Timestamp,
    pub(crate) method: Method,
    pub(crate) dialect: Option<Box<str>>,
    pub(crate) remote_addr: Option<Box<str>>,
    pub(crate) query: String,
    pub(crate) ruleset: u32,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) conversion: Option<ConversionId>,
    pub(crate) more: RequestMore<'static>,
}

impl LogRow {
    /// How the request was refused, where it was.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        let reason = self.reason?;
        match &self.more.refusal {
            Some(text) => Some(Refusal {
                reason,
                parameter: text.parameter.as_deref().map(Into::into),
                message: text.message.clone(),
                hint: text.hint.clone(),
                steps: Vec::new(),
            }),
            None if self.query == ERASED => Some(Refusal::new(reason, ERASED)),
            None if reason == Reason::Duplicate => Some(Refusal::of_repeat()),
            None => None,
        }
    }
}

/// A log row from the columns of [`REQUEST`].
pub(crate) fn read_request(row: &Row<'_>) -> Result<LogRow, Fault> {
    let reason: Option<i64> = row.get(9)?;
    let conversion: Option<[u8; 16]> = row.get(10)?;
    let more: Vec<u8> = row.get(11)?;
    Ok(LogRow {
        id: RequestId::from_bytes(row.get(0)?),
        tenant: row.get(1)?,
        received_at: rows::time(row, 2)?,
        method: rows::coded(row, 3, "method")?,
        dialect: row.get(4)?,
        remote_addr: row.get(5)?,
        query: row.get(6)?,
        ruleset: row.get(7)?,
        outcome: rows::coded(row, 8, "outcome")?,
        reason: reason.map(|_| rows::coded(row, 9, "reason")).transpose()?,
        conversion: conversion.map(ConversionId::from_bytes),
        more: blobs::decode_request(&more)?,
    })
}
