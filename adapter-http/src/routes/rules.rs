//! PUT and GET `/api/{tenant}/rules`.

use hyper::{StatusCode, body, header::HeaderName, header::HeaderValue};
use serde::Serialize;

use crate::{
    answer::{self, Answer},
    app::Call,
    body::{Form, read},
    problem::{IssueText, Problem},
    store::RulesFormat,
};

/// Says which version of the rules an answer holds.
const VERSION: HeaderName = HeaderName::from_static("x-rules-version");

#[derive(Serialize)]
struct Accepted {
    version: i64,
    warnings: Vec<IssueText>,
}

pub(crate) async fn put(call: &Call<'_>, body: body::Incoming) -> Result<Answer, Problem> {
    const ACCEPTED: &str = "application/toml or application/json";
    call.rules()?;
    let format = match Form::of(&call.head.headers, ACCEPTED)? {
        Some(Form::Toml) => RulesFormat::Toml,
        Some(Form::Json) => RulesFormat::Json,
        Some(Form::Url) | None => return Err(Problem::unsupported_media_type(ACCEPTED)),
    };
    let limits = &call.app.limits;
    let bytes = read(body, limits.rules_len_max, limits.body).await?;
    let text = String::from_utf8(bytes.into())
        .map_err(|_| Problem::bad_request("bad_body", "rules must be UTF-8"))?;
    let accepted = call.ask(move |store, tenant| store.put_rules(tenant, &text, format)).await?;
    tracing::info!(tenant = call.tenant(), version = accepted.version, "rules were replaced");
    let accepted = Accepted {
        version: accepted.version,
        warnings: accepted.warnings.into_iter().map(IssueText::of).collect(),
    };
    Ok(answer::json(StatusCode::OK, &accepted))
}

pub(crate) async fn get(call: &Call<'_>) -> Result<Answer, Problem> {
    let found = call.ask(|store, tenant| store.rules_text(tenant)).await?;
    let rules = found.ok_or_else(Problem::unknown_tenant)?;
    let media_type = match rules.format {
        RulesFormat::Toml => "application/toml",
        RulesFormat::Json => "application/json",
    };
    let mut answer = answer::text(media_type, rules.text);
    answer.headers_mut().insert(VERSION, HeaderValue::from(rules.version));
    Ok(answer)
}
