//! What senders of a definition must prove: `auth` and `https_only` (R49).

use alloc::{collections::BTreeSet, format};
use core::net::IpAddr;

use ipnet::IpNet;

use super::{
    call::period,
    item::{Item, Table},
};
use crate::{
    authentication::{Authentication, Signed},
    reason::shown,
    ruleset::KeyKind,
    time::Period,
    token::SecretName,
};

const KEYS: [&str; 4] = ["tokens", "signed_query", "standard_webhooks", "addresses"];
/// How far a sender's clock may be off where the rules do not say.
const TOLERANCE: Period = Period::from_ms(5 * 60_000);
const TOLERANCES: (Period, Period) = (Period::from_ms(1_000), Period::from_ms(60 * 60_000));

/// What a definition asks of senders; `key` is its repeat key.
pub(super) fn authentication(definition: &Table<'_>, key: KeyKind) -> Authentication {
    let https_only = definition.flag_or("https_only", false);
    let table = definition.get("auth").and_then(|item| item.table(&KEYS, &[]));
    let Some(table) = table else {
        return Authentication { https_only, ..Authentication::default() };
    };
    if KEYS.iter().all(|key| table.get(key).is_none()) && !table.has_unknown_keys() {
        table.item.error("this asks for nothing", "give it tokens, or leave the key out");
    }
    let both = table.get("signed_query").and_then(|_| table.get("standard_webhooks"));
    if let Some(item) = both {
        let message = "nothing passes that has a body: a signed query must come without one";
        item.warning(message, "keep one of both, or make two definitions");
    }
    Authentication {
        https_only,
        tokens: secrets(&table, "tokens"),
        signed_query: table.get("signed_query").and_then(|item| signed(&item, key)),
        standard_webhooks: table.get("standard_webhooks").and_then(|item| signed(&item, key)),
        addresses: table.condition("addresses", network).unwrap_or_default(),
    }
}

fn signed(item: &Item<'_>, key: KeyKind) -> Option<Signed> {
    let table = item.table(&["secrets", "tolerance"], &[])?;
    let (least, most) = TOLERANCES;
    let tolerance = table.get("tolerance").map(|item| period(&item, least, most));
    table.required("secrets", "secrets = [\"{secret:shoply_key}\"]")?;
    let secrets = secrets(&table, "secrets");
    let signed = Signed { secrets, tolerance: tolerance.unwrap_or(Some(TOLERANCE))? };
    warn_about_replays(item, key);
    Some(signed)
}

/// A signature proves who sent a request, not that it is sent for the first time. Within the
/// tolerance only a repeat key holds a copy back, and `external` is none without an external id.
fn warn_about_replays(item: &Item<'_>, key: KeyKind) {
    let held_back = match key {
        KeyKind::None => "never",
        KeyKind::External => "only where it has an external id",
        KeyKind::Click | KeyKind::ClickType | KeyKind::ClickExternal => return,
    };
    let message = format!(
        "a signed request can be sent again within the tolerance, and the repeat key `{}` holds it \
         back {held_back}",
        key.name()
    );
    item.warning(message, "choose another `dedup.key`, as in \"click+external\"");
}

/// Any one of them is enough, so that one can replace another.
fn secrets(table: &Table<'_>, key: &str) -> BTreeSet<SecretName> {
    table.condition(key, Item::secret).unwrap_or_default()
}

/// An address, or one with the length of its prefix.
fn network(item: &Item<'_>) -> Option<IpNet> {
    let text = item.text()?;
    let network = text.parse::<IpNet>().map(|network| network.trunc());
    let found = network.ok().or_else(|| text.parse().map(|address: IpAddr| address.into()).ok());
    if found.is_none() {
        let message = format!("`{}` is no network", shown(text));
        item.error(message, "write an address, or one with a prefix, as in 203.0.113.0/24");
    }
    found
}
