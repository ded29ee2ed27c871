//! Clicks of affiliate links. A click is its own record: it has no log row, and what one would tell
//! follows from the click and the rules that it was made by.

use std::sync::LazyLock;

use counterfoil_core::{
    Arrival, Facts, Method, Outcome, Receipt, Request, RequestId, RootRequest, Ruleset, Timestamp,
};
use rusqlite::{Connection, Row, params};

use crate::{
    blobs::{self, RequestMore},
    codes::Coded,
    fault::{Fault, bad},
    ids,
    log::LogRow,
    numbers::{self, Table},
    rows::{self, CONVERSION},
};

/// The columns of a click, in the order in which [`read_click`] takes them.
pub(crate) static CLICK: LazyLock<String> =
    LazyLock::new(|| format!("{CONVERSION}, tenant, ruleset, first_more"));

/// A click as it was made.
pub(crate) struct Click {
    pub(crate) id: RequestId,
    pub(crate) tenant: i64,
    pub(crate) ruleset: u32,
    pub(crate) arrival: Arrival,
    pub(crate) at: Timestamp,
}

/// The click that a request made, where it made one.
pub(crate) fn made_by(
    db: &Connection,
    tenant: i64,
    request: &RequestId,
) -> Result<Option<Click>, Fault> {
    let id = request.conversion_id();
    if ids::maker_of(&id) != *request {
        return Ok(None);
    }
    let number = numbers::find(db, Table::Conversions, id.as_bytes())?;
    let sql = format!(
        "SELECT {} FROM conversions WHERE number = ?1 AND tenant = ?2 AND method = ?3",
        *CLICK
    );
    rows::one(db, &sql, params![number, tenant, Method::Link.stored()], read_click)
}

/// A click from its row: what made it is in the row, or, where it was changed since, beside it.
pub(crate) fn read_click(row: &Row<'_>) -> Result<Click, Fault> {
    let mut click = rows::read_conversion(row)?;
    let first_more: Option<Vec<u8>> = row.get(20)?;
    if let Some(first) = first_more {
        let first = Some(first.as_slice()).filter(|blob| !blob.is_empty());
        click.params = blobs::decode_conversion(first)?.params.into_owned();
    }
    let root = RootRequest::of_click(&click).ok_or_else(|| bad("root", click.id))?;
    Ok(Click {
        id: ids::maker_of(&click.id),
        tenant: row.get(18)?,
        ruleset: row.get(19)?,
        arrival: Arrival {
            request: Request::Root(Box::new(root)),
            method: Method::Link,
            dialect: None,
            query: String::new(),
            remote_addr: None,
        },
        at: click.created_at,
    })
}

impl Click {
    /// What its log row would tell, by the rules that it was made by; without them, that it was
    /// made. The address that it came from is not known any more.
    pub(crate) fn logged(self, ruleset: Option<&Ruleset>) -> LogRow {
        let receipt = Receipt { id: self.id, at: self.at };
        // Nothing that is stored matters to a new click.
        let decide = |ruleset| self.arrival.request.decide(ruleset, &Facts::default(), receipt);
        let decision = ruleset.map(decide);
        let more = decision.as_ref().map(|decision| RequestMore::of(decision).into_owned());
        let query = match &self.arrival.request {
            Request::Root(root) => root.text(),
            _ => self.arrival.query,
        };
        LogRow {
            id: self.id,
            tenant: self.tenant,
            received_at: self.at,
            method: self.arrival.method,
            dialect: None,
            remote_addr: None,
            query,
            ruleset: self.ruleset,
            outcome: Outcome::Created,
            reason: None,
            conversion: Some(self.id.conversion_id()),
            more: more.unwrap_or_default(),
        }
    }
}
