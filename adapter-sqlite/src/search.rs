//! Looking for a postback that somebody says was sent: log rows that are like it, and ids.

use counterfoil_core::{
    ConversionId, Known, Likeness, Method, RequestId, Sought, TenantName, Timestamp,
    view::{Filter, RequestView},
};
use rusqlite::{Connection, params};

use crate::{
    ReadError, Reader,
    fault::Fault,
    numbers::{self, Table},
    rows,
};

/// The most conversions that are named as beginning with the same digits.
const CONVERSIONS_MAX: usize = 10;
/// The most external ids that are named as like the one that is sought.
const EXTERNAL_IDS_MAX: usize = 100;

/// The log rows that are like what is sought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// The likest first, of those the newest first.
    pub found: Vec<Arrived>,
    /// How many log rows were looked at.
    pub examined: u64,
    /// How far back that was, where there are older ones.
    pub since: Option<Timestamp>,
}

/// A log row that is like what is sought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Whose it is.
    pub tenant: TenantName,
    /// How like it is.
    pub likeness: Likeness,
    /// The row.
    pub request: RequestView,
}

impl Reader {
    /// Looks through the newest `examined_max` log rows of all tenants for those that are like
    /// what is sought, and returns the `limit` likest. What nobody sent, as the row of an import,
    /// is none of them. There is no index: every row is read.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn arrivals(
        &self,
        sought: &Sought<'_>,
        examined_max: u64,
        limit: usize,
    ) -> Result<Arrivals, ReadError> {
        let mut arrivals = Arrivals::default();
        let mut like: Vec<(Likeness, i64, RequestId)> = Vec::new();
        let tenants = self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let sql = "SELECT id, tenant, received_at, query, method FROM requests \
                       ORDER BY number DESC";
            let mut statement = snapshot.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut oldest = None;
            while let Some(row) = rows.next()? {
                if arrivals.examined == examined_max {
                    arrivals.since = oldest;
                    break;
                }
                arrivals.examined += 1;
                oldest = Some(rows::time(row, 2)?);
                if rows::coded::<Method>(row, 4, "method")?.is_internal() {
                    continue;
                }
                let query: String = row.get(3)?;
                if let Some(likeness) = sought.likeness(&query) {
                    like.push((likeness, row.get(1)?, RequestId::from_bytes(row.get(0)?)));
                    // The likest are kept, and of those the newest, which came first.
                    like.sort_by_key(|(likeness, ..)| *likeness);
                    like.truncate(limit);
                }
            }
            tenants(&snapshot)
        })?;
        for (likeness, tenant, id) in like {
            let tenant = tenants.iter().find(|(known, _)| *known == tenant);
            let Some((_, tenant)) = tenant else {
                continue;
            };
            let request = self.request(tenant, id)?;
            let tenant = tenant.clone();
            arrivals.found.extend(request.map(|request| Arrived { tenant, likeness, request }));
        }
        Ok(arrivals)
    }

    /// What is stored of the ids that are sought, of all tenants. Conversions are found by their
    /// id; external ids by `external_id` of each tenant, or else by looking through the newest
    /// `examined_max` conversions.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn known_ids(&self, sought: &Sought<'_>, examined_max: u64) -> Result<Known, ReadError> {
        let mut known = Known::default();
        let tenants = self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            let tenants = tenants(&snapshot)?;
            let name = |id: i64| tenants.iter().find(|(known, _)| *known == id);
            if let Some((first, last)) = sought.conversions() {
                let sql = "SELECT id, tenant FROM conversions \
                           WHERE number >= ?1 AND number < ?2 ORDER BY number LIMIT ?3";
                let from = numbers::first_from(&snapshot, Table::Conversions, first.as_bytes())?;
                let behind = numbers::first_behind(&snapshot, Table::Conversions, last.as_bytes())?;
                let mut statement = snapshot.prepare(sql)?;
                let given = params![from, behind, CONVERSIONS_MAX as i64];
                let mut rows = statement.query(given)?;
                while let Some(row) = rows.next()? {
                    let id = ConversionId::from_bytes(row.get(0)?);
                    let tenant = name(row.get(1)?);
                    known.conversions.extend(tenant.map(|(_, name)| (name.clone(), id)));
                }
            }
            if sought.external_id().is_some() {
                let sql =
                    "SELECT external_id, tenant FROM conversions ORDER BY number DESC LIMIT ?1";
                let mut statement = snapshot.prepare(sql)?;
                let most = i64::try_from(examined_max).unwrap_or(i64::MAX);
                let mut rows = statement.query(params![most])?;
                while let Some(row) = rows.next()? {
                    let Some(id) = row.get::<_, Option<String>>(0)? else {
                        continue;
                    };
                    if known.external_ids.len() == EXTERNAL_IDS_MAX {
                        break;
                    }
                    let tenant = name(row.get(1)?).filter(|_| sought.is_like(&id));
                    known.external_ids.extend(tenant.map(|(_, name)| (name.clone(), id.into())));
                }
            }
            Ok(tenants)
        })?;
        if let Some(external_id) = sought.external_id() {
            let filter = Filter { external_id: Some(external_id.to_owned()), ..Filter::default() };
            for (_, tenant) in tenants {
                if !self.conversions(&tenant, &filter)?.items.is_empty() {
                    known.external_ids.insert(0, (tenant, external_id.into()));
                }
            }
        }
        Ok(known)
    }
}

/// All tenants, by their numbers.
fn tenants(db: &Connection) -> Result<Vec<(i64, TenantName)>, Fault> {
    let mut statement = db.prepare_cached("SELECT id, name FROM tenants ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut tenants = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        let name = TenantName::new(&name).map_err(|_| crate::fault::bad("tenants", &name))?;
        tenants.push((row.get(0)?, name));
    }
    Ok(tenants)
}
