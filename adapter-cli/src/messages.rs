//! Messages to other systems as people read them: what is sent, or would be, what was tried, and
//! what to do about one that is dead.

use counterfoil_core::{
    AttemptOutcome, DeadReason, MessageState,
    view::{AttemptView, DeliveryView, RequestShown},
};

use crate::output::{GOOD, HINT, MISTAKE, QUIET, STRONG, SUSPICIOUS, visible};

/// The outcome of an attempt that sent nothing.
const OUR_FAULT: &str = AttemptOutcome::OurFault.name();
const FORBIDDEN: &str = AttemptOutcome::Forbidden.name();

/// What makes a message.
pub(crate) fn origin(message: &DeliveryView) -> String {
    match (&message.tracking_api_id, &message.postback_id, message.step) {
        (Some(id), _, _) => id.to_string(),
        (None, Some(postback), Some(step)) => format!("{postback} step {step}"),
        _ => String::new(),
    }
}

/// A message as a decision makes it: what it tells of, and the request with secrets by name.
pub(crate) fn made(message: &DeliveryView) -> Vec<String> {
    let event = message.event.map(|event| format!(" on {event}")).unwrap_or_default();
    let mut lines = vec![format!("  {STRONG}{}{STRONG:#}{event}", origin(message))];
    lines.extend(request(message).into_iter().map(|line| format!("    {line}")));
    lines
}

/// The request, or when it is rendered.
fn request(message: &DeliveryView) -> Vec<String> {
    match (&message.request, message.state) {
        (Some(_), _) if message.is_forgotten() => {
            vec!["erased or pruned: it cannot be sent again".to_owned()]
        }
        (Some(request), _) => rendered(request),
        (None, MessageState::Held) if message.step.is_some() => {
            vec!["rendered when the step before it has ended".to_owned()]
        }
        (None, MessageState::Held) => {
            vec!["held until the result is set; rendered then".to_owned()]
        }
        (None, _) => vec![format!("rendered at {}, with the state of then", message.due_at)],
    }
}

fn rendered(request: &RequestShown) -> Vec<String> {
    let mut lines = vec![format!("{} {}", request.method.name(), visible(&request.url))];
    let headers = request.headers.iter();
    lines
        .extend(headers.map(|(name, value)| format!("{QUIET}{name}:{QUIET:#} {}", visible(value))));
    let body = request.body.as_deref().unwrap_or_default();
    lines.extend(body.lines().map(visible));
    lines
}

/// Everything about a message, in lines; `of` are the arguments with which `deliveries` finds its
/// database and tenant.
pub(crate) fn whole(message: &DeliveryView, of: &str) -> Vec<String> {
    let state = message.state;
    let style = match state {
        MessageState::Delivered => GOOD,
        MessageState::Dead => MISTAKE,
        _ => SUSPICIOUS,
    };
    let mut stands = format!("{style}{}{style:#}", state.name());
    if let Some(reason) = message.reason {
        stands.push_str(&format!(": {}", why(reason)));
    }
    let mut lines = vec![
        field("message", message.id),
        field("from", origin(message)),
        field("state", stands),
        field("about", format_args!("conversion {}", message.conversion_id)),
    ];
    if let Some(id) = message.transaction_id {
        lines.push(field("", format_args!("transaction {id}")));
    }
    lines.extend(message.event.map(|event| field("event", event)));
    lines.extend(message.sequence.map(|number| field("number", number)));
    if !matches!(state, MessageState::Delivered | MessageState::Dead) {
        lines.push(field("due", message.due_at));
    }
    lines.push(format!("{STRONG}request{STRONG:#}"));
    lines.extend(request(message).into_iter().map(|line| format!("  {line}")));
    if !message.attempts.is_empty() {
        lines.push(format!("{STRONG}attempts{STRONG:#}"));
    }
    lines.extend(message.attempts.iter().flat_map(attempt));
    if let Some(advice) = advice(message, of) {
        lines.push(format!("{HINT}try{HINT:#}       {advice}"));
    }
    lines
}

fn field(name: &str, value: impl std::fmt::Display) -> String {
    let gap = " ".repeat(10_usize.saturating_sub(name.len()));
    format!("{STRONG}{name}{STRONG:#}{gap}{value}")
}

