//! Everything that is known about one visitor: a root, what is under it, and the requests and
//! messages about these.

use std::collections::BTreeSet;

use counterfoil_core::{
    ConversionId, DIALECTS, Incoming, Meaning, Method, Parameter, RequestId, TenantName, decode,
    view::{ConversionView, DeliveryView, Filter, Page, RequestView, Subject},
};
use rusqlite::{Connection, params};
use serde::Serialize;

use crate::{ReadError, Reader, fault::Fault, gaps, log, rules, under_root};

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
    /// Where the database cannot be read.
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
                let (external_id, advertiser) = (Some(external_id.clone()), advertiser.clone());
                let filter = Filter { external_id, advertiser, ..Filter::default() };
                pages(filter, |filter| self.conversions(tenant, filter))?
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
    let sql = format!("SELECT {} FROM requests WHERE tenant = ?1 ORDER BY id", log::REQUEST);
    let mut statement = db.prepare(&sql)?;
    let mut found = statement.query(params![tenant])?;
    let mut ids = Vec::new();
    while let Some(row) = found.next()? {
        let logged = log::read_request(row)?;
        let mut named = logged.conversion.into_iter().chain(gaps::named(&logged.more.trace));
        let is_about = named.any(|id| conversions.contains(&id))
            || logged.conversion.is_none() && names(&logged.query, conversions, subject);
        if is_about {
            ids.push(logged.id);
        }
    }
    Ok(ids)
}

/// Whether parameters name the subject. Of what cannot be decoded the text is looked at.
fn names(query: &str, conversions: &BTreeSet<ConversionId>, subject: &Subject) -> bool {
    let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
    let Ok(pairs) = decode(&incoming) else {
        return match subject {
            Subject::Pcid(id) => query.contains(&id.to_string()),
            Subject::External { external_id, .. } => query.contains(external_id.as_str()),
        };
    };
    pairs.iter().any(|(name, value)| {
        let is_pcid = || value.parse().is_ok_and(|id| conversions.contains(&id));
        match subject {
            Subject::External { external_id, .. } if names_external_id(name) => {
                value == external_id || is_pcid()
            }
            _ => is_pcid(),
        }
    })
}

/// Whether some dialect calls the advertiser's id so.
fn names_external_id(name: &str) -> bool {
    let rows = DIALECTS.iter().flat_map(|dialect| dialect.rows.iter());
    let mut known = rows.filter(|row| row.means == Meaning::Known(Parameter::ExternalId));
    known.any(|row| row.name == name)
}
