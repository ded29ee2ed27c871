//! Everything that is known about one visitor: a root, what is under it, and the requests and
//! messages about these.

mod sought;

use std::collections::BTreeSet;

use counterfoil_core::{
    ConversionId, ExternalId, PairKey, RequestId, TenantName,
    view::{ConversionView, DeliveryView, Filter, Page, RequestView, Subject},
};
use rusqlite::{Connection, params};
use serde::Serialize;

use self::sought::Sought;
use crate::{
    ReadError, Reader, effects, facts,
    fault::Fault,
    log,
    numbers::{self, Table},
    rows,
    rules::{self, Versions},
    under_root,
};

/// What is known about a subject, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Its roots and what is under them, with transactions.
    pub conversions: Vec<ConversionView>,
    /// Its log rows, those among them that were refused and name it.
    pub requests: Vec<RequestView>,
    /// What other systems were told about it, with their answers.
    pub deliveries: Vec<DeliveryView>,
}

/// Where it is kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings {
    pub(crate) roots: BTreeSet<ConversionId>,
    pub(crate) conversions: BTreeSet<ConversionId>,
    pub(crate) requests: Vec<RequestId>,
    /// The newest id of the database when it was looked for.
    upto: [u8; 16],
}

impl Reader {
    /// What is known about a subject; nothing, where nobody is meant. Every log row is looked at.
    ///
    /// # Errors
    /// Where conversions of several advertisers carry the external id and none is named (R14), and
    /// where the database cannot be read.
    pub fn known_about(&self, tenant: &TenantName, subject: &Subject) -> Result<Known, ReadError> {
        let held = self.holdings(tenant, subject)?;
        let mut known = Known::default();
        for id in &held.conversions {
            known.conversions.extend(self.conversion(tenant, *id)?);
            let of = Filter { conversion: Some(id.to_string()), ..Filter::default() };
            known.deliveries.extend(pages(of, |filter| self.deliveries(tenant, filter))?);
        }
        for id in &held.requests {
            known.requests.extend(self.request(tenant, *id)?);
        }
        known.deliveries.sort_by_key(|delivery| delivery.id);
        Ok(known)
    }

    pub(crate) fn holdings(
        &self,
        tenant: &TenantName,
        subject: &Subject,
    ) -> Result<Holdings, ReadError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            Holdings::default().caught_up(&snapshot, tenant, subject)
        })
    }
}

/// Refuses an external id that means nobody until an advertiser is named (R14).
fn of_one_advertiser(external_id: &str, carry: BTreeSet<Box<str>>) -> Result<(), Fault> {
    if carry.len() < 2 {
        return Ok(());
    }
    let external_id = external_id.to_owned();
    Err(Fault::SeveralAdvertisers { external_id, advertisers: carry.into_iter().collect() })
}

/// All pages of a list.
fn pages<T>(
    mut filter: Filter,
    page: impl Fn(&Filter) -> Result<Page<T>, ReadError>,
) -> Result<Vec<T>, ReadError> {
    filter.limit = Some(Filter::LIMIT_MAX);
    let mut all = Vec::new();
    loop {
        let page = page(&filter)?;
        all.extend(page.items);
        match page.next_cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => return Ok(all),
        }
    }
}

impl Holdings {
    /// What is kept now. Only log rows that came since are looked at, or all of them, where other
    /// conversions of before belong to the subject now.
    pub(crate) fn caught_up(
        self,
        db: &Connection,
        tenant: &TenantName,
        subject: &Subject,
    ) -> Result<Self, Fault> {
        let Some((tenant, version)) = rules::tenant_of(db, tenant)? else {
            return Ok(Self::default());
        };
        let roots = roots(db, tenant, version, subject)?;
        let mut conversions = roots.clone();
        for root in &roots {
            conversions.extend(under_root::all(db, root)?);
        }
        let seen = ConversionId::from_bytes(self.upto);
        let is_as_before = conversions.range(..=seen).eq(&self.conversions);
        let (mut requests, after) =
            if is_as_before { (self.requests, self.upto) } else { (Vec::new(), [0; 16]) };
        requests.extend(requests_after(db, tenant, after, &conversions, subject)?);
        let upto = effects::newest_id(db)?.unwrap_or_default();
        Ok(Self { roots, conversions, requests, upto })
    }
}

/// The roots that a subject names, or that stand above what it names.
fn roots(
    db: &Connection,
    tenant: i64,
    version: u32,
    subject: &Subject,
) -> Result<BTreeSet<ConversionId>, Fault> {
    let (external_id, only) = match subject {
        Subject::Pcid(id) => {
            let named = rows::conversion(db, tenant, id)?;
            return Ok(named.into_iter().map(|named| named.root_id).collect());
        }
        Subject::External { external_id, advertiser } => (external_id, advertiser),
    };
    let rules = Versions::default().get(db, tenant, version)?;
    let (Ok(external_id), Some(rules)) = (ExternalId::new(external_id), rules) else {
        return Ok(BTreeSet::new());
    };
    let mut roots = BTreeSet::new();
    let mut carry = BTreeSet::new();
    for advertiser in rules.ruleset.advertisers() {
        if only.as_ref().is_some_and(|only| only != advertiser.id.as_str()) {
            continue;
        }
        let pair = PairKey::of(&advertiser.id, &external_id);
        for id in facts::carriers(db, tenant, &pair, usize::MAX)? {
            let carrier = rows::conversion(db, tenant, &id)?;
            let named = carrier.filter(|found| found.external_id.as_ref() == Some(&external_id));
            let Some(named) = named else { continue };
            roots.insert(named.root_id);
            carry.insert(advertiser.id.as_str().into());
        }
    }
    of_one_advertiser(external_id.as_str(), carry)?;
    Ok(roots)
}

/// The log rows about some conversions, and those about none that name the subject.
fn requests_after(
    db: &Connection,
    tenant: i64,
    after: [u8; 16],
    conversions: &BTreeSet<ConversionId>,
    subject: &Subject,
) -> Result<Vec<RequestId>, Fault> {
    let sought = Sought::new(db, tenant, conversions, subject)?;
    let columns = log::REQUEST;
    let sql = format!(
        "SELECT {columns} FROM requests WHERE tenant = ?1 AND number >= ?2 ORDER BY number"
    );
    let behind = numbers::first_behind(db, Table::Requests, &after)?;
    let mut statement = db.prepare(&sql)?;
    let mut found = statement.query(params![tenant, behind])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        let logged = log::read_request(row)?;
        if sought.is_in(&logged) {
            ids.push(logged.id);
        }
    }
    Ok(ids)
}
