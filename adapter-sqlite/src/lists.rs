//! Lists, newest first. A page looks at a bounded number of rows and says where the next begins,
//! so that no read holds the write-ahead log for long.
//!
//! Ids carry the time of arrival or a later one, so `since` is also a bound on ids.

use std::{cmp::Reverse, fmt::Display, sync::Arc};

use counterfoil_core::{
    Conversion, ConversionId, Currency, ExternalId, PairKey, Root, TenantName, Timestamp,
    Transaction, TransactionId,
    view::{ConversionView, Filter, Page, TransactionView},
};
use rusqlite::{Connection, Rows, params};

use crate::{
    ReadError, Reader, facts,
    fault::{Fault, bad},
    ids,
    numbers::{self, Table},
    rows::{self, CONVERSION, TRANSACTION},
};

/// The most rows that one page looks at.
const EXAMINED_MAX: usize = 10_000;

impl Reader {
    /// A page of conversions, newest first; with `result`, those that have such a transaction. A
    /// page may have fewer rows than asked for, even none, and still a `next_cursor`: a page looks
    /// at a bounded number of rows. With `external_id` the advertisers of the tenant's rules are
    /// searched, or the one that is given.
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn conversions(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, ReadError> {
        let range = Range::of(filter)?;
        self.list(tenant, has_no_column_of_others(filter), |list| {
            if let Some(external_id) = &filter.external_id {
                let ids = self.with_external_id(list, external_id, filter)?;
                return list.named(&ids, &range, filter);
            }
            let sql = format!(
                "SELECT {CONVERSION}, tenant FROM conversions \
                 WHERE number < ?1 AND number >= ?2 ORDER BY number DESC"
            );
            let before = numbers::first_from(list.db, Table::Conversions, &range.before)?;
            let from = numbers::first_from(list.db, Table::Conversions, &range.from)?;
            let mut statement = list.db.prepare_cached(&sql)?;
            let mut rows = statement.query(params![before, from])?;
            list.page(filter, || {
                let Some(row) = rows.next()? else {
                    return Ok(None);
                };
                let id = ConversionId::from_bytes(row.get(0)?);
                if row.get::<_, i64>(18)? != list.tenant {
                    return Ok(Some((id, None)));
                }
                let view = list.conversion(&rows::read_conversion(row)?, filter)?;
                Ok(Some((id, view)))
            })
        })
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
        let filter = Filter { id: Some(id.to_string()), ..Filter::default() };
        Ok(self.conversions(tenant, &filter)?.items.into_iter().next())
    }

    /// A page of transactions, newest first; see [`Reader::conversions`]. With `external_id`, those
    /// of the conversions that carry it.
    ///
    /// # Errors
    /// Where the cursor is none, or the database cannot be read.
    pub fn transactions(
        &self,
        tenant: &TenantName,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, ReadError> {
        let range = Range::of(filter)?;
        self.list(tenant, has_no_column_of_others(filter), |list| {
            if let Some(external_id) = &filter.external_id {
                let ids = self.with_external_id(list, external_id, filter)?;
                return list.transactions_of(&ids, &range, filter);
            }
            // Two runs that are in order: what was made together with its conversion stands in
            // the order of the conversions, what was made later in an index of its own.
            let together = format!(
                "SELECT {TRANSACTION}, tenant FROM transactions WHERE conversion <= ?1 \
                 AND conversion >= ?2 AND id < ?3 AND id >= ?4 \
                 ORDER BY conversion DESC, id DESC"
            );
            let later = format!(
                "SELECT {TRANSACTION}, tenant FROM transactions WHERE id < ?1 AND id >= ?2 \
                 AND substr(id, 1, 14) <> substr(conversion, 1, 14) ORDER BY id DESC"
            );
            let twin = |id| *ids::twin_of(&TransactionId::from_bytes(id)).as_bytes();
            let Range { before, from } = range;
            let mut together = list.db.prepare_cached(&together)?;
            let mut together = together.query(params![twin(before), twin(from), before, from])?;
            let mut later = list.db.prepare_cached(&later)?;
            let mut later = later.query(params![before, from])?;
            let mut heads = [next_together(&mut together)?, next(&mut later)?];
            list.page(filter, || {
                let [first, second] = &mut heads;
                let first_is_newest = match (&*first, &*second) {
                    (Some((_, first)), Some((_, second))) => first.id > second.id,
                    (first, _) => first.is_some(),
                };
                let newest = if first_is_newest {
                    std::mem::replace(first, next_together(&mut together)?)
                } else {
                    std::mem::replace(second, next(&mut later)?)
                };
                let Some((tenant, transaction)) = newest else {
                    return Ok(None);
                };
                let id = transaction.id;
                let is_ours = tenant == list.tenant;
                let view = is_ours.then(|| list.transaction(&transaction, filter));
                Ok(Some((id, view.transpose()?.flatten())))
            })
        })
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
        let filter = Filter { id: Some(id.to_string()), ..Filter::default() };
        Ok(self.transactions(tenant, &filter)?.items.into_iter().next())
    }

    /// One page within one state of the database; nothing for unknown tenants, and where the
    /// filter names a column that the list does not have.
    pub(crate) fn list<T>(
        &self,
        tenant: &TenantName,
        has_column: bool,
        read: impl FnOnce(&List<'_>) -> Result<Page<T>, Fault>,
    ) -> Result<Page<T>, ReadError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let sql = "SELECT id, currency FROM tenants WHERE name = ?1";
            let known = rows::one(&snapshot, sql, params![tenant.as_str()], |row| {
                let code: String = row.get(1)?;
                Ok((row.get(0)?, code.parse().map_err(|_| bad("currency", code))?))
            })?;
            match known.filter(|_| has_column) {
                Some((tenant, currency)) => read(&List { db: &snapshot, tenant, currency }),
                None => Ok(Page { items: Vec::new(), next_cursor: None }),
            }
        })
    }

