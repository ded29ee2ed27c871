//! What the lists share: their filters, and how a page is printed.

use std::path::PathBuf;

use clap::Args;
use counterfoil_core::{
    Outcome, Reason, Timestamp, TransactionResult, nearest,
    view::{Filter, Page},
};
use serde::Serialize;

use crate::{
    arguments::{DatabaseArguments, TenantArgument},
    exit_code::ExitCode,
    failure::Failure,
    output::{self, Column, ListFormat},
};

/// Which database a list is of, where the list has commands beside it.
#[derive(Clone, Debug, Args)]
pub(super) struct ListedDatabase {
    /// The database
    // Optional for the sake of the commands beside the list, which have their own.
    #[arg(long, value_name = "FILE", env = "COUNTERFOIL_DB", required = true)]
    db: Option<PathBuf>,
}

impl ListedDatabase {
    /// Its path.
    pub(super) fn path(&self) -> PathBuf {
        self.db.clone().unwrap_or_default()
    }
}

/// The same, and which tenant in it.
#[derive(Clone, Debug, Args)]
pub(super) struct ListedArguments {
    #[command(flatten)]
    database: ListedDatabase,
    #[command(flatten)]
    tenant: TenantArgument,
}

impl ListedArguments {
    /// The database and the tenant.
    pub(super) fn database(&self) -> DatabaseArguments {
        DatabaseArguments { db: self.database.path(), tenant: self.tenant.clone() }
    }
}

/// Which rows of any list are wanted.
#[derive(Clone, Debug, Args)]
pub(super) struct PageArguments {
    /// Only the row with this id
    #[arg(long)]
    id: Option<String>,
    /// Only from this moment on: 2026-01-31T12:00:00Z, or a date for its midnight in UTC
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only before this moment, written in the same way
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// The most rows, up to 1000; --cursor goes on where there are more
    #[arg(long, default_value_t = Filter::LIMIT_DEFAULT, value_name = "ROWS",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(Filter::LIMIT_MAX)))]
    limit: u32,
    /// Where to go on: what the page before said on stderr
    #[arg(long)]
    cursor: Option<String>,
    /// How to print them
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Which roots the rows are wanted of.
#[derive(Clone, Debug, Args)]
pub(super) struct OriginArguments {
    /// Only of this affiliate
    #[arg(long, value_name = "ID")]
    affiliate: Option<String>,
    /// Only of this offer
    #[arg(long, value_name = "ID")]
    offer: Option<String>,
    /// Only of this advertiser
    #[arg(long, value_name = "ID")]
    advertiser: Option<String>,
}

impl PageArguments {
    /// The filter that they make.
    pub(super) fn filter(&self) -> Filter {
        Filter {
            id: self.id.clone(),
            since: self.since,
            until: self.until,
            limit: Some(self.limit),
            cursor: self.cursor.clone(),
            ..Filter::default()
        }
    }

    /// Whether a table for people is wanted.
    pub(super) fn is_table(&self) -> bool {
        self.format == ListFormat::Table
    }

    /// Prints a page and, on stderr, where the next one begins.
    pub(super) fn say<T: Serialize>(
        &self,
        columns: &[Column],
        page: &Page<T>,
    ) -> Result<ExitCode, Failure> {
        output::say_list(self.format, columns, page, &page.items)?;
        if page.items.is_empty() {
            output::tell("no rows");
        }
        if let Some(cursor) = &page.next_cursor {
            output::tell(format_args!("there is more: --cursor {cursor}"));
        }
        Ok(ExitCode::Done)
    }
}

impl OriginArguments {
    /// The filter, narrowed by them.
    pub(super) fn narrow(&self, filter: Filter) -> Filter {
        Filter {
            affiliate: self.affiliate.clone(),
            offer: self.offer.clone(),
            advertiser: self.advertiser.clone(),
            ..filter
        }
    }
}

/// Reads a moment: RFC 3339, or a date for its midnight in UTC.
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    let midnight = || format!("{text}T00:00:00Z").parse();
    text.parse()
        .or_else(|_| midnight())
        .map_err(|_| "write a moment as 2026-01-31T12:00:00Z, or a date as 2026-01-31".to_owned())
}

/// Reads a result.
pub(super) fn result(text: &str) -> Result<TransactionResult, String> {
    TransactionResult::named(text).ok_or_else(|| one_of(text, &["pending", "approved", "rejected"]))
}

/// Reads an outcome.
pub(super) fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::named(text).ok_or_else(|| one_of(text, &Outcome::ALL.map(Outcome::name)))
}

/// Reads a reason.
pub(super) fn reason(text: &str) -> Result<Reason, String> {
    Reason::of_code(text).ok_or_else(|| one_of(text, &Reason::ALL.map(Reason::code)))
}

/// What to try instead of an unknown name: the one that was perhaps meant, and all.
pub(super) fn one_of(text: &str, names: &[&str]) -> String {
    let meant = nearest(text, names.iter().copied());
    let meant = meant.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
    format!("{meant}one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight_in_utc() {
        assert_eq!(moment("2026-01-31"), moment("2026-01-31T01:00:00+01:00"));
        assert_eq!(moment("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00.000Z");
        for text in ["", "yesterday", "2026-02-30", "2026-01-31T12:00", "2026-01"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_one_that_was_meant_and_all() {
        let meant = reason("pairing_faild").unwrap_err();
        assert!(meant.starts_with("did you mean `pairing_failed`? one of "), "{meant}");
        let all = "one of created, updated, unchanged, duplicate, refused";
        assert_eq!(outcome("lost").unwrap_err(), all);
        assert_eq!(outcome("create").unwrap_err(), format!("did you mean `created`? {all}"));
        assert!(result("Approve").unwrap_err().starts_with("did you mean `approved`? one of "));
    }

    #[test]
    fn the_help_tells_the_true_maximum() {
        let command = PageArguments::augment_args(clap::Command::new("list"));
        let limit = command.get_arguments().find(|argument| argument.get_id() == "limit");
        let help = limit.and_then(clap::Arg::get_help).expect("help").to_string();
        assert!(help.contains(&format!("up to {};", Filter::LIMIT_MAX)), "{help}");
    }
}
