//! Facts: fetches exactly what a [`FactQuery`] names. Every step is a bounded number of seeks,
//! however many conversions there are.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use counterfoil_core::{
    AdvertiserId, CommissionId, Conversion, ConversionId, ConversionType, DedupKey, FactQuery,
    Facts, Found, KeyKind, PairKey, PairQuery, Root, TransactionId,
};
use rusqlite::{Connection, params};

use crate::{
    fault::{Fault, bad},
    ids, messages, numbers,
    rows::{self, Named, one, value},
    under_root,
};

/// Answers a query in the order that [`FactQuery`] states. `tells`: the rules that decide have
/// tracking APIs.
pub(crate) fn fetch(
    db: &Connection,
    tenant: i64,
    query: &FactQuery,
    tells: bool,
) -> Result<Facts, Fault> {
    let fetch = Fetch { db, tenant, counters: &query.counters, tells };
    let mut facts = Facts::default();
    if let Some(id) = query.transaction {
        facts.of_transaction = fetch.found(conversion_of(db, tenant, &id)?, None)?;
        facts.transaction = facts.of_transaction.as_ref().map(|_| id);
    }
    if let Some(key) = &query.holder {
        facts.first = fetch.holder(key, None)?;
    }
    if let Some(pcid) = &query.pcid {
        fetch.by_pcid(pcid, query.target.is_some(), &mut facts)?;
    }
    let pair = fetch.by_pair(query, &mut facts)?;
    let Some(root) = facts.root.take() else {
        return Ok(facts);
    };
    if let Some(key) = query.key.as_ref() {
        // No pair means that no type of it holds a key.
        let is_free = key.kind == KeyKind::External && pair == PairFound::None;
        let key = if is_free { None } else { key.key(&root) };
        facts.first = key.map(|key| fetch.holder(&key, Some(&root))).transpose()?.flatten();
    }
    if let Some(target) = &query.target {
        let newest = under_root::newest(db, &root.id, target.conversion_type.as_ref())?;
        facts.newest_under_root = fetch.found(newest, Some(&root))?;
        facts.root_row = fetch.found(Some(root.id), Some(&root))?;
    }
    facts.counters = fetch.counters(&root)?;
    facts.root = Some(root);
    Ok(facts)
}

/// The root of a pcid, where the tenant has it.
pub(crate) fn root_of(
    db: &Connection,
    tenant: i64,
    pcid: &ConversionId,
) -> Result<Option<Arc<Root>>, Fault> {
    let fetch = Fetch { db, tenant, counters: &[], tells: false };
    match rows::named(db, tenant, pcid)? {
        None => Ok(None),
        Some(Named::Root(root)) => Ok(Some(Arc::new(root))),
        Some(Named::Under(root)) => fetch.root(&root).map(Some),
    }
}

/// A conversion that a row names, with what was told of it.
pub(crate) fn found(db: &Connection, tenant: i64, id: &ConversionId) -> Result<Found, Fault> {
    let fetch = Fetch { db, tenant, counters: &[], tells: true };
    let found = fetch.found(Some(*id), None)?;
    found.map(|found| *found).ok_or_else(|| bad("conversion", id))
}

/// The conversion of a transaction, where the tenant has both.
pub(crate) fn conversion_of(
    db: &Connection,
    tenant: i64,
    id: &TransactionId,
) -> Result<Option<ConversionId>, Fault> {
    let twin = ids::twin_of(id);
    let sql = "SELECT 1 FROM transactions WHERE conversion = ?1 AND id = ?2 AND tenant = ?3";
    let made_together: Option<i64> =
        value(db, sql, params![twin.as_bytes(), id.as_bytes(), tenant])?;
    if made_together.is_some() {
        return Ok(Some(twin));
    }
    let sql = "SELECT conversion FROM transactions WHERE id = ?1 \
               AND substr(id, 1, 14) <> substr(conversion, 1, 14) AND tenant = ?2";
    let later = value(db, sql, params![id.as_bytes(), tenant])?;
    Ok(later.map(ConversionId::from_bytes))
}