    /// The conversions that carry an external id, newest first.
    fn with_external_id(
        &self,
        list: &List<'_>,
        external_id: &str,
        filter: &Filter,
    ) -> Result<Vec<ConversionId>, Fault> {
        let Ok(external_id) = ExternalId::new(external_id) else {
            return Ok(Vec::new());
        };
        let sql = "SELECT ruleset FROM tenants WHERE id = ?1";
        let version = rows::value(list.db, sql, params![list.tenant])?.unwrap_or_default();
        let Some(rules) = self.rules_of(list.db, list.tenant, version)? else {
            return Ok(Vec::new());
        };
        let mut ids = Vec::new();
        for advertiser in rules.ruleset.advertisers() {
            if filter.advertiser.as_ref().is_none_or(|only| only == advertiser.id.as_str()) {
                let pair = PairKey::of(&advertiser.id, &external_id);
                ids.extend(facts::carriers(list.db, list.tenant, &pair, EXAMINED_MAX)?);
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        Ok(ids)
    }
}

/// The ids of a page: `from` to `before`, the latter excluded.
pub(crate) struct Range {
    pub(crate) before: [u8; 16],
    pub(crate) from: [u8; 16],
}

impl Range {
    /// The ids that a filter leaves: before its cursor, its own id, since its time.
    pub(crate) fn of(filter: &Filter) -> Result<Self, ReadError> {
        let number = |text: &String| {
            let id = text.parse::<ConversionId>().ok();
            id.map(|id| u128::from_be_bytes(*id.as_bytes()))
        };
        let mut before = u128::MAX;
        if let Some(cursor) = &filter.cursor {
            before = number(cursor).ok_or_else(|| ReadError::Cursor(cursor.clone()))?;
        }
        let since = filter.since.map_or(0, Timestamp::as_ms);
        let mut from = u128::from(u64::try_from(since).unwrap_or(0)) << 80;
        if let Some(id) = &filter.id {
            // What is no id is nobody's.
            let id = number(id).unwrap_or(u128::MAX);
            before = before.min(id.saturating_add(1));
            from = from.max(id);
        }
        Ok(Self { before: before.to_be_bytes(), from: from.to_be_bytes() })
    }

    /// Leaves only ids that carry an earlier time.
    pub(crate) fn end_before(&mut self, until: Option<Timestamp>) {
        if let Some(until) = until {
            let end = u128::from(u64::try_from(until.as_ms()).unwrap_or(0)) << 80;
            self.before = self.before.min(end.to_be_bytes());
        }
    }

    fn holds(&self, id: &[u8; 16]) -> bool {
        (self.from..self.before).contains(id)
    }
}

fn has_no_column_of_others(filter: &Filter) -> bool {
    filter.outcome.is_none() && filter.reason.is_none() && has_no_message_column(filter)
}

/// Whether a filter names nothing that only messages have.
pub(crate) fn has_no_message_column(filter: &Filter) -> bool {
    filter.owner.is_none()
        && filter.state.is_none()
        && filter.tracking_api.is_none()
        && filter.postback.is_none()
        && filter.conversion.is_none()
}

/// The next transaction, with its tenant.
fn next(rows: &mut Rows<'_>) -> Result<Option<(i64, Transaction)>, Fault> {
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some((row.get(19)?, rows::read_transaction(row)?)))
}

/// The next transaction that was made together with its conversion.
fn next_together(rows: &mut Rows<'_>) -> Result<Option<(i64, Transaction)>, Fault> {
    loop {
        let found = next(rows)?;
        let is_later = |(_, t): &(i64, Transaction)| ids::twin_of(&t.id) != t.conversion_id;
        if !found.as_ref().is_some_and(is_later) {
            return Ok(found);
        }
    }
}

/// One page in the making.
pub(crate) struct List<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) tenant: i64,
    currency: Currency,
}

