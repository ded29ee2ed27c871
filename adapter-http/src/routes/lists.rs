//! Lists of the admin listener, and one row of each by its id.

use std::{borrow::Cow, str::FromStr};

use counterfoil_core::{
    ConversionId, Incoming, MessageState, Method, Outcome, PostbackDefinition, Reason, Ruleset,
    TransactionResult, decode,
    view::{Filter, Page},
};
use hyper::StatusCode;
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
    routes::own::{self, OwnConversion},
    store::{ReadError, Store},
};

/// The filters of conversions.
pub(crate) const CONVERSION_FILTERS: &[&str] = &[
    "id",
    "external_id",
    "type",
    "result",
    "affiliate",
    "offer",
    "advertiser",
    "since",
    "until",
    "limit",
    "cursor",
];
/// The filters of transactions.
pub(crate) const TRANSACTION_FILTERS: &[&str] = &[
    "id",
    "external_id",
    "type",
    "result",
    "affiliate",
    "offer",
    "advertiser",
    "since",
    "until",
    "limit",
    "cursor",
];
/// The filters of the request log.
pub(crate) const REQUEST_FILTERS: &[&str] =
    &["id", "outcome", "reason", "since", "until", "limit", "cursor"];
/// The filters of the definitions, inbound and outbound.
pub(crate) const OWNER_FILTERS: &[&str] = &["owner"];
/// The filters of messages.
pub(crate) const DELIVERY_FILTERS: &[&str] = &[
    "id",
    "owner",
    "state",
    "tracking_api",
    "postback",
    "conversion",
    "since",
    "until",
    "limit",
    "cursor",
];
/// The filters of messages that are sent again, and what says that none is meant.
pub(crate) const RETRY_FILTERS: &[&str] =
    &["owner", "state", "tracking_api", "postback", "conversion", "since", "until", "all"];

/// GET `/api/{tenant}/conversions`. An affiliate reads its own, the payout leg alone (R39).
pub(crate) async fn conversions(call: &Call<'_>) -> Result<Answer, Problem> {
    let Some(affiliate) = call.affiliate().cloned() else {
        let question =
            |store: &dyn Store, tenant: &str, filter: &Filter| store.conversions(tenant, filter);
        return list(call, CONVERSION_FILTERS, question).await;
    };
    list(call, CONVERSION_FILTERS, move |store, tenant, filter| {
        let Some(affiliate) = own::narrowed(filter.affiliate.as_deref(), &affiliate) else {
            return Ok(own::nothing());
        };
        let filter = Filter { affiliate: Some(affiliate), ..filter.clone() };
        let page = store.conversions(tenant, &filter)?;
        let items = page.items.into_iter().map(OwnConversion::of).collect();
        Ok(Page { items, next_cursor: page.next_cursor })
    })
    .await
}

/// GET `/api/{tenant}/conversions/{id}`. An affiliate reads its own, the payout leg alone (R39).
pub(crate) async fn conversion(call: &Call<'_>) -> Result<Answer, Problem> {
    let Some(affiliate) = call.affiliate().cloned() else {
        return one(call, |store, tenant, id| store.conversion(tenant, id)).await;
    };
    one(call, move |store, tenant, id| {
        let found = store.conversion(tenant, id)?;
        let own = found.filter(|view| *view.affiliate_id == *affiliate.as_str());
        Ok(own.map(OwnConversion::of))
    })
    .await
}

/// GET `/api/{tenant}/transactions`.
pub(crate) async fn transactions(call: &Call<'_>) -> Result<Answer, Problem> {
    list(call, TRANSACTION_FILTERS, |store, tenant, filter| store.transactions(tenant, filter))
        .await
}

/// GET `/api/{tenant}/transactions/{id}`.
pub(crate) async fn transaction(call: &Call<'_>) -> Result<Answer, Problem> {
    one(call, |store, tenant, id| store.transaction(tenant, id)).await
}

