//! What the rules define, by id: collected before anything that refers to it is read. Every
//! definition's table and id is read here, once; what else is in it is for the readers.

use alloc::{
    borrow::ToOwned,
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    vec::Vec,
};
use core::{borrow::Borrow, fmt::Display};

use super::item::{Item, Table};
use crate::{
    conversion::ConversionType,
    reason::shown,
    token::{
        AdvertiserId, AffiliateId, CommissionId, DialectName, GroupName, OfferId, PostbackId,
        TokenError, TrackingApiId, TypeName,
    },
};

/// The built-in types, for as long as their names are wanted.
static BUILT_IN: [ConversionType; 6] = ConversionType::BUILT_IN;
/// In conditions, every registered type (R9).
const CUSTOM: &str = "custom";

/// The most definitions of one kind.
const DEFINITIONS_MAX: usize = 50_000;

/// All definitions of one kind, in the order of the text.
pub(super) struct Defined<'t, T> {
    /// Each one's table, with its id where that is right.
    pub(super) tables: Vec<(Table<'t>, Option<T>)>,
    what: &'static str,
    paths: BTreeMap<T, String>,
}

/// How definitions of one kind are written.
struct Kind {
    /// What one is, for people.
    what: &'static str,
    /// The key of their list.
    key: &'static str,
    /// The key of the id.
    id: &'static str,
    /// All keys.
    keys: &'static [&'static str],
    /// Keys that come with a later version.
    later: &'static [&'static str],
}

/// Everything that can be referred to.
pub(super) struct Names<'t> {
    pub(super) types: Defined<'t, TypeName>,
    pub(super) advertisers: Defined<'t, AdvertiserId>,
    pub(super) affiliates: Defined<'t, AffiliateId>,
    pub(super) offers: Defined<'t, OfferId>,
    pub(super) commissions: Defined<'t, CommissionId>,
    pub(super) dialects: Defined<'t, DialectName>,
    pub(super) postbacks: Defined<'t, PostbackId>,
    pub(super) tracking_apis: Defined<'t, TrackingApiId>,
    groups: BTreeSet<GroupName>,
}

const TYPE: Kind =
    Kind { what: "type", key: "conversion_type", id: "name", keys: &["name"], later: &[] };
const ADVERTISER: Kind =
    Kind { what: "advertiser", key: "advertiser", id: "id", keys: &["id", "name"], later: &[] };
const AFFILIATE: Kind = Kind {
    what: "affiliate",
    key: "affiliate",
    id: "id",
    keys: &["id", "name", "group", "api_tokens"],
    later: &[],
};
const OFFER: Kind = Kind {
    what: "offer",
    key: "offer",
    id: "id",
    keys: &["id", "name", "advertiser", "country", "url", "click_window"],
    later: &[],
};
const COMMISSION: Kind = Kind {
    what: "commission",
    key: "commission",
    id: "id",
    keys: &[
        "id",
        "type",
        "revenue",
        "payout",
        "offers",
        "advertisers",
        "affiliates",
        "groups",
        "sources",
        "channels",
        "valid_from",
        "valid_to",
        "transaction_type",
        "recurrence",
        "auto_approve",
        "inherit_result",
        "auto_set",
        "accept_direct_amount",
        "active",
    ],
    later: &[],
};
const DIALECT: Kind = Kind {
    what: "dialect",
    key: "dialect",
    id: "id",
    keys: &[
        "id",
        "system",
        "extends",
        "names",
        "macros",
        "click_macros",
        "status",
        "events",
        "fixed",
        "default_type",
        "dedup",
        "answer",
    ],
    later: &[],
};
const POSTBACK: Kind = Kind {
    what: "postback",
    key: "postback",
    id: "id",
    keys: &[
        "id",
        "active",
        "sources",
        "types",
        "affiliates",
        "advertisers",
        "offers",
        "dialect",
        "default_type",
        "answer",
        "auth",
        "https_only",
        "status",
        "dedup",
        "limits",
        "step",
    ],
    later: &[],
};
const TRACKING_API: Kind = Kind {
    what: "tracking API",
    key: "tracking_api",
    id: "id",
    keys: &[
        "id",
        "owner",
        "trigger",
        "sources",
        "types",
        "commissions",
        "affiliates",
        "advertisers",
        "integrations",
        "channels",
        "offers",
        "offers_excluded",
        "results",
        "request",
        "timeout",
        "retry",
        "poll",
        "set",
        "sign",
        "delay",
        "ordered",
        "active",
    ],
    later: &[],
};

