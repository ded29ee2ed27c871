//! What commands print: data on stdout as a table, JSON or CSV; everything else on stderr. Colour
//! only on a terminal, and never under `NO_COLOR`.

use std::{
    fmt,
    io::{self, Write},
};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;
use serde_json::Value;

use crate::{failure::Failure, spreadsheet};

/// Headings and names.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is beside the point.
pub(crate) const QUIET: Style = Style::new().dimmed();
/// What went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What went wrong.
pub(crate) const MISTAKE: Style = AnsiColor::Red.on_default().bold();
/// What is suspicious.
pub(crate) const SUSPICIOUS: Style = AnsiColor::Yellow.on_default().bold();
/// What to try.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// The form in which a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Columns for people.
    #[default]
    Table,
    /// The shapes of the HTTP interface.
    Json,
    /// Every column, for spreadsheets: text that begins like a formula gets an apostrophe.
    Csv,
}

/// The form in which one answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerFormat {
    /// Sentences for people.
    #[default]
    Text,
    /// The shapes of the HTTP interface.
    Json,
}

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// The name in JSON and CSV.
    pub(crate) name: &'static str,
    /// Whether it is wide enough for the table that people see.
    pub(crate) in_table: bool,
}

/// A column that every form shows.
pub(crate) const fn column(name: &'static str) -> Column {
    let in_table = true;
    Column { name, in_table }
}

/// A column that the table leaves out.
pub(crate) const fn detail(name: &'static str) -> Column {
    let in_table = false;
    Column { name, in_table }
}

/// Prints a line on stdout. A reader that has gone away is no failure.
pub(crate) fn say(line: impl fmt::Display) -> Result<(), Failure> {
    write(format_args!("{line}\n"))
}

/// Tells a line on stderr. Nobody can be told that stderr is closed.
pub(crate) fn tell(line: impl fmt::Display) {
    let _ = writeln!(anstream::stderr().lock(), "{line}");
}

/// So many of something: `1 row`, `2 rows`.
pub(crate) fn counted<N: fmt::Display + From<u8> + PartialEq>(count: N, noun: &str) -> String {
    let s = if count == N::from(1) { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// Prints a value as JSON on stdout.
pub(crate) fn say_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::could_not)?;
    say(text)
}

/// Prints a page of rows; `page` is the whole of what JSON shows, `items` its rows.
pub(crate) fn say_list(
    format: ListFormat,
    columns: &[Column],
    page: &impl Serialize,
    items: &[impl Serialize],
) -> Result<(), Failure> {
    match format {
        ListFormat::Json => say_json(page),
        ListFormat::Csv => write(csv_text(columns, &rows(items)?)?),
        ListFormat::Table => say(table_text(columns, &rows(items)?)),
    }
}

fn write(text: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::could_not(format_args!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

fn rows(items: &[impl Serialize]) -> Result<Vec<Value>, Failure> {
    let row = |item| serde_json::to_value(item).map_err(Failure::could_not);
    items.iter().map(row).collect()
}

fn table_text(columns: &[Column], rows: &[Value]) -> String {
    let shown = || columns.iter().filter(|column| column.in_table);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(shown().map(|column| column.name));
    for row in rows {
        table.add_row(shown().map(|column| visible(&listed(row, column.name))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn csv_text(columns: &[Column], rows: &[Value]) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = columns.iter().map(|column| column.name);
    writer.write_record(header).map_err(Failure::could_not)?;
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| cell(row, column.name)).collect();
        let cells = cells.iter().map(|cell| spreadsheet::harmless(cell.as_bytes()));
        writer.write_record(cells).map_err(Failure::could_not)?;
    }
    let bytes = writer.into_inner().map_err(Failure::could_not)?;
    String::from_utf8(bytes).map_err(Failure::could_not)
}

/// The text of a cell: a text as it is, what is absent empty, what is nested as JSON.
fn cell(row: &Value, name: &str) -> String {
    match row.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// The text of a cell as people read it: of a list of texts, the texts.
fn listed(row: &Value, name: &str) -> String {
    let texts = row.get(name).and_then(Value::as_array);
    let texts = texts.and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    texts.map_or_else(|| cell(row, name), |texts| texts.join(", "))
}

/// A text of somebody else in one line: control characters would break or steer the terminal.
pub(crate) fn visible(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [column("id"), column("value"), detail("params")];

    fn sample() -> Vec<Value> {
        vec![
            serde_json::json!({"id": "a,b", "value": null, "params": {"x": "1"}}),
            serde_json::json!({"id": "two\nlines", "value": "10.00", "params": {}}),
        ]
    }

    #[test]
    fn csv_has_every_column_and_quotes_what_needs_it() {
        let text = csv_text(&COLUMNS, &sample()).unwrap();
        let expected =
            "id,value,params\n\"a,b\",,\"{\"\"x\"\":\"\"1\"\"}\"\n\"two\nlines\",10.00,{}\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn csv_holds_no_formulas() {
        let rows = [serde_json::json!({"id": "=1+1", "value": "-5.00", "params": {}})];
        let text = csv_text(&COLUMNS, &rows).unwrap();
        assert_eq!(text, "id,value,params\n'=1+1,-5.00,{}\n");
    }

    #[test]
    fn the_table_lists_texts_without_brackets() {
        let rows = [
            serde_json::json!({"id": "1", "notes": ["a", "b"]}),
            serde_json::json!({"id": "2", "notes": []}),
        ];
        let text = table_text(&[column("id"), column("notes")], &rows);
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines, [vec!["id", "notes"], vec!["1", "a,", "b"], vec!["2"]]);
    }

    #[test]
    fn the_table_leaves_details_out_and_keeps_one_line_for_a_row() {
        let text = table_text(&COLUMNS, &sample());
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains("params"), "{text}");
    }
}
