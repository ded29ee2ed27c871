//! What became of a request, as people and scripts read it.

use counterfoil_core::view::{Moment, MomentKind, RequestView, Timeline};
use serde_json::Value;

use crate::{
    failure::Failure,
    output::{GOOD, MISTAKE, QUIET, STRONG, visible},
};

/// The timeline in lines, under a heading.
pub(crate) fn lines(timeline: &Timeline) -> impl Iterator<Item = String> {
    let heading = format!("{STRONG}timeline{STRONG:#}");
    let more = (!timeline.complete).then(|| {
        "  later requests about the conversion may be missing: `counterfoil requests` lists all"
            .to_owned()
    });
    [heading].into_iter().chain(timeline.items.iter().map(line)).chain(more)
}

/// The log row as the interface shows it, with its timeline beside the other fields.
///
/// # Errors
/// Where it cannot be written as JSON.
pub(crate) fn beside(request: &RequestView, timeline: &Timeline) -> Result<Value, Failure> {
    let mut row = serde_json::to_value(request).map_err(Failure::could_not)?;
    let timeline = serde_json::to_value(timeline).map_err(Failure::could_not)?;
    if let Some(fields) = row.as_object_mut() {
        fields.insert("timeline".to_owned(), timeline);
    }
    Ok(row)
}

fn line(moment: &Moment) -> String {
    let Moment { at, what, id, message } = moment;
    let style = match what {
        MomentKind::Delivered => GOOD,
        MomentKind::Dead => MISTAKE,
        _ => STRONG,
    };
    let message = visible(message);
    format!("  {QUIET}{at}{QUIET:#}  {style}{:<13}{style:#}  {id}  {message}", what.name())
}