/// The conversions that carry a pair, in no order, and no more than `most` beside those that hold
/// a repeat key.
pub(crate) fn carriers(
    db: &Connection,
    tenant: i64,
    pair: &PairKey,
    most: usize,
) -> Result<Vec<ConversionId>, Fault> {
    let (from, to) = key_range(pair);
    let mut statement = db.prepare_cached(
        "SELECT conversion FROM repeat_keys WHERE tenant = ?1 AND key BETWEEN ?2 AND ?3 \
         UNION ALL SELECT * FROM \
         (SELECT id FROM conversions WHERE tenant = ?1 AND pair = ?4 LIMIT ?5)",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let given = params![tenant, from, to, pair.as_bytes(), most];
    let ids = statement.query_map(given, |row| row.get(0).map(ConversionId::from_bytes))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

#[derive(PartialEq)]
enum PairFound {
    NotAsked,
    None,
    Some,
}

struct Fetch<'a> {
    db: &'a Connection,
    tenant: i64,
    /// Commissions whose transactions are counted under the root of whatever is found.
    counters: &'a [CommissionId],
    /// Whether what was told of whatever is found matters.
    tells: bool,
}

impl Fetch<'_> {
    /// Step 1: what the pcid names, and its root.
    fn by_pcid(
        &self,
        pcid: &ConversionId,
        has_target: bool,
        facts: &mut Facts,
    ) -> Result<(), Fault> {
        facts.root = root_of(self.db, self.tenant, pcid)?;
        let names_root = facts.root.as_ref().is_none_or(|root| root.id == *pcid);
        if has_target && !names_root {
            facts.named = self.found(Some(*pcid), facts.root.as_ref())?;
        }
        Ok(())
    }

    /// Step 1 without a pcid, and step 2.
    fn by_pair(&self, query: &FactQuery, facts: &mut Facts) -> Result<PairFound, Fault> {
        let Some(asked) = &query.pair else {
            return Ok(PairFound::NotAsked);
        };
        let Some(advertiser) = advertiser_of(asked, facts.root.as_deref()) else {
            return Ok(PairFound::NotAsked);
        };
        if query.pcid.is_some() && facts.root.is_none() {
            return Ok(PairFound::NotAsked);
        }
        let pair = PairKey::of(advertiser, &asked.external_id);
        facts.pair_root = self.oldest_root(&pair)?;
        let Some(oldest) = &facts.pair_root else {
            return Ok(PairFound::None);
        };
        if query.pcid.is_none() && facts.root.is_none() {
            facts.root = Some(self.root(oldest)?);
        }
        if let Some(target) = &query.target {
            let under = facts.root.as_ref().filter(|_| asked.under_root).map(|root| &root.id);
            let newest = self.newest_of_pair(&pair, under, target.conversion_type.as_ref())?;
            facts.newest_of_pair = self.found(newest, facts.root.as_ref())?;
        }
        Ok(PairFound::Some)
    }

    /// The oldest root under which a conversion carries the pair (R16).
    fn oldest_root(&self, pair: &PairKey) -> Result<Option<ConversionId>, Fault> {
        let (from, to) = key_range(pair);
        static SQL: LazyLock<String> = LazyLock::new(|| {
            format!(
                "SELECT min(id) FROM (SELECT ifnull(c.root, c.id) AS id FROM repeat_keys k {} \
                 WHERE k.tenant = ?1 AND k.key BETWEEN ?2 AND ?3 \
                 UNION ALL SELECT * FROM (SELECT ifnull(root, id) FROM conversions \
                 WHERE tenant = ?1 AND pair = ?4 ORDER BY ifnull(root, id) LIMIT 1))",
                numbers::join_conversion("k.conversion")
            )
        });
        let given = params![self.tenant, from, to, pair.as_bytes()];
        let oldest: Option<Option<[u8; 16]>> = value(self.db, &SQL, given)?;
        Ok(oldest.flatten().map(ConversionId::from_bytes))
    }

    /// The newest conversion that carries the pair, under the root and of the type where these are
    /// given (R21 a).
    fn newest_of_pair(
        &self,
        pair: &PairKey,
        root: Option<&ConversionId>,
        conversion_type: Option<&ConversionType>,
    ) -> Result<Option<ConversionId>, Fault> {
        let (from, to) = key_range(pair);
        let sql = format!(
            "SELECT max(k.conversion) FROM repeat_keys k {} \
             WHERE k.tenant = ?1 AND k.key BETWEEN ?2 AND ?3 \
             AND (?4 IS NULL OR ifnull(c.root, c.id) = ?4) AND (?5 IS NULL OR c.type = ?5)",
            numbers::join_conversion("k.conversion")
        );
        let root = root.map(ConversionId::as_bytes);
        let type_name = conversion_type.map(ConversionType::name);
        let given = params![self.tenant, from, to, root, type_name];
        let by_key: Option<Option<[u8; 16]>> = value(self.db, &sql, given)?;
        let by_key = by_key.flatten().map(ConversionId::from_bytes);
        let pair = pair.as_bytes();
        let by_row = match root {
            Some(root) => newest(
                self.db,
                "conversions",
                "tenant = ?1 AND pair = ?2 AND ifnull(root, id) = ?3",
                params![self.tenant, pair, root],
                conversion_type,
            ),
            None => newest(
                self.db,
                "conversions",
                "tenant = ?1 AND pair = ?2",
                params![self.tenant, pair],
                conversion_type,
            ),
        }?;
        Ok(by_key.max(by_row))
    }

    /// Who holds a repeat key (R20, R47).
    fn holder(
        &self,
        key: &DedupKey,
        known: Option<&Arc<Root>>,
    ) -> Result<Option<Box<Found>>, Fault> {
        let sql = "SELECT conversion FROM repeat_keys WHERE tenant = ?1 AND key = ?2";
        let holder = value(self.db, sql, params![self.tenant, key.as_bytes()])?;
        self.found(holder.map(ConversionId::from_bytes), known)
    }

    /// A conversion that a row names. `known`: a root that was read already, often its own.
    fn found(
        &self,
        id: Option<ConversionId>,
        known: Option<&Arc<Root>>,
    ) -> Result<Option<Box<Found>>, Fault> {
        let Some(id) = id else {
            return Ok(None);
        };
        let conversion = self.conversion(&id)?;
        let root = match known.filter(|known| known.id == conversion.root_id) {
            Some(known) => Arc::clone(known),
            None => match conversion.as_root() {
                Some(root) => Arc::new(root),
                None => self.root(&conversion.root_id)?,
            },
        };
        let conversion = Arc::new(conversion);
        let transactions = rows::transactions(self.db, &id)?;
        let counters = self.counters(&root)?;
        let told = messages::told(self.db, &id, self.tells)?;
        Ok(Some(Box::new(Found { root, conversion, transactions, counters, told })))
    }

    /// Transactions that each asked commission has made under a root (R27).
    fn counters(&self, root: &Root) -> Result<BTreeMap<CommissionId, u32>, Fault> {
        let sql = "SELECT made FROM counters WHERE root = ?1 AND commission = ?2";
        let mut counters = BTreeMap::new();
        for commission in self.counters {
            let made = value(self.db, sql, params![root.id.as_bytes(), commission.as_str()])?;
            counters.insert(commission.clone(), made.unwrap_or(0));
        }
        Ok(counters)
    }

    /// A root that a row names.
    fn root(&self, id: &ConversionId) -> Result<Arc<Root>, Fault> {
        match rows::named(self.db, self.tenant, id)? {
            Some(Named::Root(root)) => Ok(Arc::new(root)),
            _ => Err(bad("root", id)),
        }
    }

    /// A conversion that a row names.
    fn conversion(&self, id: &ConversionId) -> Result<Conversion, Fault> {
        rows::conversion(self.db, self.tenant, id)?.ok_or_else(|| bad("conversion", id))
    }
}

