//! POST `/api/{tenant}/privacy/erase`: erases what is personal about one visitor.

use counterfoil_core::view::Subject;
use hyper::{StatusCode, body};
use serde::Deserialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    problem::Problem,
};

/// Who is meant: by the one or the other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    pcid: Option<String>,
    external_id: Option<String>,
    advertiser_id: Option<String>,
}

pub(crate) async fn erase(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    call.rules()?;
    let subject = subject(call.json(body).await?)?;
    let erased = call.ask(move |store, tenant| store.erase(tenant, &subject)).await?;
    if erased.is_nothing() {
        return Err(Problem::not_found("nothing is known under this id"));
    }
    tracing::info!(tenant = call.tenant(), requests = erased.requests, "a visitor was erased");
    Ok(answer::json(StatusCode::OK, &erased))
}

fn subject(named: Named) -> Result<Subject, Problem> {
    let bad = |detail| Problem::bad_request("bad_body", detail).about("pcid");
    match named {
        Named { pcid: Some(pcid), external_id: None, advertiser_id: None } => {
            let id = pcid.parse().map_err(|_| bad("`pcid` is no id"))?;
            Ok(Subject::Pcid(id))
        }
        Named { pcid: None, external_id: Some(external_id), advertiser_id: advertiser } => {
            Ok(Subject::External { external_id, advertiser })
        }
        _ => Err(bad("one of `pcid` and `external_id` says who is meant")),
    }
}