impl<'t> Names<'t> {
    /// Reads the ids of everything.
    pub(super) fn collect(file: &Table<'t>) -> Self {
        let affiliates = Defined::collect(file, &AFFILIATE, AffiliateId::new);
        let groups = affiliates.tables.iter().filter_map(|(table, _)| {
            // What is wrong with a group is told where the affiliate is read.
            GroupName::new(table.get("group")?.as_text()?).ok()
        });
        Self {
            types: Defined::collect(file, &TYPE, TypeName::new),
            advertisers: Defined::collect(file, &ADVERTISER, AdvertiserId::new),
            offers: Defined::collect(file, &OFFER, OfferId::new),
            commissions: Defined::collect(file, &COMMISSION, CommissionId::new),
            dialects: Defined::collect(file, &DIALECT, DialectName::new),
            postbacks: Defined::collect(file, &POSTBACK, PostbackId::new),
            tracking_apis: Defined::collect(file, &TRACKING_API, TrackingApiId::new),
            groups: groups.collect(),
            affiliates,
        }
    }

    /// One type, built in or registered.
    pub(super) fn conversion_type(&self, item: &Item<'_>) -> Option<ConversionType> {
        let name = item.text()?;
        let found = ConversionType::built_in(name);
        let found = found.or_else(|| self.types.known(name).map(ConversionType::Custom));
        if found.is_some() {
            return found;
        }
        if name == CUSTOM {
            let message = "`custom` stands for every registered type, and one is wanted here";
            item.error(message, "name the type");
        } else {
            let message = format!("`{}` is no type", shown(name));
            item.unknown(message, name, self.type_names());
        }
        None
    }

    /// The types that one word of a condition stands for (R9).
    pub(super) fn types(&self, item: &Item<'_>) -> Vec<ConversionType> {
        if item.as_text() != Some(CUSTOM) {
            return self.conversion_type(item).into_iter().collect();
        }
        if self.types.paths.is_empty() {
            let message = "`custom` stands for every registered type, and there is none";
            item.error(message, "register one with `[[conversion_type]]`");
        }
        let registered = self.types.paths.keys().cloned();
        registered.map(ConversionType::Custom).collect()
    }

    /// A group that an affiliate is in.
    pub(super) fn group(&self, item: &Item<'_>) -> Option<GroupName> {
        let name = item.text()?;
        let found = self.groups.get(name).cloned();
        if found.is_none() {
            let message = format!("no affiliate is in a group `{}`", shown(name));
            item.unknown(message, name, self.groups.iter().map(GroupName::as_str));
        }
        found
    }

    fn type_names(&self) -> impl Iterator<Item = &str> {
        let registered = self.types.paths.keys().map(TypeName::as_str);
        BUILT_IN.iter().map(ConversionType::name).chain(registered)
    }
}

impl<'t, T: Ord + Clone + Borrow<str> + Display> Defined<'t, T> {
    fn collect(file: &Table<'t>, kind: &Kind, make: fn(&str) -> Result<T, TokenError>) -> Self {
        let mut defined = Self { tables: Vec::new(), what: kind.what, paths: BTreeMap::new() };
        let items = file.tables(kind.key);
        if let Some(beyond) = items.get(DEFINITIONS_MAX) {
            let message = format!("there are more than {DEFINITIONS_MAX} of these");
            beyond.error(message, "split the programme, or remove what is old");
        }
        for item in items.into_iter().take(DEFINITIONS_MAX) {
            let Some(table) = item.table(kind.keys, kind.later) else {
                continue;
            };
            let example = format!("{} = \"...\"", kind.id);
            let id = table.required(kind.id, &example);
            let id = id.and_then(|id| defined.claim(&id, make));
            defined.tables.push((table, id));
        }
        defined
    }

    /// The id, where it is right and nobody else's.
    fn claim(&mut self, item: &Item<'t>, make: fn(&str) -> Result<T, TokenError>) -> Option<T> {
        let id = item.token(make)?;
        if let Some(first) = self.paths.get::<str>(id.borrow()) {
            let message = format!("another {} is called `{id}` already", self.what);
            item.error(message, format!("see `{first}`"));
            return None;
        }
        self.paths.insert(id.clone(), item.path().to_owned());
        Some(id)
    }

    /// The definition that a text names.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<T> {
        let name = item.text()?;
        let found = self.known(name);
        if found.is_none() {
            let message = format!("no {} has the id `{}`", self.what, shown(name));
            item.unknown(message, name, self.paths.keys().map(Borrow::borrow));
        }
        found
    }

    /// All ids.
    pub(super) fn ids(&self) -> impl Iterator<Item = &T> {
        self.paths.keys()
    }

    /// The definition of this id, where there is one.
    pub(super) fn known(&self, name: &str) -> Option<T> {
        self.paths.get_key_value(name).map(|(id, _)| id.clone())
    }
}
