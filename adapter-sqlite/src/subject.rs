//! Everything that is known about one visitor: a root, what is under it, and the requests and
//! messages about these.

mod sought;

use std::collections::BTreeSet;

use counterfoil_core::{
    ConversionId, RequestId, TenantName,
    view::{ConversionView, DeliveryView, Filter, Page, RequestView, Subject},
};
use rusqlite::{Connection, params};
use serde::Serialize;

use self::sought::Sought;
use crate::{ReadError, Reader, fault::Fault, log, rules, under_root};

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
        let named = match subject {
            Subject::Pcid(id) => self.conversion(tenant, *id)?.into_iter().collect(),
            Subject::External { external_id, advertiser } => {
                let filter = Filter {
                    external_id: Some(external_id.clone()),
                    advertiser: advertiser.clone(),
                    ..Filter::default()
                };
                let carry = pages(filter, |filter| self.conversions(tenant, filter))?;
                let advertisers = carry.iter().map(|view| view.advertiser_id.clone());
                of_one_advertiser(external_id, advertisers.collect())?;
                carry
            }
        };
        let roots: BTreeSet<ConversionId> = named.iter().map(|view| view.root_id).collect();
        self.with(|db| {
            let mut held = Holdings { conversions: roots.clone(), roots, ..Holdings::default() };
            for root in &held.roots {
                held.conversions.extend(under_root::all(db, root)?);
            }
            let Some((tenant, _)) = rules::tenant_of(db, tenant)? else {
                return Ok(held);
            };
            held.requests = requests(db, tenant, &held.conversions, subject)?;
            Ok(held)
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

/// The log rows about some conversions, and those about none that name the subject.
fn requests(
    db: &Connection,
    tenant: i64,
    conversions: &BTreeSet<ConversionId>,
    subject: &Subject,
) -> Result<Vec<RequestId>, Fault> {
    let sought = Sought::new(db, tenant, conversions, subject)?;
    let sql = format!("SELECT {} FROM requests WHERE tenant = ?1 ORDER BY id", log::REQUEST);
    let mut statement = db.prepare(&sql)?;
    let mut found = statement.query(params![tenant])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        let logged = log::read_request(row)?;
        if sought.is_in(&logged) {
            ids.push(logged.id);
        }
    }
    Ok(ids)
}
