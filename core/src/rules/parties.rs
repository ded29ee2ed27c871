//! Types, advertisers, affiliates, offers and exchange rates.

use alloc::{borrow::ToOwned, collections::BTreeMap, format, string::String};

use super::{
    item::{Item, Table},
    names::Names,
    secrets,
    url::{Url, url},
};
use crate::{
    conversion::ConversionType,
    currency::Currency,
    link::LINK_MACROS,
    money::Rate,
    reason::shown,
    ruleset::{Advertiser, Affiliate, Offer},
    template::Template,
    time::Period,
    token::{AdvertiserId, AffiliateId, GroupName, OfferId},
};

/// A registered type may not be called like a built-in one, or like all registered ones (R9).
pub(super) fn check_types(names: &Names<'_>) {
    for (table, id) in &names.types.tables {
        let Some(name) = id.as_ref().map(|id| id.as_str()) else {
            continue;
        };
        let what = if ConversionType::built_in(name).is_some() {
            "a built-in type"
        } else if name.eq_ignore_ascii_case("custom") {
            "the word for every registered type"
        } else {
            continue;
        };
        if let Some(item) = table.get("name") {
            item.error(format!("`{name}` is {what}"), "choose another name");
        }
    }
}

/// The advertisers, by id.
pub(super) fn advertisers(names: &Names<'_>) -> BTreeMap<AdvertiserId, Advertiser> {
    let advertiser = |(table, id): &(Table<'_>, Option<AdvertiserId>)| {
        let name = name(table, id.as_ref().map(|id| id.as_str()));
        let id = id.clone()?;
        let name = name?;
        Some((id.clone(), Advertiser { id, name }))
    };
    names.advertisers.tables.iter().filter_map(advertiser).collect()
}

/// The affiliates, by id.
pub(super) fn affiliates(names: &Names<'_>) -> BTreeMap<AffiliateId, Affiliate> {
    let affiliate = |(table, id): &(Table<'_>, Option<AffiliateId>)| {
        let name = name(table, id.as_ref().map(|id| id.as_str()));
        let group = table.get("group");
        let group = group.and_then(|item| item.token(GroupName::new));
        let api_tokens = secrets(table);
        let id = id.clone()?;
        let affiliate = Affiliate { name: name?, group, api_tokens, id: id.clone() };
        Some((id, affiliate))
    };
    names.affiliates.tables.iter().filter_map(affiliate).collect()
}

/// The offers, by id.
pub(super) fn offers(names: &Names<'_>) -> BTreeMap<OfferId, Offer> {
    let offer = |(table, id): &(Table<'_>, Option<OfferId>)| {
        let offer = offer(table, id.clone(), names)?;
        Some((offer.id.clone(), offer))
    };
    names.offers.tables.iter().filter_map(offer).collect()
}

fn offer(table: &Table<'_>, id: Option<OfferId>, names: &Names<'_>) -> Option<Offer> {
    let name = name(table, id.as_ref().map(|id| id.as_str()));
    let advertiser = table.required("advertiser", "advertiser = \"shoply\"");
    let advertiser = advertiser.and_then(|item| names.advertisers.find(&item));
    let country = table.get("country").and_then(|item| item.name());
    let url = table.required("url", "url = \"https://shoply.example/?pcid={pcid}\"");
    let url = url.and_then(|item| url_template(&item));
    let click_window = table.get("click_window").and_then(|item| window(&item));
    Some(Offer {
        id: id?,
        name: name?,
        advertiser: advertiser?,
        country: country.map(str::to_owned),
        url: url?,
        click_window,
    })
}

/// The name for people; the id where there is none.
fn name(table: &Table<'_>, id: Option<&str>) -> Option<String> {
    match table.get("name") {
        Some(item) => item.name().map(str::to_owned),
        None => id.map(str::to_owned),
    }
}

fn window(item: &Item<'_>) -> Option<Period> {
    let period: Period = item.parsed("duration")?;
    if period.as_ms() == 0 {
        item.error("no click can be within no time", "leave the key out: clicks never expire");
        return None;
    }
    Some(period)
}

/// The url of an offer: what a redirect can name, with known macros.
fn url_template(item: &Item<'_>) -> Option<Template> {
    let Url { is_right: mut right, template, .. } = url(item)?;
    let unknown = template.macros().filter(|name| !LINK_MACROS.contains(name));
    for name in unknown {
        right = false;
        let message = format!("the macro `{{{}}}` is unknown here", shown(name));
        item.unknown(message, name, LINK_MACROS);
    }
    right.then_some(template)
}

/// The exchange rates, by currency (R34).
pub(super) fn exchange_rates(
    file: &Table<'_>,
    currency: Option<Currency>,
) -> BTreeMap<Currency, Rate> {
    let mut rates = BTreeMap::new();
    for item in file.tables("exchange_rate") {
        let Some(table) = item.table(&["from", "rate"], &[]) else {
            continue;
        };
        let rate = table.required("rate", "rate = \"0.92\"");
        let rate = rate.and_then(|item| item.parsed::<Rate>("exchange rate"));
        let Some(from) = table.required("from", "from = \"USD\"") else {
            continue;
        };
        let Some(code) = from.currency() else {
            continue;
        };
        if Some(code) == currency {
            let hint = "remove it: amounts in it are never converted";
            from.error(format!("{code} is the tenant's own currency"), hint);
        }
        // A rate that is wrong counts as one, so that its repetition is told as well.
        if rates.insert(code, rate).is_some() {
            from.error(format!("there is a rate from {code} already"), "remove one of them");
        }
    }
    let right = |(code, rate): (Currency, Option<Rate>)| Some((code, rate?));
    rates.into_iter().filter_map(right).collect()
}
