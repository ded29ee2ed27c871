//! Tracking APIs (R37 to R39, R43).

use alloc::{collections::BTreeSet, format, vec::Vec};

use super::{
    call::{call, period},
    commission::{result, source},
    item::{Item, Table},
    names::Names,
    template::Visibility,
};
use crate::{
    reason::shown,
    time::Period,
    token::{Channel, Integration, SecretName, TrackingApiId},
    tracking_api::{Owner, ResultCondition, TrackingApi, TrackingConditions, Trigger},
    transaction::TransactionResult,
};

/// The shortest and the longest delay.
const DELAYS: (Period, Period) = (Period::from_ms(1_000), Period::from_ms(365 * 86_400_000));
/// The most secrets that sign one message: the new one and those that it replaces.
const SIGNERS_MAX: usize = 8;

/// The definitions, in the order of the text.
pub(super) fn tracking_apis(names: &Names<'_>) -> Vec<TrackingApi> {
    let one =
        |(table, id): &(Table<'_>, Option<TrackingApiId>)| tracking_api(table, id.clone(), names);
    names.tracking_apis.tables.iter().filter_map(one).collect()
}

fn tracking_api(
    table: &Table<'_>,
    id: Option<TrackingApiId>,
    names: &Names<'_>,
) -> Option<TrackingApi> {
    let owner_given = table.get("owner").map(|item| owner(&item, names));
    let visibility = match owner_given {
        None | Some(Some(Owner::Admin)) => Visibility::All,
        Some(Some(Owner::Affiliate(_))) => Visibility::PayoutOnly,
        // Whose it is is not known: only what is wrong for everyone is told.
        Some(None) => Visibility::All,
    };
    let trigger_given = table.get("trigger");
    let trigger = trigger_given.map(|item| item.word("trigger", &Trigger::ALL, Trigger::name));
    let conditions = conditions(table, names);
    let call = call(table, visibility);
    let sign = table.get("sign").map(|item| signers(&item));
    let trigger = trigger.unwrap_or(Some(Trigger::default()));
    let delay = table.get("delay").and_then(|item| delay(&item, trigger));
    let (ordered, active) = (table.flag_or("ordered", true), table.flag_or("active", true));
    let api = TrackingApi {
        id: id?,
        owner: owner_given.unwrap_or(Some(Owner::Admin))?,
        trigger: trigger?,
        conditions,
        call: call?,
        sign: sign.unwrap_or_default(),
        delay,
        ordered,
        active,
    };
    warn_about_silence(table, &api);
    warn_about_unsigned_urls(table, &api);
    Some(api)
}

fn owner(item: &Item<'_>, names: &Names<'_>) -> Option<Owner> {
    if let Some(word) = item.as_text() {
        if word.eq_ignore_ascii_case("admin") {
            return Some(Owner::Admin);
        }
        let message = format!("`{}` is no owner", shown(word));
        item.error(message, "write \"admin\" or { affiliate = \"...\" }");
        return None;
    }
    let table = item.table(&["affiliate"], &[])?;
    let affiliate = table.required("affiliate", "affiliate = \"bo\"")?;
    names.affiliates.find(&affiliate).map(Owner::Affiliate)
}

fn conditions(table: &Table<'_>, names: &Names<'_>) -> TrackingConditions {
    let excluded = table.condition("offers_excluded", |item| names.offers.find(item));
    TrackingConditions {
        sources: table.condition("sources", source),
        types: table.get("types").and_then(|item| item.set(|item| names.types(item))),
        commissions: table.condition("commissions", |item| names.commissions.find(item)),
        affiliates: table.condition("affiliates", |item| names.affiliates.find(item)),
        advertisers: table.condition("advertisers", |item| names.advertisers.find(item)),
        integrations: table.condition("integrations", |item| item.token(Integration::new)),
        channels: table.condition("channels", |item| item.token(Channel::new)),
        offers: table.condition("offers", |item| names.offers.find(item)),
        offers_excluded: excluded.unwrap_or_default(),
        results: table.get("results").map(|item| results(&item)).unwrap_or_default(),
    }
}

fn results(item: &Item<'_>) -> ResultCondition {
    if let Some(word) = item.as_text() {
        if !word.eq_ignore_ascii_case("all") {
            let message = format!("`{}` is neither `all` nor a list", shown(word));
            item.error(message, "write \"all\" or [\"approved\"]");
        }
        return ResultCondition::All;
    }
    let only = item.set(|item| result(item).into_iter().collect());
    only.map_or(ResultCondition::NotChosen, ResultCondition::Only)
}

/// One secret, or several while one replaces another.
fn signers(item: &Item<'_>) -> Vec<SecretName> {
    if item.as_text().is_some() {
        return item.secret().into_iter().collect();
    }
    let Some(items) = item.list() else {
        return Vec::new();
    };
    if items.is_empty() {
        item.error("no secret signs", "leave the key out to sign nothing");
    }
    if items.len() > SIGNERS_MAX {
        item.error(format!("there are more than {SIGNERS_MAX} secrets"), "keep the newest");
    }
    items.iter().filter_map(Item::secret).collect()
}

/// R43: only messages about transactions can wait for a result.
fn delay(item: &Item<'_>, trigger: Option<Trigger>) -> Option<Period> {
    let (least, most) = DELAYS;
    let delay = period(item, least, most);
    if trigger.is_some_and(|trigger| !trigger.is_of_transactions()) {
        let message = "only messages about transactions can be delayed";
        item.key_error(message, "choose a trigger of transactions, or remove the delay");
        return None;
    }
    delay
}

/// What never fires, as far as one definition shows it.
fn warn_about_silence(table: &Table<'_>, api: &TrackingApi) {
    let conditions = &api.conditions;
    let at = |key: &str| table.get(key).unwrap_or_else(|| table.item.clone());
    if let (Owner::Affiliate(owner), Some(affiliates)) = (&api.owner, &conditions.affiliates)
        && !affiliates.contains(owner)
    {
        let message = format!("`{owner}`, the owner, is not in `affiliates`, so this never fires");
        at("affiliates").warning(message, "remove the condition");
    }
    if let Some(offers) = &conditions.offers
        && !offers.is_empty()
        && offers.is_subset(&conditions.offers_excluded)
    {
        let message = "every offer of `offers` is excluded, so this never fires";
        at("offers_excluded").warning(message, "keep one of both");
    }
    let only_pending = |set: &BTreeSet<TransactionResult>| {
        set.iter().all(|result| *result == TransactionResult::Pending)
    };
    if let (Some(_), ResultCondition::Only(results)) = (api.delay, &conditions.results)
        && only_pending(results)
    {
        let message = "what is delayed is sent once the result is not pending, so this never fires";
        at("results").warning(message, "remove `delay`, or add another result");
    }
}

/// Standard Webhooks sign id, moment and body: of a request without a body, nothing that is told.
fn warn_about_unsigned_urls(table: &Table<'_>, api: &TrackingApi) {
    if api.sign.is_empty() || api.call.request.body.is_some() {
        return;
    }
    let message = "the signature covers the body only, and there is none: what stands in the url \
                   can be changed";
    let at = table.get("sign").unwrap_or_else(|| table.item.clone());
    at.warning(message, "put what is told into a `body`, or remove `sign`");
}