/// The greatest id among the rows of a condition on a table whose index goes on with type and id.
/// Without a type: one seek for each type that occurs.
pub(crate) fn newest(
    db: &Connection,
    table: &str,
    condition: &str,
    given: &[&dyn rusqlite::ToSql],
    conversion_type: Option<&ConversionType>,
) -> Result<Option<ConversionId>, Fault> {
    let next = given.len() + 1;
    let is_of_type = |comparison: &str| {
        format!(
            "SELECT type, id FROM {table} WHERE {condition} AND type {comparison} ?{next} \
             ORDER BY type DESC, id DESC LIMIT 1"
        )
    };
    let seek = |sql: &str, bound: &str| {
        let mut all = given.to_vec();
        all.push(&bound as &dyn rusqlite::ToSql);
        one(db, sql, all.as_slice(), |row| {
            let id = ConversionId::from_bytes(row.get(1)?);
            Ok((row.get::<_, String>(0)?, id))
        })
    };
    if let Some(known) = conversion_type {
        let found = seek(&is_of_type("="), known.name())?;
        return Ok(found.map(|(_, id)| id));
    }
    let below = is_of_type("<");
    let mut newest = None;
    // Above every type: names are ASCII.
    let mut bound = "\u{7f}".to_owned();
    while let Some((of_type, id)) = seek(&below, &bound)? {
        newest = newest.max(Some(id));
        bound = of_type;
    }
    Ok(newest)
}

/// The advertiser of a pair: the one given, or else the root's.
fn advertiser_of<'a>(asked: &'a PairQuery, root: Option<&'a Root>) -> Option<&'a AdvertiserId> {
    asked.advertiser.as_ref().or_else(|| root.map(|root| &root.origin.advertiser))
}

/// The repeat keys of kind `external` that begin with a pair.
fn key_range(pair: &PairKey) -> ([u8; 16], [u8; 16]) {
    let end = |byte: u8| {
        let mut key = [byte; 16];
        for (to, from) in key.iter_mut().zip(pair.as_bytes()) {
            *to = *from;
        }
        key
    };
    (end(0), end(0xff))
}
