//! POST `/api/{tenant}/transactions/{id}`: an administrator's edit.

use counterfoil_core::{Arrival, Pairs, TransactionId, VALUE_LEN_MAX, view::Answer as Told};
use hyper::{StatusCode, body};
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    app::{Call, Sender},
    problem::Problem,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    result: Option<String>,
    revenue: Option<String>,
    payout: Option<String>,
    reason: String,
}

pub(crate) async fn transaction(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    let rules = call.rules()?;
    let id: TransactionId =
        call.param("id").parse().map_err(|_| Problem::not_found("nothing has this id"))?;
    let fields: Fields = call.json(body).await?;
    let arrival =
        Arrival { remote_addr: Some(call.peer.text.clone()), ..Arrival::edit(&pairs(id, fields)?) };
    let decided = call.submit(rules, arrival, Sender::Known).await?;
    match Told::of(&decided.decision, decided.request_id) {
        Told::Refused(refused) => Err(Problem::refused(refused)),
        accepted @ Told::Accepted(_) => Ok(answer::json(StatusCode::OK, &accepted)),
    }
}

/// The parameters of the edit.
fn pairs(id: TransactionId, fields: Fields) -> Result<Pairs<'static>, Problem> {
    let given = [
        ("transaction_id", Some(id.to_string())),
        ("result", fields.result),
        ("revenue", fields.revenue),
        ("payout", fields.payout),
        ("reason", Some(fields.reason.trim().to_owned())),
    ];
    let pairs: Pairs<'_> = given
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), value?.into())))
        .filter(|(_, value): &(_, std::borrow::Cow<'_, str>)| !value.is_empty())
        .collect();
    // A log row must be readable again, and reading has this limit.
    if let Some((name, _)) = pairs.iter().find(|(_, value)| value.len() > VALUE_LEN_MAX) {
        let detail = format!("`{name}` has more than {VALUE_LEN_MAX} bytes");
        return Err(Problem::bad_request("bad_body", detail).about(name));
    }
    Ok(pairs)
}
