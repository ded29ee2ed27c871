//! Everything that is known about one visitor: a root, what is under it, and the requests and
//! messages about these.

use std::collections::BTreeSet;

use counterfoil_core::{
    ConversionId, DIALECTS, Dialect, Incoming, Method, Parameter, RequestId, TenantName, decode,
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
                of_one_advertiser(carry, external_id)?
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

/// Conversions that carry an external id, where all are of one advertiser (R14).
fn of_one_advertiser(
    carry: Vec<ConversionView>,
    external_id: &str,
) -> Result<Vec<ConversionView>, ReadError> {
    let advertisers: BTreeSet<_> = carry.iter().map(|view| view.advertiser_id.clone()).collect();
    if advertisers.len() > 1 {
        let advertisers = advertisers.into_iter().collect();
        let external_id = external_id.to_owned();
        return Err(ReadError::SeveralAdvertisers { external_id, advertisers });
    }
    Ok(carry)
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

/// What log rows are looked through for.
struct Sought<'a> {
    subject: &'a Subject,
    /// The conversions, and the id that was asked for, whether it is stored or not.
    ids: BTreeSet<ConversionId>,
    /// What some dialect of the tenant calls the advertiser's id, and the advertiser.
    external_id_names: BTreeSet<String>,
    advertiser_names: BTreeSet<String>,
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
        let mut named = logged.conversion.into_iter().chain(gaps::named(&logged.more.trace));
        let is_about = named.any(|id| sought.ids.contains(&id))
            || logged.conversion.is_none() && sought.is_named_in(&logged.query);
        if is_about {
            ids.push(logged.id);
        }
    }
    Ok(ids)
}

impl<'a> Sought<'a> {
    fn new(
        db: &Connection,
        tenant: i64,
        conversions: &BTreeSet<ConversionId>,
        subject: &'a Subject,
    ) -> Result<Self, Fault> {
        let mut ids = conversions.clone();
        if let Subject::Pcid(id) = subject {
            ids.insert(*id);
        }
        let (external_id_names, advertiser_names) = Default::default();
        let mut sought = Self { subject, ids, external_id_names, advertiser_names };
        if matches!(subject, Subject::External { .. }) {
            sought.learn_names(db, tenant)?;
        }
        Ok(sought)
    }

    /// The names of the built-in dialects, and of those in any rules that were ever installed. What
    /// this build cannot read is left out.
    fn learn_names(&mut self, db: &Connection, tenant: i64) -> Result<(), Fault> {
        DIALECTS.into_iter().for_each(|dialect| self.learn(dialect));
        let mut versions = db.prepare("SELECT version FROM rulesets WHERE tenant = ?1")?;
        let versions = versions.query_map([tenant], |row| row.get(0))?;
        for version in versions.collect::<Result<Vec<u32>, _>>()? {
            if let Ok(ruleset) = rules::load(db, tenant, version)? {
                ruleset.dialects().iter().for_each(|dialect| self.learn(dialect));
            }
        }
        Ok(())
    }

    fn learn(&mut self, dialect: &Dialect) {
        for (name, parameter) in dialect.known_names() {
            let names = match parameter {
                Parameter::ExternalId => &mut self.external_id_names,
                Parameter::AdvertiserId => &mut self.advertiser_names,
                _ => continue,
            };
            names.insert(name.to_owned());
        }
    }

    /// Whether parameters name the subject. Of what cannot be decoded the text is looked at.
    fn is_named_in(&self, query: &str) -> bool {
        let incoming = Incoming { method: Method::S2s, dialect: None, query, body: None };
        let Ok(pairs) = decode(&incoming) else {
            return self.is_named_in_text(query);
        };
        let holds_id = |value: &str| value.parse().is_ok_and(|id| self.ids.contains(&id));
        if pairs.iter().any(|(_, value)| holds_id(value)) {
            return true;
        }
        let Subject::External { external_id, advertiser } = self.subject else {
            return false;
        };
        let named = |names: &BTreeSet<String>, wanted: &str| {
            pairs.iter().any(|(name, value)| names.contains(&**name) && value == wanted)
        };
        let names_other = advertiser.as_ref().is_some_and(|advertiser| {
            let names_any = pairs.iter().any(|(name, _)| self.advertiser_names.contains(&**name));
            names_any && !named(&self.advertiser_names, advertiser)
        });
        named(&self.external_id_names, external_id) && !names_other
    }

    /// Ids are found however they are spelt: in any case, with hyphens, encoded ones, or none.
    fn is_named_in_text(&self, text: &str) -> bool {
        let bare = bare(&text.to_ascii_lowercase().replace("%2d", "-"));
        let holds_id = self.ids.iter().any(|id| bare.contains(&self::bare(&id.to_string())));
        holds_id
            || match self.subject {
                Subject::Pcid(_) => false,
                Subject::External { external_id, .. } => text.contains(external_id.as_str()),
            }
    }
}

fn bare(text: &str) -> String {
    text.replace('-', "")
}
