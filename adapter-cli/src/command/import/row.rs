//! A row as a request: an arrival by the method `import`, at the time that its `date` says.

use counterfoil_core::{
    Arrival, Incoming, Method, Reason, Refusal, Request, Ruleset, Timestamp, logged_text,
};
use url::form_urlencoded;

use super::{
    header::{Column, Header},
    records::{Broken, Record},
};

/// Reads a row that is handed in at `now`. A row without a date arrives then (R52).
pub(super) fn read(
    ruleset: &Ruleset,
    header: &Header,
    record: &Record,
    now: Timestamp,
) -> (Arrival, Timestamp) {
    if let Some(broken) = record.broken {
        return (unreadable(malformed(record, broken), String::new()), now);
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut date = None;
    for (column, cell) in header.columns.iter().zip(&record.fields) {
        // It is UTF-8: others are broken.
        let cell = std::str::from_utf8(header.value(cell)).unwrap_or_default().trim_ascii();
        match column {
            _ if cell.is_empty() => {}
            Column::LeftOut => {}
            Column::Parameter(name) => drop(query.append_pair(name, cell)),
            Column::Date if date.is_none() => date = Some(cell),
            Column::Date => {}
        }
    }
    let arrived_at = match date.map(|date| (date, arrival_at(date, now))) {
        None => now,
        Some((_, Ok(at))) => at,
        Some((date, Err(refusal))) => {
            query.append_pair("date", date);
            let is_personal = ruleset.privacy().hides("date", date);
            let refusal = if is_personal { personal_date() } else { refusal };
            return (unreadable(refusal, logged_text(ruleset, &incoming(&query.finish()))), now);
        }
    };
    (Arrival::read(ruleset, &incoming(&query.finish())), arrived_at)
}

fn incoming(query: &str) -> Incoming<'_> {
    Incoming { method: Method::Import, dialect: None, query, body: None }
}

fn unreadable(refusal: Refusal, query: String) -> Arrival {
    let request = Request::Unreadable(Box::new(refusal));
    Arrival { request, method: Method::Import, dialect: None, query, remote_addr: None }
}

/// Its cells are not logged: it is not known which of them is a secret.
fn malformed(record: &Record, broken: Broken) -> Refusal {
    let message = format!("line {}: {broken}", record.from.line);
    Refusal::new(Reason::Malformed, message).hint(broken.hint())
}

/// What is personal is not repeated.
fn personal_date() -> Refusal {
    Refusal::new(Reason::InvalidParameter, "`date` is a personal value, and no date").about("date")
}

/// The time of a `date`: RFC 3339, or a date with or without a time, in UTC.
fn arrival_at(date: &str, now: Timestamp) -> Result<Timestamp, Refusal> {
    let forms = [date.to_owned(), format!("{date}Z"), format!("{date}T00:00:00Z")];
    let shown: String =
        date.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let refuse = |message| Refusal::new(Reason::InvalidParameter, message).about("date");
    let found = forms.iter().find_map(|form| form.parse::<Timestamp>().ok());
    match found {
        Some(at) if at <= now => Ok(at),
        Some(_) => Err(refuse(format!("`date` is `{shown}`, which is still to come"))
            .hint("a row tells what has happened; leave `date` empty for now")),
        None => Err(refuse(format!("`date` cannot be `{shown}`")).hint(
            "write it as 2026-01-31, 2026-01-31 12:00:00 or 2026-01-31T12:00:00+01:00; \
                   without an offset it is UTC",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let table = [
            ("2026-01-31", Some("2026-01-31T00:00:00.000Z")),
            ("2026-01-31 12:30", Some("2026-01-31T12:30:00.000Z")),
            ("2026-01-31 12:30:01", Some("2026-01-31T12:30:01.000Z")),
            ("2026-01-31T12:30:01.5", Some("2026-01-31T12:30:01.500Z")),
            ("2026-01-31T12:30:01+02:00", Some("2026-01-31T10:30:01.000Z")),
            ("1969-12-31", Some("1969-12-31T00:00:00.000Z")),
            ("2026-06-01", Some("2026-06-01T00:00:00.000Z")),
            ("2026-06-02", None),
            ("31.1.2026", None),
            ("1/31/2026", None),
            ("yesterday", None),
        ];
        for (date, want) in table {
            let got = arrival_at(date, now).ok().map(|at| at.to_string());
            assert_eq!(got.as_deref(), want, "{date}");
        }
    }
}
