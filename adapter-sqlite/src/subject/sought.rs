//! Which log rows are about a visitor, those among them that were refused and only name it.

use std::collections::BTreeSet;

use counterfoil_core::{
    ConversionId, DIALECTS, Dialect, Incoming, Method, Parameter, decode, view::Subject,
};
use rusqlite::Connection;

use crate::{fault::Fault, gaps, log::LogRow, rules};

/// What log rows are looked through for.
pub(super) struct Sought<'a> {
    subject: &'a Subject,
    /// The conversions, and the id that was asked for, whether it is stored or not.
    ids: BTreeSet<ConversionId>,
    /// What some dialect of the tenant calls the advertiser's id, and the advertiser.
    external_id_names: BTreeSet<String>,
    advertiser_names: BTreeSet<String>,
}

impl<'a> Sought<'a> {
    pub(super) fn new(
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

    /// Whether a log row is about the subject, or is about nobody and names it.
    pub(super) fn is_in(&self, logged: &LogRow) -> bool {
        let mut named = logged.conversion.into_iter().chain(gaps::named(&logged.more.trace));
        named.any(|id| self.ids.contains(&id))
            || logged.conversion.is_none() && self.is_named_in(&logged.query)
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
