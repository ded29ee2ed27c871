//! What is answered where nothing was decided, or where an administrator asked for what cannot be
//! done: RFC 9457 problems. The one table from errors to statuses (R49).

use std::{borrow::Cow, time::SystemTime};

use counterfoil_core::{Issue, Reason, RequestId, Severity, view::Refused};
use hyper::{
    StatusCode,
    header::{ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;
use uuid::{NoContext, Uuid};

use crate::{
    answer::{Answer, json_bytes},
    store::{EraseError, PutRulesError, ReadError, SubmitError},
    table::Verb,
};

/// Seconds after which a sender should come again where the fault is ours.
const RETRY_AFTER_S: &str = "5";
/// Seconds after which a client whose failures are too many may try again.
const RETRY_AFTER_FAILURES_S: &str = "1";
/// Seconds after which a credential counts anew.
const RETRY_AFTER_REQUESTS_S: &str = "1";

/// One problem, on its way to an answer.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    about: Box<About>,
    /// Whether the connection ends: what comes next on it cannot be trusted.
    closes: bool,
}

/// What goes beyond the members of the RFC.
#[derive(Debug, Default)]
struct About {
    /// The log row, where there is one; else an id made for this answer alone.
    request_id: Option<String>,
    parameter: Option<Box<str>>,
    hint: Option<Cow<'static, str>>,
    issues: Vec<IssueText>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// A mistake in rules, or a warning.
#[derive(Debug, Serialize)]
pub(crate) struct IssueText {
    severity: &'static str,
    line: Option<u32>,
    column: Option<u32>,
    path: String,
    message: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    issues: &'a [IssueText],
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), about: Box::default(), closes: false }
    }

    /// The parameter, field or filter at fault.
    #[must_use]
    pub(crate) fn about(mut self, parameter: &str) -> Self {
        self.about.parameter = Some(parameter.into());
        self
    }

    /// What to try.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.about.hint = Some(hint.into());
        self
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.about.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "nothing answers to this path").hint(
            "postbacks go to `/api/TENANT/postbacks/handle`; `/openapi.json` of the admin \
                 listener names all paths",
        )
    }

    pub(crate) fn unknown_tenant() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_tenant", "there is no such tenant")
            .hint("it is the `tenant` of the rules that the server was started with")
    }

    /// A row, offer or affiliate that does not exist.
    pub(crate) fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn method_not_allowed(allowed: impl Iterator<Item = Verb>) -> Self {
        let allowed: Vec<&str> = allowed.map(Verb::name).collect();
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this path does not answer to this method",
        );
        problem.about.header =
            HeaderValue::from_str(&allowed.join(", ")).ok().map(|value| (ALLOW, value));
        problem
    }

    pub(crate) fn target_too_long(len_max: usize) -> Self {
        let detail = format!("the request target has more than {len_max} bytes");
        Self::new(StatusCode::URI_TOO_LONG, "target_too_long", detail)
    }

    pub(crate) fn body_too_long(len_max: usize) -> Self {
        let detail = format!("the body has more than {len_max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", detail).closing()
    }

    pub(crate) fn body_too_slow() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail).closing()
    }

    pub(crate) fn body_broken() -> Self {
        let detail = "the body ended early or is not framed as it should be";
        Self::new(StatusCode::BAD_REQUEST, "body_broken", detail).closing()
    }

    pub(crate) fn unsupported_media_type(accepted: &'static str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("the body must be {accepted}"),
        )
    }

    /// One answer for every failure, so that it tells nothing.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is needed")
            .with(WWW_AUTHENTICATE, "Bearer")
            .hint(
                "send it as `Authorization: Bearer …`; a server's own is its secret `admin_token`",
            )
    }

    /// One answer for every postback that does not prove what its definition asks for.
    pub(crate) fn unproved(status: StatusCode) -> Self {
        let detail = "the request does not prove what this postback asks for";
        let problem = Self::new(status, "unauthorized", detail);
        match status {
            StatusCode::UNAUTHORIZED => problem.with(WWW_AUTHENTICATE, "Bearer"),
            _ => problem,
        }
    }

    /// Names the log row.
    #[must_use]
    pub(crate) fn of_request(mut self, id: RequestId) -> Self {
        self.about.request_id = Some(id.to_string());
        self
    }

    /// An affiliate asks for what is not for affiliates (R39).
    pub(crate) fn not_for_affiliates() -> Self {
        let detail = "an affiliate's token reads its own tracking APIs, deliveries and conversions";
        Self::new(StatusCode::FORBIDDEN, "not_for_affiliates", detail)
    }

    pub(crate) fn too_many_failures() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_failures",
            "too many failed authentications came from this address",
        )
        .with(RETRY_AFTER, RETRY_AFTER_FAILURES_S)
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "too many requests came with this credential; send them more slowly",
        )
        .with(RETRY_AFTER, RETRY_AFTER_REQUESTS_S)
    }

    /// What is asked for does not go with the state of a row.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// What an administrator sent cannot be understood.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn too_slow() -> Self {
        Self::unavailable("deadline", "the request was not answered in time").closing()
    }

    pub(crate) fn not_ready(why: String) -> Self {
        Self::unavailable("not_ready", why)
    }

    fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with(RETRY_AFTER, RETRY_AFTER_S)
    }

    /// A refusal where 200 would mislead: of a root, a link, an edit (R51).
    pub(crate) fn refused(refused: Refused<'_>) -> Self {
        let status = match refused.reason {
            Reason::ConversionNotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut problem = Self::new(status, refused.reason.code(), refused.message.to_owned());
        problem.about.request_id = Some(refused.request_id.to_string());
        problem.about.parameter = refused.parameter.map(Into::into);
        problem.about.hint = refused.hint.map(|hint| hint.to_owned().into());
        problem
    }

    /// The same with another status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn into_answer(self) -> Answer {
        let about = *self.about;
        let id = about.request_id.unwrap_or_else(|| fresh_id().to_string());
        let status = self.status.as_u16();
        tracing::debug!(request_id = id, status, code = self.code, "told a problem");
        let body = json_bytes(&Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status,
            detail: &self.detail,
            code: self.code,
            request_id: &id,
            parameter: about.parameter.as_deref(),
            hint: about.hint.as_deref(),
            issues: &about.issues,
        });
        let mut answer = crate::answer::of(self.status, "application/problem+json", body);
        let headers = answer.headers_mut();
        if let Some((name, value)) = about.header {
            headers.insert(name, value);
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Busy => Self::unavailable("busy", "too many requests wait; come again"),
            SubmitError::Unavailable => {
                Self::unavailable("unavailable", "nothing can be stored now; come again")
            }
        }
    }
}