impl List<'_> {
    /// Takes rows until the page is full or has looked at enough. `next` gives each row's id, and
    /// its view where it fits the filter.
    pub(crate) fn page<I: Display, T>(
        &self,
        filter: &Filter,
        next: impl FnMut() -> Result<Option<(I, Option<T>)>, Fault>,
    ) -> Result<Page<T>, Fault> {
        self.page_until(filter, || false, next)
    }

    /// A page that may be full before it has as many rows as are wanted.
    pub(crate) fn page_until<I: Display, T>(
        &self,
        filter: &Filter,
        is_full: impl Fn() -> bool,
        mut next: impl FnMut() -> Result<Option<(I, Option<T>)>, Fault>,
    ) -> Result<Page<T>, Fault> {
        let len = filter.page_len() as usize;
        let mut items = Vec::new();
        let mut last = None;
        for _ in 0..EXAMINED_MAX {
            let Some((id, view)) = next()? else {
                return Ok(Page { items, next_cursor: None });
            };
            if items.len() == len {
                break;
            }
            items.extend(view);
            last = Some(id);
            if is_full() {
                break;
            }
        }
        Ok(Page { items, next_cursor: last.map(|id| id.to_string()) })
    }

    /// A page of conversions that are known by id, newest first.
    fn named(
        &self,
        ids: &[ConversionId],
        range: &Range,
        filter: &Filter,
    ) -> Result<Page<ConversionView>, Fault> {
        let mut ids = ids.iter().filter(|id| range.holds(id.as_bytes()));
        self.page(filter, || {
            let Some(id) = ids.next() else {
                return Ok(None);
            };
            let found = rows::conversion(self.db, self.tenant, id)?;
            let view = found.map(|found| self.conversion(&found, filter)).transpose()?;
            Ok(Some((*id, view.flatten())))
        })
    }

    /// A page of the transactions of conversions that are known by id, newest first.
    fn transactions_of(
        &self,
        conversions: &[ConversionId],
        range: &Range,
        filter: &Filter,
    ) -> Result<Page<TransactionView>, Fault> {
        let mut transactions = Vec::new();
        for id in conversions {
            let found = rows::conversion(self.db, self.tenant, id)?;
            if found.is_some_and(|found| carries_external_id(filter, &found)) {
                transactions.extend(rows::transactions(self.db, id)?);
            }
        }
        transactions.sort_unstable_by_key(|transaction| Reverse(transaction.id));
        let mut transactions = transactions.iter().filter(|t| range.holds(t.id.as_bytes()));
        self.page(filter, || {
            let Some(transaction) = transactions.next() else {
                return Ok(None);
            };
            Ok(Some((transaction.id, self.transaction(transaction, filter)?)))
        })
    }

    fn conversion(
        &self,
        conversion: &Conversion,
        filter: &Filter,
    ) -> Result<Option<ConversionView>, Fault> {
        let fits = is(&filter.r#type, conversion.conversion_type.name())
            && carries_external_id(filter, conversion)
            && self.is_within(conversion.created_at, filter);
        if !fits {
            return Ok(None);
        }
        let root = match conversion.as_root() {
            Some(root) => Arc::new(root),
            None => self.root(&conversion.root_id)?,
        };
        if !is_of_root(filter, &root) {
            return Ok(None);
        }
        let transactions = rows::transactions(self.db, &conversion.id)?;
        let has = |result| transactions.iter().any(|transaction| transaction.result == result);
        if !filter.result.is_none_or(has) {
            return Ok(None);
        }
        Ok(Some(ConversionView::of(conversion, &root, &transactions, self.currency)))
    }

    fn transaction(
        &self,
        transaction: &Transaction,
        filter: &Filter,
    ) -> Result<Option<TransactionView>, Fault> {
        let fits = is(&filter.r#type, transaction.transaction_type.name())
            && filter.result.is_none_or(|result| result == transaction.result)
            && self.is_within(transaction.created_at, filter);
        if !fits {
            return Ok(None);
        }
        let root = self.root(&transaction.conversion_id)?;
        Ok(is_of_root(filter, &root).then(|| TransactionView::of(transaction, &root)))
    }

    /// The root of a conversion that a row names.
    fn root(&self, id: &ConversionId) -> Result<Arc<Root>, Fault> {
        facts::root_of(self.db, self.tenant, id)?.ok_or_else(|| bad("root", id))
    }

    pub(crate) fn is_within(&self, at: Timestamp, filter: &Filter) -> bool {
        filter.since.is_none_or(|since| at >= since) && filter.until.is_none_or(|until| at < until)
    }
}

fn carries_external_id(filter: &Filter, conversion: &Conversion) -> bool {
    let carried = conversion.external_id.as_ref().map(ExternalId::as_str);
    filter.external_id.is_none() || filter.external_id.as_deref() == carried
}

fn is_of_root(filter: &Filter, root: &Root) -> bool {
    is(&filter.affiliate, root.origin.affiliate.as_str())
        && is(&filter.offer, root.origin.offer.as_str())
        && is(&filter.advertiser, root.origin.advertiser.as_str())
}

fn is(wanted: &Option<String>, value: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == value)
}
