//! Replay: everything that was ever decided is decided again, each with its version of the rules
//! and the ids that it got, in a temporary database, and every row is compared.
//!
//! Inputs are log rows, clicks of affiliate links (which are their own record) and the versions of
//! the rules. They are taken in the order of their ids, which is the order of the decisions.
//!
//! Messages are output: they are compared by what a decision alone makes of them, not by what
//! became of them later. Sending has one effect on later decisions: a delayed message that was
//! rendered or dropped makes room for the next one about its transaction (R43). When that was is
//! not decided but a matter of time, so it is an input too: each such message keeps the newest
//! request of that moment, and replaying settles it between the same two requests.
//!
//! What was pruned or erased is left out, with what depends on it (gaps.rs).

use std::{collections::BTreeMap, iter};

use counterfoil_core::{
    Amount, Arrival, ConversionId, MessageId, Method, Outcome, Receipt, RequestId, Timestamp,
};
use rusqlite::{Connection, Row, Rows, params, types::Value};

use crate::{
    ReadError, Reader,
    again::{self, Logged},
    blobs::RequestMore,
    click::{CLICK, Click, read_click},
    codes::Coded,
    decide,
    fault::{Fault, bad},
    gaps::Gaps,
    log::{self, LogRow, REQUEST},
    numbers, prune,
    rules::{self, Rules},
    schema, under_root,
};

/// What replaying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Requests that were decided again.
    pub requests: u64,
    /// Clicks that were made again.
    pub clicks: u64,
    /// Requests and clicks that are still there and could not be checked, because what they depend
    /// on was pruned or erased.
    pub not_checked: u64,
    /// The moment before which the history may be gone; none: nothing was pruned.
    pub begins_at: Option<Timestamp>,
    /// What came out differently, the first [`ReplayReport::DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// How many differences there are in all.
    pub differences_total: u64,
}

/// One thing that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The request, conversion, transaction or message.
    pub id: String,
    /// What differs, such as `outcome` or `transaction`.
    pub what: &'static str,
    /// What is stored: of a row, the columns that differ, by name; amounts are decimals.
    pub stored: String,
    /// What came out, in the same form.
    pub decided: String,
}

impl ReplayReport {
    /// The most differences that are listed.
    pub const DIFFERENCES_MAX: usize = 1000;

    fn differs(&mut self, id: impl ToString, what: &'static str, stored: String, decided: String) {
        self.differences_total += 1;
        if self.differences.len() < Self::DIFFERENCES_MAX {
            self.differences.push(Difference { id: id.to_string(), what, stored, decided });
        }
    }
}

impl Reader {
    /// Decides everything that is stored again, each with its version of the rules, in a temporary
    /// database, and compares.
    ///
    /// # Errors
    /// Where the database cannot be read, or a version of its rules is invalid in this build.
    pub fn replay(&self) -> Result<ReplayReport, ReadError> {
        self.with(|db| {
            let snapshot = db.unchecked_transaction()?;
            // A private file that SQLite removes by itself.
            let mut again = Connection::open("")?;
            again.pragma_update(None, "journal_mode", "off")?;
            numbers::prepare(&again)?;
            schema::upgrade(&mut again, 0)?;
            under_root::prepare_replaying(&again)?;
            let transaction = again.unchecked_transaction()?;
            copy_rules(&snapshot, &transaction)?;
            let mut replay = Replay {
                reader: self,
                stored: &snapshot,
                again: &transaction,
                gaps: Gaps::of(&snapshot)?,
                active: BTreeMap::new(),
                report: ReplayReport::default(),
            };
            replay.report.begins_at = replay.gaps.upto.map(prune::time_of);
            replay.decide_all()?;
            replay.compare_all()?;
            Ok(replay.report)
        })
    }
}

/// The rules are inputs: all versions are there, and none decides yet.
fn copy_rules(from: &Connection, to: &Connection) -> Result<(), Fault> {
    copy_table(from, to, "SELECT id, name, currency, 0 FROM tenants", "tenants", 4)?;
    copy_table(from, to, "SELECT * FROM rulesets", "rulesets", 6)
}

