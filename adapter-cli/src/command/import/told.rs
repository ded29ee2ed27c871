//! What people are told of each file, on stderr: what this run did, and what is left.

use counterfoil_core::Outcome;

use super::{
    REFUSED_SHOWN,
    feed::Stored,
    run::{Begin, Done, Run},
    summary::Item,
};
use crate::{
    database,
    failure::Failure,
    output::{self, GOOD, MISTAKE, SUSPICIOUS, counted},
};

impl Run<'_> {
    /// Tells what this run did about a file.
    pub(super) fn tell(&self, label: &str, begin: &Begin, done: &Done, item: &Item) {
        let (stored, before) = (&done.stored, begin.rows);
        let read = read_words(stored, before);
        match &done.reached {
            Some(reached) if !item.is_whole => {
                let line = reached.next.line;
                let next = if self.dry {
                    String::new()
                } else {
                    format!("; the same command goes on at line {line}")
                };
                let what = format_args!("{SUSPICIOUS}interrupted{SUSPICIOUS:#} in `{label}`");
                output::tell(format_args!("{what}: {read}{next}"));
            }
            Some(reached) if stored.rows == 0 && before > 0 => {
                let (rows, at) = (counted(before, "row"), reached.import.started_at);
                let next = match &self.round {
                    None => "; --again imports the file once more",
                    Some(_) => ", with --again",
                };
                let words = format_args!("nothing to do: `{label}` was imported on {at}, {rows}");
                output::tell(format_args!("{words}{next}"));
            }
            _ if stored.rows == 0 => {
                output::tell(format_args!("nothing to do: `{label}` has no rows"))
            }
            _ => {
                let is_taken = stored.outcomes.keys().any(|outcome| *outcome != Outcome::Refused);
                let (style, what) = match (is_taken, self.dry) {
                    (true, false) => (GOOD, "imported"),
                    (true, true) => (GOOD, "would import"),
                    (false, false) => (MISTAKE, "imported nothing of"),
                    (false, true) => (MISTAKE, "would import nothing of"),
                };
                let rate = done.rate;
                output::tell(format_args!("{style}{what}{style:#} `{label}`: {read}; {rate}/s"));
            }
        }
        if stored.messages > 0 && !self.dry {
            output::tell(format_args!(
                "messages that were made: {}; `counterfoil serve` sends them",
                stored.messages
            ));
        }
    }

    /// Where a run ends between two files.
    pub(super) fn tell_not_begun(&self, label: &str) {
        let next = if self.dry { "" } else { ": the same command goes on with it" };
        output::tell(format_args!("{SUSPICIOUS}interrupted{SUSPICIOUS:#} before `{label}`{next}"));
    }

    /// Where the refused rows are; of a dry run that writes none, the first of them.
    pub(super) fn tell_refused(&self, done: &Done, item: &Item) -> Result<(), Failure> {
        let refused = counted(item.refused, "row");
        if let Some(rejects) = &item.rejects {
            output::tell(format_args!(
                "refused: {refused}, in `{rejects}` with the reasons; corrected, import that file"
            ));
            return Ok(());
        }
        let Some(reached) = done.reached.as_ref().filter(|_| self.dry && item.refused > 0) else {
            return Ok(());
        };
        output::tell(format_args!("refused: {refused}; --rejects FILE writes all of them:"));
        let first = self.reader().refused_rows(reached.import.id, None, REFUSED_SHOWN);
        for row in first.map_err(database::read_failure)? {
            let (line, code) = (row.from.line, row.refusal.reason.code());
            let message = output::visible(&row.refusal.message);
            output::tell(format_args!("  line {line}: {code}: {message}"));
        }
        Ok(())
    }
}

/// How many rows were read, and what became of them.
fn read_words(stored: &Stored, before: u64) -> String {
    let mut words = counted(stored.rows, "row") + " read";
    if before > 0 {
        words += &format!(" behind the {before} stored before");
    }
    for (outcome, rows) in &stored.outcomes {
        words += &format!(", {rows} {}", outcome.name());
    }
    words
}
