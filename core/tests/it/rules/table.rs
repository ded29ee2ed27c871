//! Tables of texts with the issues that they bring; `mistakes.txt` says how they are written.

use super::Expected;

/// What stands between two empty lines.
pub(super) struct Section<'t> {
    pub(super) kind: &'t str,
    pub(super) path: &'t str,
    /// The lines that were indented.
    pub(super) text: String,
    /// The other lines.
    pub(super) rows: Vec<&'t str>,
}

/// The sections of a table, but for the comment that it begins with.
pub(super) fn sections(table: &str) -> Vec<Section<'_>> {
    table.split("\n\n").skip(1).map(section).collect()
}

fn section(text: &str) -> Section<'_> {
    let mut lines = text.lines();
    let head = lines.next().unwrap();
    let (kind, path) = head.split_once(' ').unwrap_or((head, ""));
    let (indented, rows) = lines.partition::<Vec<&str>, _>(|line| line.starts_with("  "));
    let text = indented.iter().map(|line| format!("{}\n", line.trim_start()));
    Section { kind, path, text: text.collect(), rows }
}

/// The cells of a row, `-` as nothing.
pub(super) fn cells(row: &str) -> Vec<&str> {
    let cell = |cell| if cell == "-" { "" } else { cell };
    row.split(" | ").map(cell).collect()
}

/// The number of the line that follows a text.
pub(super) fn next_line(text: &str) -> u32 {
    u32::try_from(text.split('\n').count()).unwrap()
}

/// The issues that rows expect of a text behind `head`.
pub(super) fn expected_behind<'t>(head: &str, rows: &[&'t str]) -> Vec<Expected<'t>> {
    let expected = |row: &&'t str| {
        let [path, at, message, hint] = cells(row)[..] else {
            panic!("four cells: {row}");
        };
        let at = at.split_once(':').map(|(line, column)| {
            let line: u32 = line.parse().unwrap();
            (next_line(head) - 1 + line, column.parse().unwrap())
        });
        (path, at, message, hint)
    };
    rows.iter().map(expected).collect()
}