fn copy_table(
    from: &Connection,
    to: &Connection,
    select: &str,
    table: &str,
    columns: usize,
) -> Result<(), Fault> {
    let places = vec!["?"; columns].join(", ");
    let mut insert = to.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?;
    let mut select = from.prepare(select)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        insert.execute(rusqlite::params_from_iter(values(row, columns)?))?;
    }
    Ok(())
}

fn values(row: &Row<'_>, columns: usize) -> Result<Vec<Value>, Fault> {
    (0..columns).map(|column| Ok(row.get(column)?)).collect()
}

struct Replay<'a> {
    reader: &'a Reader,
    stored: &'a Connection,
    again: &'a Connection,
    gaps: Gaps,
    /// The rules that decide about each tenant at this point of the history.
    active: BTreeMap<i64, Rules>,
    report: ReplayReport,
}

impl Replay<'_> {
    fn decide_all(&mut self) -> Result<(), Fault> {
        let mut requests =
            self.stored.prepare(&format!("SELECT {REQUEST} FROM requests ORDER BY number"))?;
        let mut requests = requests.query([])?;
        let mut clicks = self.stored.prepare(&format!(
            "SELECT {} FROM conversions WHERE method = {} ORDER BY number",
            *CLICK,
            Method::Link.stored()
        ))?;
        let mut clicks = clicks.query([])?;
        let mut settled = self.stored.prepare(SETTLED)?;
        let mut settled = settled.query([])?;
        let mut request = next_request(&mut requests)?;
        let mut click = next_click(&mut clicks)?;
        let mut settling = next_settled(&mut settled)?;
        loop {
            let next = [click.as_ref().map(|c| c.id), request.as_ref().map(|r| r.id)];
            let next = next.into_iter().flatten().min();
            while let Some((id, after)) = settling.filter(|(_, after)| Some(*after) < next) {
                self.settle(&id, &after)?;
                settling = next_settled(&mut settled)?;
            }
            let click_is_first = match (&click, &request) {
                (Some(click), Some(request)) => click.id < request.id,
                (click, _) => click.is_some(),
            };
            if click_is_first && let Some(made) = click.take() {
                self.make(&made)?;
                click = next_click(&mut clicks)?;
            } else if let Some(logged) = request.take() {
                self.decide(logged)?;
                request = next_request(&mut requests)?;
            } else {
                return Ok(());
            }
        }
    }

    /// A delayed message was rendered or dropped.
    fn settle(&self, id: &MessageId, after: &RequestId) -> Result<(), Fault> {
        self.again
            .prepare_cached("UPDATE messages SET settled_after = ?2 WHERE id = ?1")?
            .execute(params![id.as_bytes(), after.as_bytes()])?;
        Ok(())
    }

    fn make(&mut self, click: &Click) -> Result<(), Fault> {
        if self.gaps.has(click.id.conversion_id().as_bytes()) {
            self.report.not_checked += 1;
            return Ok(());
        }
        self.report.clicks += 1;
        let rules = self.rules(click.tenant, click.ruleset)?;
        let receipt = Receipt { id: click.id, at: click.at };
        let decision = decide::consider(self.again, &rules, &click.arrival.request, receipt)?;
        if decision.outcome != Outcome::Created {
            let decided = decision.outcome.to_string();
            self.report.differs(click.id, "outcome", Outcome::Created.to_string(), decided);
        }
        decide::finish(self.again, rules, &click.arrival, receipt, decision)?;
        Ok(())
    }

    fn leave_out(&mut self, logged: &LogRow) -> Result<(), Fault> {
        self.report.not_checked += 1;
        self.gaps.leave_out(self.stored, logged)
    }

    fn decide(&mut self, logged: LogRow) -> Result<(), Fault> {
        if self.gaps.touch(self.stored, &logged)? {
            return self.leave_out(&logged);
        }
        let rules = self.rules(logged.tenant, logged.ruleset)?;
        let refusal = logged.refusal();
        let form = Logged {
            method: logged.method,
            dialect: logged.dialect.as_deref(),
            query: &logged.query,
            refusal: refusal.as_ref(),
        };
        let request = again::read(&rules.ruleset, &form);
        let receipt = Receipt { id: logged.id, at: logged.received_at };
        let decision = decide::consider(self.again, &rules, &request, receipt)?;
        if self.gaps.are_named(self.stored, &decision.trace)? {
            return self.leave_out(&logged);
        }
        self.report.requests += 1;
        let says = |outcome: Outcome, reason: Option<counterfoil_core::Reason>| match reason {
            Some(reason) => format!("{outcome}: {reason}"),
            None => outcome.to_string(),
        };
        let reason = decision.refusal.as_ref().map(|refusal| refusal.reason);
        self.compare(
            logged.id,
            "outcome",
            says(logged.outcome, logged.reason),
            says(decision.outcome, reason),
        );
        let of = |id: Option<ConversionId>| id.map(|id| id.to_string()).unwrap_or_default();
        let conversion = decision.conversion.as_ref().map(|conversion| conversion.id);
        self.compare(logged.id, "conversion_id", of(logged.conversion), of(conversion));
        let more = RequestMore::of(&decision);
        let lists = |more: &RequestMore<'_>| {
            format!("notes {:?}, transactions {:?}", more.notes(), more.transaction_ids)
        };
        self.compare(logged.id, "notes or transactions", lists(&logged.more), lists(&more));
        let arrival = Arrival {
            request,
            method: logged.method,
            dialect: logged.dialect,
            query: logged.query,
            remote_addr: logged.remote_addr.map(Into::into),
        };
        let decided = decide::finish(self.again, rules, &arrival, receipt, decision)?;
        log::write(self.again, iter::once((&arrival, &decided)))
    }

    fn compare(&mut self, id: RequestId, what: &'static str, stored: String, decided: String) {
        if stored != decided {
            self.report.differs(id, what, stored, decided);
        }
    }

    /// The version of the rules that decided, made the active one where another was.
    fn rules(&mut self, tenant: i64, version: u32) -> Result<Rules, Fault> {
        let before = self.active.get(&tenant);
        if let Some(active) = before.filter(|active| active.version == version) {
            return Ok(active.clone());
        }
        let before = before.map(|before| before.version);
        let rules = self.reader.rules_of(self.stored, tenant, version)?;
        let rules = rules.ok_or_else(|| bad("version of the rules", version))?;
        rules::activate(self.again, tenant, before, version, &rules.ruleset)?;
        self.active.insert(tenant, rules.clone());
        Ok(rules)
    }

    fn compare_all(&mut self) -> Result<(), Fault> {
        self.compare_table(
            "conversion",
            "SELECT id, tenant, root, type, method, source, offer, advertiser, affiliate, channel, \
             integration, external_id, value, price, currency, more, pair, created_at, \
             updated_at, revision, ruleset FROM conversions ORDER BY number",
            1,
            0,
        )?;
        self.compare_table(
            "transaction",
            "SELECT conversion, id, tenant, commission, type, result, revenue, payout, currency, \
             terms, direct_amount, revenue_edited, payout_edited, auto_set_at, auto_set_result, \
             created_at, updated_at, revision FROM transactions ORDER BY conversion, id",
            2,
            0,
        )?;
        self.compare_table(
            "repeat key",
            "SELECT tenant, key, conversion FROM repeat_keys ORDER BY tenant, key",
            2,
            2,
        )?;
        self.compare_table(
            "message",
            "SELECT id, tenant, ruleset, tracking_api, postback, step, owner, event, conversion, \
             transaction_id, destination, depth, is_delayed FROM messages ORDER BY id",
            1,
            8,
        )
    }

    /// Compares two tables in the order of their key, which is the first `key_len` columns;
    /// `conversion` is the column with the id of the conversion that a row belongs to.
    fn compare_table(
        &mut self,
        what: &'static str,
        sql: &str,
        key_len: usize,
        conversion: usize,
    ) -> Result<(), Fault> {
        let mut stored = self.stored.prepare(sql)?;
        let mut again = self.again.prepare(sql)?;
        let columns = stored.column_count();
        let names: Vec<String> = stored.column_names().map(str::to_owned).collect();
        let (gaps, db) = (&self.gaps, self.stored);
        let next = |rows: &mut Rows<'_>| -> Result<Option<Vec<Value>>, Fault> {
            while let Some(row) = rows.next()? {
                let id = ConversionId::from_bytes(row.get(conversion)?);
                if !gaps.hold(db, &id)? {
                    return values(row, columns).map(Some);
                }
            }
            Ok(None)
        };
        let (mut stored, mut again) = (stored.query([])?, again.query([])?);
        let (mut left, mut right) = (next(&mut stored)?, next(&mut again)?);
        while left.is_some() || right.is_some() {
            let key = |row: &Option<Vec<Value>>| row.as_ref().map(|row| key_text(row, key_len));
            let (left_key, right_key) = (key(&left), key(&right));
            let left_is_first = right_key.is_none() || left_key.is_some() && left_key <= right_key;
            let right_is_first = left_key.is_none() || right_key.is_some() && right_key <= left_key;
            if left != right {
                let of = |row: &Option<Vec<Value>>, counts: bool| row.clone().filter(|_| counts);
                let (one, other) = (of(&left, left_is_first), of(&right, right_is_first));
                let id =
                    left_key.clone().filter(|_| left_is_first).or(right_key).unwrap_or_default();
                let (one, other) = (one.as_deref(), other.as_deref());
                let shown = (row_text(&names, one, other), row_text(&names, other, one));
                self.report.differs(id, what, shown.0, shown.1);
            }
            if left_is_first {
                left = next(&mut stored)?;
            }
            if right_is_first {
                right = next(&mut again)?;
            }
        }
        Ok(())
    }
}

