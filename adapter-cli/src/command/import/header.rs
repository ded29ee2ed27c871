//! The first row of a file: which parameter each column brings.

use std::iter;

use counterfoil_core::{
    Dialect, Incoming, Method, Parameter, Postback, Reason, Request, Ruleset, Step, nearest, read,
};
use counterfoil_sqlite::FilePlace;
use url::form_urlencoded;

use super::{files::Input, records::Records};
use crate::{failure::Failure, output, spreadsheet};

/// Delimiters that are looked for in the header.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];
/// The column that is the time of arrival (R52) rather than a parameter.
const DATE: &str = "date";
/// The column that a file of refused rows is known by.
const REJECTED_LINE: &str = "rejected_line";
/// The columns of a file of refused rows, in their order; importing it again leaves them out.
pub(super) const REJECTED: [&str; 5] =
    [REJECTED_LINE, "rejected_reason", "rejected_parameter", "rejected_message", "rejected_hint"];

/// What a header says.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// What stands between cells.
    pub(super) delimiter: u8,
    /// The columns.
    pub(super) columns: Vec<Column>,
    /// The header as it came.
    pub(super) names: csv::ByteRecord,
    /// Whether it is that of a file of refused rows, in which formulas are marked as text.
    is_rejects: bool,
    /// Where the first row begins.
    pub(super) next: FilePlace,
}

/// What the cells of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// The parameter of this name.
    Parameter(String),
    /// The time of arrival.
    Date,
    /// Nothing that counts.
    LeftOut,
}

/// Reads the header of a file. Without a delimiter, the one that makes most columns is taken.
///
/// # Errors
/// Where there is none, or it cannot be read.
pub(super) fn read_header(input: &mut Input, delimiter: Option<u8>) -> Result<Header, Failure> {
    let candidates = delimiter.map_or(DELIMITERS.to_vec(), |delimiter| vec![delimiter]);
    let mut best: Option<Header> = None;
    for delimiter in candidates {
        let header = read_with(input, delimiter)?;
        let columns = header.columns.len();
        if best.as_ref().is_none_or(|best| columns > best.columns.len()) {
            best = Some(header);
        }
    }
    best.ok_or_else(|| Failure::usage("no delimiter"))
}

fn read_with(input: &mut Input, delimiter: u8) -> Result<Header, Failure> {
    let unreadable = |error| Failure::could_not(format_args!("cannot read the file: {error}"));
    let start = input.start();
    let label = input.label.clone();
    let mut records = Records::new(input.content(), delimiter, start).map_err(unreadable)?;
    let Some(header) = records.read(None).map_err(unreadable)? else {
        return Err(Failure::could_not(format_args!("`{label}` is empty"))
            .hint("its first row names a parameter for each column, as in pcid,type,value"));
    };
    if let Some(broken) = header.broken {
        return Err(Failure::could_not(format_args!("the header of `{label}`: {broken}"))
            .hint(broken.hint()));
    }
    let is_rejects = header.fields.iter().any(|name| name == REJECTED_LINE.as_bytes());
    let column = |name| Column::of(value(is_rejects, name));
    let columns: Vec<Column> = header.fields.iter().map(column).collect();
    if let Some(name) = columns.iter().enumerate().find_map(|(place, column)| {
        let before = columns.get(..place).unwrap_or_default();
        column.name().filter(|_| before.contains(column))
    }) {
        let name = output::visible(name);
        return Err(Failure::could_not(format_args!("`{label}` names the column `{name}` twice"))
            .hint(
                "rename one of them, or leave its name empty, so that the column does not count",
            ));
    }
    let next = records.next_place();
    Ok(Header { delimiter, columns, names: header.fields, is_rejects, next })
}

fn value(is_rejects: bool, cell: &[u8]) -> &[u8] {
    if is_rejects { spreadsheet::original(cell) } else { cell }
}

impl Column {
    fn of(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        match name.trim() {
            "" => Self::LeftOut,
            DATE => Self::Date,
            rejected if REJECTED.contains(&rejected) => Self::LeftOut,
            name => Self::Parameter(name.to_owned()),
        }
    }

    /// What it is called, where it counts.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Parameter(name) => Some(name),
            Self::Date => Some(DATE),
            Self::LeftOut => None,
        }
    }
}