/// Why the last attempt failed and what to try, a line each; `of` as for [`whole`].
pub(crate) fn why_failed(message: &DeliveryView, of: &str) -> Vec<String> {
    let error = message.attempts.last().and_then(|last| last.error.as_deref());
    let error = error.map(|error| format!("    {QUIET}because:{QUIET:#} {}", visible(error)));
    let advice = advice(message, of).map(|advice| format!("    {HINT}try{HINT:#}: {advice}"));
    error.into_iter().chain(advice).collect()
}

/// How an attempt ended: the status, or why there is none.
pub(crate) fn ended(attempt: &AttemptView) -> String {
    match (attempt.status, attempt.outcome) {
        (Some(status), _) => status.to_string(),
        (None, OUR_FAULT | FORBIDDEN) => "not sent".to_owned(),
        (None, _) => "no answer".to_owned(),
    }
}

fn attempt(attempt: &AttemptView) -> Vec<String> {
    let AttemptView { number, started_at, duration_ms, .. } = attempt;
    let style = match attempt.status {
        Some(200..=299) => GOOD,
        _ => MISTAKE,
    };
    let what = ended(attempt);
    // What was never on its way took no time.
    let after = match attempt.outcome {
        OUR_FAULT | FORBIDDEN => String::new(),
        _ => format!(" after {duration_ms} ms"),
    };
    let mut lines =
        vec![format!("  {QUIET}{number:>2}.{QUIET:#} {started_at}  {style}{what}{style:#}{after}")];
    let detail =
        |name: &str, text: &str| format!("      {QUIET}{name}:{QUIET:#} {}", visible(text));
    lines.extend(attempt.error.as_deref().map(|error| detail("error", error)));
    let response = attempt.response.as_deref().filter(|response| !response.is_empty());
    lines.extend(response.map(|response| detail("answer", response)));
    lines.extend(attempt.unmapped_values.iter().map(|left| detail("not set", &left.to_string())));
    lines
}

/// Why a message is dead, in words.
fn why(reason: DeadReason) -> &'static str {
    match reason {
        DeadReason::RetriesExhausted => "all retries are used up",
        DeadReason::StillPending => "the answer was still pending after the last poll",
        DeadReason::Gone => "the destination answered 410, it wants no more",
        DeadReason::Forbidden => "the destination must not be reached",
        DeadReason::PreviousStepFailed => "a step before it is dead",
        DeadReason::ConditionsNotMet => "its conditions held no more when it was due",
        DeadReason::Unsendable => "what was rendered is no request that can be sent",
    }
}

/// What to do about a message that asks for it.
fn advice(message: &DeliveryView, of: &str) -> Option<String> {
    let again = format!("`counterfoil deliveries retry {of} {}`", message.id);
    if message.is_forgotten() {
        return None;
    }
    let Some(reason) = message.reason else {
        return advice_of_the_living(message);
    };
    Some(match reason {
        DeadReason::RetriesExhausted => {
            format!("see in the last attempt what is wrong over there; then {again}")
        }
        DeadReason::StillPending => format!("when the other side has decided, {again} asks again"),
        DeadReason::Gone => {
            format!("`active = false` in the rules where it is right; else {again}")
        }
        DeadReason::Forbidden => format!(
            "where the address is meant, serve with --allow-destination CIDR, then {again}; else \
             correct the url in the rules"
        ),
        DeadReason::PreviousStepFailed => format!(
            "look for the step before it: `counterfoil deliveries {of} --conversion {}`",
            message.conversion_id
        ),
        DeadReason::ConditionsNotMet => {
            "nothing: the conversion changed while the message was delayed".to_owned()
        }
        DeadReason::Unsendable => {
            "correct the url in the rules, for those to come: this message stays as it is"
                .to_owned()
        }
    })
}

/// What is our own fault is tried again every minute, until somebody mends it.
fn advice_of_the_living(message: &DeliveryView) -> Option<String> {
    let is_stuck = message.attempts.last().is_some_and(|last| last.outcome == "our_fault")
        && message.state != MessageState::Delivered;
    is_stuck.then(|| {
        "mend what the last attempt says, as a secret that is missing: the message is tried again \
         every minute, uses up no retry, and holds up what comes behind it"
            .to_owned()
    })
}
