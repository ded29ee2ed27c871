//! POST `/api/{tenant}/transactions/{id}`: an administrator's edit.

use std::{borrow::Cow, str::FromStr};

use counterfoil_core::{
    Amount, Arrival, Edit, Method, Pairs, Request, TransactionId, TransactionResult, masked_text,
    view,
};
use hyper::{StatusCode, body};
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
};

/// The most bytes of the reason.
const REASON_LEN_MAX: usize = 1024;

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
    let id: TransactionId = call
        .param("id")
        .parse()
        .map_err(|_| Problem::not_found("nothing has this id"))?;
    let fields: Fields = call.json(body).await?;
    let edit = read(id, &fields)?;
    let arrival = Arrival {
        request: Request::Edit(edit.into()),
        method: Method::Admin,
        dialect: None,
        query: text(id, &fields),
        remote_addr: Some(call.peer.to_string().into()),
    };
    let decided = call.submit(rules, arrival).await?;
    let decision = &decided.decision;
    match (&decision.conversion, &decision.refusal) {
        (None, Some(refusal)) => Err(Problem::refused(refusal, decided.request_id)),
        _ => {
            let told = view::Answer::of(decision, decided.request_id);
            Ok(answer::json(StatusCode::OK, &told))
        }
    }
}

fn read(transaction_id: TransactionId, fields: &Fields) -> Result<Edit, Problem> {
    let reason = fields.reason.trim();
    if reason.is_empty() || reason.len() > REASON_LEN_MAX {
        let detail = format!("`reason` must have 1 to {REASON_LEN_MAX} bytes");
        return Err(Problem::bad_request("bad_body", detail).about("reason"));
    }
    let edit = Edit {
        transaction_id,
        result: field("result", fields.result.as_deref(), TransactionResult::named)?,
        revenue: field("revenue", fields.revenue.as_deref(), amount)?,
        payout: field("payout", fields.payout.as_deref(), amount)?,
        reason: reason.into(),
    };
    if (edit.result, edit.revenue, edit.payout) == (None, None, None) {
        let detail = "an edit names a result, a revenue or a payout";
        return Err(Problem::bad_request("bad_body", detail));
    }
    Ok(edit)
}

fn amount(text: &str) -> Option<Amount> {
    Amount::from_str(text).ok()
}

fn field<T>(
    name: &str,
    value: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(value) = value else {
        return Ok(None);
    };
    let bad = || {
        let detail = format!("`{name}` cannot be `{value}`");
        Problem::bad_request("bad_body", detail).about(name)
    };
    read(value).map(Some).ok_or_else(bad)
}

/// What the log row keeps: the fields as one form-encoded text.
fn text(id: TransactionId, fields: &Fields) -> String {
    let id = id.to_string();
    let given = [
        ("transaction_id", Some(&id)),
        ("result", fields.result.as_ref()),
        ("revenue", fields.revenue.as_ref()),
        ("payout", fields.payout.as_ref()),
        ("reason", Some(&fields.reason)),
    ];
    let pairs: Pairs<'_> = given
        .into_iter()
        .filter_map(|(name, value)| Some((Cow::from(name), Cow::from(value?))))
        .collect();
    masked_text(&pairs)
}
