//! Messages to other systems: the list, one with its attempts, and sending again by hand (R42).

use counterfoil_core::{
    AffiliateId, MessageId, MessageState,
    view::{DeliveryView, Filter, Page},
};
use hyper::StatusCode;
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
    routes::{
        lists::{self, DELIVERY_FILTERS, Given, RETRY_FILTERS, bad},
        own,
    },
    store::{ReadError, Retried, Store},
};

/// GET `/api/{tenant}/deliveries`. An affiliate reads those of its own tracking APIs (R39).
pub(crate) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let affiliate = call.affiliate().cloned();
    lists::list(call, DELIVERY_FILTERS, move |store, tenant, filter| match affiliate {
        None => store.deliveries(tenant, filter),
        Some(affiliate) => own_deliveries(store, tenant, filter, &affiliate),
    })
    .await
}

/// GET `/api/{tenant}/deliveries/{id}`. An affiliate reads those of its own tracking APIs (R39).
pub(crate) async fn one(call: &Call<'_>) -> Result<Answer, Problem> {
    let affiliate = call.affiliate().cloned();
    lists::one(call, move |store, tenant, id: MessageId| match affiliate {
        None => store.delivery(tenant, id),
        Some(affiliate) => {
            let filter = Filter { id: Some(id.to_string()), ..Filter::default() };
            let page = own_deliveries(store, tenant, &filter, &affiliate)?;
            Ok(page.items.into_iter().next())
        }
    })
    .await
}

fn own_deliveries(
    store: &dyn Store,
    tenant: &str,
    filter: &Filter,
    affiliate: &AffiliateId,
) -> Result<Page<DeliveryView>, ReadError> {
    match own::narrowed(filter.owner.as_deref(), affiliate) {
        None => Ok(own::nothing()),
        owner => store.deliveries(tenant, &Filter { owner, ..filter.clone() }),
    }
}

/// POST `/api/{tenant}/deliveries/{id}/retry`.
pub(crate) async fn retry(call: &Call<'_>) -> Result<Answer, Problem> {
    call.rules()?;
    let missing = || Problem::not_found("nothing has this id");
    let id: MessageId = call.param("id").parse().map_err(|_| missing())?;
    match call.ask(move |store, tenant| store.retry_delivery(tenant, id)).await? {
        Retried::NotFound => Err(missing()),
        Retried::Forgotten => {
            let detail = "what the message told was erased or pruned; it cannot be sent again";
            let hint = "nothing is left to do; a new event makes a new message";
            Err(Problem::conflict("forgotten", detail).hint(hint))
        }
        Retried::InHand => {
            let detail = "the message is held or being sent; it goes its way by itself";
            Err(Problem::conflict("in_hand", detail).hint("look at its state, and at its attempts"))
        }
        Retried::Due => {
            tracing::info!(tenant = call.tenant(), message_id = %id, "a message is sent again");
            let row = call.ask(move |store, tenant| store.delivery(tenant, id)).await?;
            Ok(answer::json(StatusCode::OK, &row.ok_or_else(missing)?))
        }
    }
}

#[derive(Serialize)]
struct RetriedAll {
    retried: u64,
}

/// POST `/api/{tenant}/deliveries/retry`: all that match the filters of the query.
pub(crate) async fn retry_all(call: &Call<'_>) -> Result<Answer, Problem> {
    call.rules()?;
    let filter = retry_filter(lists::filters(call, RETRY_FILTERS)?)?;
    let retried = call.ask(move |store, tenant| store.retry_deliveries(tenant, &filter)).await?;
    tracing::info!(tenant = call.tenant(), retried, "messages are sent again");
    Ok(answer::json(StatusCode::OK, &RetriedAll { retried }))
}

/// Dead messages are meant, unless `state` says otherwise: nobody sends again by accident what has
/// arrived. For the same reason an empty filter means all only where `all=true` says so.
fn retry_filter(mut given: Given<'_>) -> Result<Filter, Problem> {
    let all = given.iter().position(|(name, _)| name == "all").map(|place| given.remove(place));
    match all.as_ref().map(|(_, value)| &**value) {
        None if given.is_empty() => {
            let detail = "no filter says which messages to send again";
            return Err(bad("all", detail.to_owned()).hint("give a filter, or all=true"));
        }
        Some(word) if word != "true" => {
            return Err(bad("all", format!("`all` cannot be `{word}`")).hint("leave it out"));
        }
        _ => {}
    }
    let mut filter = lists::filter(&given)?;
    match filter.state.get_or_insert(MessageState::Dead) {
        state @ (MessageState::Held | MessageState::Sending) => {
            let detail = format!("messages that are `{}` go their way by themselves", state.name());
            Err(bad("state", detail).hint("use one of dead, delivered, due, polling"))
        }
        _ => Ok(filter),
    }
}