fn next_request(rows: &mut Rows<'_>) -> Result<Option<LogRow>, Fault> {
    rows.next()?.map(log::read_request).transpose()
}

/// Delayed messages that were rendered or dropped, in the order of that.
const SETTLED: &str = "SELECT id, settled_after FROM messages WHERE settled_after IS NOT NULL \
     ORDER BY settled_after, id";

fn next_settled(rows: &mut Rows<'_>) -> Result<Option<(MessageId, RequestId)>, Fault> {
    let settled = |row: &Row<'_>| {
        let (id, after) = (row.get(0)?, row.get(1)?);
        Ok((MessageId::from_bytes(id), RequestId::from_bytes(after)))
    };
    rows.next()?.map(settled).transpose()
}

fn next_click(rows: &mut Rows<'_>) -> Result<Option<Click>, Fault> {
    rows.next()?.map(read_click).transpose()
}

/// The key of a row as text whose order is the order of the rows.
fn key_text(row: &[Value], key_len: usize) -> String {
    let parts: Vec<_> = row.iter().take(key_len).map(value_text).collect();
    parts.join(" ")
}

/// The columns of a row that are not so in the other one, where there is one.
fn row_text(names: &[String], row: Option<&[Value]>, other: Option<&[Value]>) -> String {
    let Some(row) = row else {
        return "nothing".to_owned();
    };
    let differs =
        |place: usize, value: &Value| other.is_none_or(|other| other.get(place) != Some(value));
    let cells = names.iter().zip(row).enumerate();
    let told = cells.filter(|(place, (_, value))| differs(*place, value));
    let parts: Vec<_> = told.map(|(_, (name, value))| cell_text(name, value)).collect();
    parts.join(", ")
}

/// The columns that hold amounts, in millionths.
const AMOUNTS: [&str; 5] = ["value", "price", "revenue", "payout", "direct_amount"];

fn cell_text(name: &str, value: &Value) -> String {
    let text = match value {
        Value::Integer(micros) if AMOUNTS.contains(&name) => {
            Amount::from_micros(*micros).map_or_else(|_| micros.to_string(), |it| it.to_string())
        }
        Value::Integer(ms) if name.ends_with("_at") => Timestamp::from_ms(*ms).to_string(),
        Value::Integer(number) => number.to_string(),
        _ => value_text(value),
    };
    format!("{name} {text}")
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        // In key columns integers are small ids of tenants: padded, texts have their order.
        Value::Integer(number) => format!("{number:04}"),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
