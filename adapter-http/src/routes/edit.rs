//! POST `/api/{tenant}/transactions/{id}`: an administrator's edit.

use counterfoil_core::{
    Arrival, Edit, Method, Pairs, Request, TransactionId, VALUE_LEN_MAX, masked_text,
    view::Answer as Told,
};
use hyper::{StatusCode, body};
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    app::Call,
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
    let (request, query) = read(id, fields)?;
    let arrival = Arrival {
        request,
        method: Method::Admin,
        dialect: None,
        query,
        remote_addr: Some(call.peer.to_string().into()),
    };
    let decided = call.submit(rules, arrival).await?;
    match Told::of(&decided.decision, decided.request_id) {
        Told::Refused(refused) => Err(Problem::refused(refused)),
        accepted @ Told::Accepted(_) => Ok(answer::json(StatusCode::OK, &accepted)),
    }
}

/// The edit, read as far as it could be, and what a log row keeps of it.
fn read(id: TransactionId, fields: Fields) -> Result<(Request, String), Problem> {
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
    Ok(match Edit::read(&pairs) {
        Ok(edit) => {
            let query = edit.logged_text();
            (Request::Edit(edit.into()), query)
        }
        Err(refusal) => (Request::Unreadable(refusal.into()), masked_text(&pairs)),
    })
}
