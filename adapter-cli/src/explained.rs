//! A decision as people read it: what became of the request, the money, what is sent out, and how
//! it came about.

use counterfoil_core::{Outcome, view::Explanation};

use crate::{
    exit_code::ExitCode,
    failure::Failure,
    messages,
    output::{self, AnswerFormat, GOOD, HINT, MISTAKE, QUIET, STRONG, SUSPICIOUS},
};

/// Prints it; a refusal is a negative answer.
///
/// # Errors
/// Where stdout cannot be written to.
pub(crate) fn say(explanation: &Explanation, format: AnswerFormat) -> Result<ExitCode, Failure> {
    match format {
        AnswerFormat::Json => output::say_json(explanation)?,
        AnswerFormat::Text => output::say(lines(explanation).join("\n"))?,
    }
    Ok(match explanation.outcome {
        Outcome::Refused => ExitCode::Negative,
        _ => ExitCode::Done,
    })
}

/// The explanation in lines.
pub(crate) fn lines(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![headline(explanation)];
    if let Some(hint) = &explanation.hint {
        lines.push(format!("  {HINT}try{HINT:#}: {hint}"));
    }
    lines.extend(about(explanation));
    if !explanation.deliveries.is_empty() {
        lines.push(format!("{STRONG}deliveries{STRONG:#}"));
    }
    lines.extend(explanation.deliveries.iter().flat_map(messages::made));
    if !explanation.trace.is_empty() {
        lines.push(format!("{STRONG}steps{STRONG:#}"));
    }
    lines.extend(steps(&explanation.trace));
    lines
}

/// The steps of a trace, numbered.
pub(crate) fn steps(trace: &[String]) -> impl Iterator<Item = String> {
    (1..).zip(trace).map(|(place, step)| format!("  {QUIET}{place:>2}.{QUIET:#} {step}"))
}

fn headline(explanation: &Explanation) -> String {
    let outcome = explanation.outcome;
    let style = match outcome {
        Outcome::Created | Outcome::Updated => GOOD,
        Outcome::Unchanged | Outcome::Duplicate => SUSPICIOUS,
        Outcome::Refused => MISTAKE,
    };
    let mut line = format!("{style}{outcome}{style:#}");
    if let Some(reason) = explanation.reason.filter(|_| outcome == Outcome::Refused) {
        line.push_str(&format!(" ({reason})"));
    }
    if let Some(message) = &explanation.message {
        line.push_str(&format!(": {message}"));
    }
    line
}

fn about(explanation: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(conversion) = &explanation.conversion {
        let value = match &conversion.value {
            Some(value) => format!(", value {value} {}", conversion.currency),
            None => String::new(),
        };
        lines.push(format!(
            "{STRONG}conversion{STRONG:#}   {} ({}{value})",
            conversion.id, conversion.r#type
        ));
    }
    for transaction in &explanation.transactions {
        lines.push(format!(
            "{STRONG}transaction{STRONG:#}  {} ({}, revenue {} {currency}, payout {} {currency})",
            transaction.id,
            transaction.result.name(),
            transaction.revenue,
            transaction.payout,
            currency = transaction.currency
        ));
    }
    if !explanation.events.is_empty() {
        let events = explanation.events.join(", ");
        lines.push(format!("{STRONG}events{STRONG:#}       {events}"));
    }
    for note in &explanation.notes {
        lines.push(format!("{STRONG}note{STRONG:#}         {note}"));
    }
    lines
}