impl From<EraseError> for Problem {
    fn from(error: EraseError) -> Self {
        match error {
            EraseError::SeveralAdvertisers(advertisers) => {
                let detail = "conversions of several advertisers carry this external id";
                Self::conflict("ambiguous_external_id", detail)
                    .about("advertiser_id")
                    .hint(format!("name one with `advertiser_id`: `{}`", advertisers.join("`, `")))
            }
            EraseError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Cursor(cursor) => {
                let detail = format!("`{cursor}` is no cursor of this list");
                Self::bad_request("bad_filter", detail).about("cursor")
            }
            ReadError::Unavailable(why) => {
                tracing::error!(%why, "failed to read the store");
                Self::unavailable("unavailable", "nothing can be read now; come again")
            }
        }
    }
}

impl From<PutRulesError> for Problem {
    fn from(error: PutRulesError) -> Self {
        match error {
            PutRulesError::Invalid(issues) => {
                let detail = "the rules have mistakes; the ones before still run";
                let mut problem =
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_rules", detail);
                problem.about.issues = issues.into_iter().map(IssueText::of).collect();
                problem
            }
            PutRulesError::Unavailable(why) => {
                tracing::error!(%why, "failed to store rules");
                Self::unavailable("unavailable", "nothing can be stored now; come again")
            }
        }
    }
}

impl IssueText {
    pub(crate) fn of(issue: Issue) -> Self {
        Self {
            severity: match issue.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: issue.position.map(|(line, _)| line),
            column: issue.position.map(|(_, column)| column),
            path: issue.path,
            message: issue.message,
            hint: issue.hint,
        }
    }
}

/// An id for an answer that has no log row: it can be found in the log lines.
pub(crate) fn fresh_id() -> RequestId {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let moment = uuid::Timestamp::from_unix(NoContext, now.as_secs(), now.subsec_nanos());
    RequestId::from_bytes(Uuid::new_v7(moment).into_bytes())
}
