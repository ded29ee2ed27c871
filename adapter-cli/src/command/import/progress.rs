//! How far an import is, on a terminal: share, rows, rate, time left. Elsewhere nothing is drawn.

use std::time::Instant;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on stderr.
pub(super) struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Begins at an offset of a file.
    pub(super) fn new(len: u64, offset: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        bar.set_position(offset);
        bar.reset_eta();
        Self { bar, began: Instant::now() }
    }

    /// So many rows of this run are stored, and reading has come to an offset.
    pub(super) fn at(&self, rows: u64, offset: u64) {
        self.bar.set_position(offset);
        self.bar.set_message(format!(
            "{} rows, {}/s",
            HumanCount(rows),
            HumanCount(self.rate(rows))
        ));
    }

    /// Rows per second.
    fn rate(&self, rows: u64) -> u64 {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        rows.saturating_mul(1000) / ms.max(1)
    }

    /// Leaves nothing of the bar, and tells the rate.
    pub(super) fn end(self, rows: u64) -> u64 {
        self.bar.finish_and_clear();
        self.rate(rows)
    }
}