/// GET `/api/{tenant}/requests`.
pub(crate) async fn requests(call: &Call<'_>) -> Result<Answer, Problem> {
    list(call, REQUEST_FILTERS, |store, tenant, filter| store.requests(tenant, filter)).await
}

/// GET `/api/{tenant}/requests/{id}`.
pub(crate) async fn request(call: &Call<'_>) -> Result<Answer, Problem> {
    one(call, |store, tenant, id| store.request(tenant, id)).await
}

/// GET `/api/{tenant}/requests/{id}/timeline`.
pub(crate) async fn timeline(call: &Call<'_>) -> Result<Answer, Problem> {
    one(call, |store, tenant, id| store.timeline(tenant, id)).await
}

/// GET `/api/{tenant}/postbacks`: in the order of the rules.
pub(crate) fn postbacks(call: &Call<'_>) -> Result<Answer, Problem> {
    let rules = call.rules()?;
    let filters = filters(call, OWNER_FILTERS)?;
    let owner = filters.first().map(|(_, owner)| &**owner);
    let definitions = rules.ruleset.postbacks().iter();
    let page = Page {
        items: definitions
            .map(|definition| Definition::of(definition, &rules.ruleset))
            .filter(|definition| owner.is_none_or(|owner| owner == definition.owner))
            .collect(),
        next_cursor: None,
    };
    Ok(answer::json(StatusCode::OK, &page))
}

/// A postback definition as administrators see it in the list; the rules say the rest.
#[derive(Serialize)]
struct Definition<'r> {
    id: &'r str,
    /// Inbound definitions are the tenant's own.
    owner: &'static str,
    /// The country of its offer; blank where there is none, or several.
    country: &'r str,
    active: bool,
    dialect: &'r str,
    default_type: Option<&'r str>,
    answer: &'static str,
    /// What its senders must prove; nothing: anyone may send.
    auth: Vec<&'static str>,
    dedup: Dedup,
}

#[derive(Serialize)]
struct Dedup {
    key: &'static str,
    on_repeat: &'static str,
}

impl<'r> Definition<'r> {
    fn of(definition: &'r PostbackDefinition, ruleset: &'r Ruleset) -> Self {
        use counterfoil_core::AnswerStyle;
        Self {
            id: definition.id.as_str(),
            owner: "admin",
            country: country(definition, ruleset).unwrap_or_default(),
            active: definition.active,
            dialect: &definition.dialect.name,
            default_type: definition.default_type.as_ref().map(|known| known.name()),
            answer: match definition.answer {
                AnswerStyle::Ok => "ok",
                AnswerStyle::Strict => "strict",
            },
            auth: definition.authentication.sections(),
            dedup: Dedup {
                key: definition.dedup.key.name(),
                on_repeat: definition.dedup.on_repeat.name(),
            },
        }
    }
}

fn country<'r>(definition: &PostbackDefinition, ruleset: &'r Ruleset) -> Option<&'r str> {
    let mut offers = definition.conditions.offers.iter().flatten();
    let (Some(only), None) = (offers.next(), offers.next()) else {
        return None;
    };
    ruleset.offer(only.as_str())?.country.as_deref()
}

pub(super) async fn list<T: Serialize + Send + 'static>(
    call: &Call<'_>,
    known: &'static [&'static str],
    question: impl FnOnce(&dyn Store, &str, &Filter) -> Result<Page<T>, ReadError> + Send + 'static,
) -> Result<Answer, Problem> {
    call.rules()?;
    let filter = filter(&filters(call, known)?)?;
    let page = call.ask(move |store, tenant| question(store, tenant, &filter)).await?;
    Ok(answer::json(StatusCode::OK, &page))
}

