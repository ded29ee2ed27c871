//! What the rules say about personal values: `privacy`.

use alloc::{boxed::Box, format, vec::Vec};

use super::item::{Item, Table};
use crate::{
    decode::NAME_LEN_MAX,
    parameter::Parameter,
    privacy::{Privacy, Treatment, is_same_name},
    reason::shown,
    root::is_root_field,
    token::TenantName,
};

const KEYS: [&str; 5] = ["email", "phone", "drop", "hash", "keep"];
/// The most names in one of the lists.
const NAMES_MAX: usize = 100;

/// The policy of a tenant.
pub(super) fn privacy(file: &Table<'_>, tenant: Option<&TenantName>) -> Option<Privacy> {
    let default = tenant.map(|tenant| Privacy::of_tenant(tenant.clone()));
    let Some(table) = file.get("privacy").and_then(|item| item.table(&KEYS, &[])) else {
        return default;
    };
    let treatment = |key: &str| table.get(key)?.word("treatment", &Treatment::ALL, Treatment::name);
    let (email, phone) = (treatment("email"), treatment("phone"));
    let mut listed = Vec::new();
    for treatment in [Treatment::Drop, Treatment::Hash, Treatment::Keep] {
        list(&table, treatment, &mut listed);
    }
    let default = default?;
    let (email, phone) = (email.unwrap_or(default.email), phone.unwrap_or(default.phone));
    Some(Privacy { email, phone, listed, ..default })
}

fn list(table: &Table<'_>, treatment: Treatment, listed: &mut Vec<(Box<str>, Treatment)>) {
    let items = table.get(treatment.name()).and_then(|item| item.list()).unwrap_or_default();
    if let Some(beyond) = items.get(NAMES_MAX) {
        beyond.error(format!("there are more than {NAMES_MAX} names"), "remove some");
    }
    for item in items.iter().take(NAMES_MAX) {
        let Some(name) = own_name(item) else {
            continue;
        };
        match listed.iter().find(|(known, _)| is_same_name(known, name)) {
            Some((_, other)) if *other != treatment => {
                let message =
                    format!("`{}` is listed under `{}` already", shown(name), other.name());
                item.error(message, "keep one of both");
            }
            Some(_) => item.warning("this is already in the list", "write it once"),
            None => listed.push((name.into(), treatment)),
        }
    }
}

/// The name of a parameter of the senders' own.
fn own_name<'t>(item: &Item<'t>) -> Option<&'t str> {
    let name = item.name()?;
    if name.len() > NAME_LEN_MAX {
        item.error("no parameter has so long a name", "a name has at most 64 bytes");
        return None;
    }
    if Parameter::named(name).is_some() || is_root_field(name) {
        let message = format!("`{}` has a meaning, and is not the sender's own", shown(name));
        item.error(message, "list names of params");
        return None;
    }
    Some(name)
}