impl Header {
    /// What a cell of the file brings.
    pub(super) fn value<'c>(&self, cell: &'c [u8]) -> &'c [u8] {
        value(self.is_rejects, cell)
    }

    /// Refuses a file with a column that was probably meant to be a parameter, and one in which no
    /// column says which conversion a row is about (R14).
    ///
    /// # Errors
    /// Which column is misspelt or missing.
    pub(super) fn check(&self, label: &str, ruleset: &Ruleset) -> Result<(), Failure> {
        let names = || self.parameters();
        let has_external = names().any(|name| is_external_id(ruleset, name));
        let has_pair = has_external && names().any(|name| is_advertiser(ruleset, name));
        self.check_spelling(label, ruleset, has_pair)?;
        if has_pair || names().any(|name| is_pcid(ruleset, name)) {
            return Ok(());
        }
        let what = if has_external {
            "has a column for the external id, but none for its advertiser"
        } else {
            "has no column that says which conversion a row is about"
        };
        let found: Vec<&str> = names().collect();
        Err(Failure::could_not(format_args!("`{label}` {what}; nothing was imported")).hint(
            format_args!(
                "name a column `pcid`, or two `external_id` and `advertiser_id`; there are: {}",
                found.join(", ")
            ),
        ))
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().filter_map(|column| match column {
            Column::Parameter(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// A column `typ` would leave every row without a type, so that all of them were updates: what
    /// a postback is told in a note (R2), a file is told before its first row. Where another
    /// column is the parameter, or does its work, nothing was meant by this one: beside the pair
    /// of external id and advertiser, `pid` and `cid` are no clicks.
    fn check_spelling(
        &self,
        label: &str,
        ruleset: &Ruleset,
        has_pair: bool,
    ) -> Result<(), Failure> {
        let is_free =
            |meant: &str| !(self.has(meant) || has_pair && known(meant) == Some(Parameter::Pcid));
        let misspelt: Vec<(&str, String)> = self
            .parameters()
            .filter_map(|name| Some((name, similar(ruleset, name).or_else(|| near_date(name))?)))
            .filter(|(_, meant)| is_free(meant))
            .collect();
        let Some((first, _)) = misspelt.first() else {
            return Ok(());
        };
        let said: Vec<String> = misspelt
            .iter()
            .map(|(name, meant)| {
                format!("`{}` is no parameter; did you mean `{meant}`?", output::visible(name))
            })
            .collect();
        let label = output::visible(label);
        let message = format!("nothing was imported of `{label}`: {}", said.join(" "));
        Err(Failure::could_not(message).hint(format_args!(
            "rename the column; if `{}` is something else, give it a name that is less like a \
             parameter's, or leave its name empty, so that it does not count",
            output::visible(first)
        )))
    }

    /// Whether a column is this parameter, under any of its names, or the date.
    fn has(&self, meant: &str) -> bool {
        if meant == DATE {
            return self.columns.contains(&Column::Date);
        }
        let meant = known(meant);
        meant.is_some() && self.parameters().any(|name| known(name) == meant)
    }
}

/// What becomes of a row with these cells: the core knows its names.
fn probe(ruleset: &Ruleset, cells: &[(&str, &str)]) -> Result<Box<Postback>, Reason> {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(cells).finish();
    let incoming = Incoming { method: Method::Import, dialect: None, query: &query, body: None };
    match read(ruleset, &incoming).0 {
        Request::Postback(postback) => Ok(postback),
        Request::Unreadable(refusal) => Err(refusal.reason),
        _ => Err(Reason::Malformed),
    }
}

/// A click that stands in a cell, whether it is there or not.
const ANY_CLICK: &str = "01930000-0000-7000-8000-000000000000";

fn is_pcid(ruleset: &Ruleset, name: &str) -> bool {
    probe(ruleset, &[(name, ANY_CLICK)]).is_ok()
}

fn is_external_id(ruleset: &Ruleset, name: &str) -> bool {
    probe(ruleset, &[(name, "x")]).err() == Some(Reason::AdvertiserIdRequired)
}

fn is_advertiser(ruleset: &Ruleset, name: &str) -> bool {
    probe(ruleset, &[(name, "x"), ("external_id", "x")]).is_ok()
}

fn known(name: &str) -> Option<Parameter> {
    let mut known = Dialect::native().known_names();
    known.find(|(known, _)| *known == name).map(|(_, parameter)| parameter)
}

/// The parameter that an unknown name was perhaps meant to be: one of those that decide about a
/// row, for which `ID` is a name as good as any other.
fn similar(ruleset: &Ruleset, name: &str) -> Option<String> {
    let decides = |parameter: Parameter| {
        use Parameter::{Id, Sig, Token, Ts};
        !matches!(parameter, Id | Token | Ts | Sig)
    };
    let row = probe(ruleset, &[("pcid", ANY_CLICK), (name, "x")]).ok()?;
    row.steps.iter().find_map(|step| match step {
        Step::Similar { reserved, .. } if known(reserved).is_some_and(decides) => {
            Some(reserved.to_string())
        }
        _ => None,
    })
}

/// One edit, as of any name so short (R2). Nobody misspells the first letter: `rate` is something
/// else.
fn near_date(name: &str) -> Option<String> {
    let begins = name.chars().next().map(|first| first.to_ascii_lowercase());
    if name.len() > DATE.len() + 1 || begins != DATE.chars().next() {
        return None;
    }
    nearest(name, iter::once(DATE)).map(ToOwned::to_owned)
}