pub(super) async fn one<I: FromStr + Send + 'static, T: Serialize + Send + 'static>(
    call: &Call<'_>,
    question: impl FnOnce(&dyn Store, &str, I) -> Result<Option<T>, ReadError> + Send + 'static,
) -> Result<Answer, Problem> {
    call.rules()?;
    let missing = || Problem::not_found("nothing has this id");
    // What is no id cannot be the id of anything.
    let id: I = call.param("id").parse().map_err(|_| missing())?;
    let found = call.ask(move |store, tenant| question(store, tenant, id)).await?;
    let row = found.ok_or_else(missing)?;
    Ok(answer::json(StatusCode::OK, &row))
}

pub(super) type Given<'q> = Vec<(Cow<'q, str>, Cow<'q, str>)>;

/// The filters of the query, each known and each once; those without a value are left out (R4).
pub(super) fn filters<'q>(call: &'q Call<'_>, known: &[&str]) -> Result<Given<'q>, Problem> {
    let incoming =
        Incoming { method: Method::Admin, dialect: None, query: call.query(), body: None };
    let given = decode(&incoming)
        .map_err(|refusal| Problem::bad_request("bad_filter", refusal.message.to_string()))?;
    for (place, (name, _)) in given.iter().enumerate() {
        if !known.contains(&&**name) {
            return Err(bad(name, format!("this list has no filter `{name}`"))
                .hint(format!("use one of {}", known.join(", "))));
        }
        let before = given.iter().take(place);
        if before.into_iter().any(|(earlier, _)| earlier == name) {
            return Err(bad(name, format!("the filter `{name}` comes more than once")));
        }
    }
    Ok(given)
}

pub(super) fn filter(given: &Given<'_>) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for (name, value) in given {
        let text = || Some(value.to_string());
        match &**name {
            "id" => filter.id = text(),
            "external_id" => filter.external_id = text(),
            "type" => filter.r#type = text(),
            "result" => filter.result = Some(word(name, value, TransactionResult::named)?),
            "outcome" => filter.outcome = Some(word(name, value, Outcome::named)?),
            "reason" => filter.reason = Some(word(name, value, Reason::of_code)?),
            "affiliate" => filter.affiliate = text(),
            "offer" => filter.offer = text(),
            "advertiser" => filter.advertiser = text(),
            "owner" => filter.owner = text(),
            "state" => filter.state = Some(word(name, value, MessageState::named)?),
            "tracking_api" => filter.tracking_api = text(),
            "postback" => filter.postback = text(),
            "conversion" => filter.conversion = Some(word(name, value, conversion_id)?),
            "since" => filter.since = Some(word(name, value, |time| time.parse().ok())?),
            "until" => filter.until = Some(word(name, value, |time| time.parse().ok())?),
            "limit" => filter.limit = Some(word(name, value, page_len)?),
            "cursor" => filter.cursor = text(),
            _ => return Err(bad(name, format!("this list has no filter `{name}`"))),
        }
    }
    Ok(filter)
}

fn word<T>(name: &str, value: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T, Problem> {
    read(value).ok_or_else(|| {
        let problem = bad(name, format!("`{name}` cannot be `{value}`"));
        match name {
            "since" | "until" => problem.hint("write a time as 2026-01-31T12:00:00Z"),
            "state" => {
                let states = MessageState::ALL.map(MessageState::name);
                problem.hint(format!("use one of {}", states.join(", ")))
            }
            "conversion" => problem.hint("name a conversion by its id"),
            "limit" => problem.hint(format!("ask for 1 to {} rows", Filter::LIMIT_MAX)),
            _ => problem,
        }
    })
}

/// The id in its one form: it may come in any case, with or without hyphens.
fn conversion_id(text: &str) -> Option<String> {
    let id: ConversionId = text.parse().ok()?;
    Some(id.to_string())
}

fn page_len(text: &str) -> Option<u32> {
    let rows = text.parse().ok()?;
    (1..=Filter::LIMIT_MAX).contains(&rows).then_some(rows)
}

pub(super) fn bad(name: &str, detail: String) -> Problem {
    Problem::bad_request("bad_filter", detail).about(name)
}
