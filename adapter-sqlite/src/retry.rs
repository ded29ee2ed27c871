//! Manual retries (R42): a message is due again under its id, in its order (R44, R46).

use counterfoil_core::{DeadReason, MessageId, MessageOf, Rendered, TenantName, Timestamp};
use rusqlite::{Connection, params};

use crate::{
    audit,
    codes::Coded,
    fault::Fault,
    ids,
    messages::{self, MessageRow, Standing},
    outbox::{Desk, Retried},
    rules,
};

/// Makes messages due, each where it can be.
pub(crate) fn retry(
    desk: &mut Desk<'_>,
    tenant: &TenantName,
    ids: &[MessageId],
    at: Timestamp,
) -> Result<Vec<Retried>, Fault> {
    let name = tenant;
    let Some((tenant, _)) = rules::tenant_of(desk.db, tenant)? else {
        return Ok(vec![Retried::NotFound; ids.len()]);
    };
    let one = |id: &MessageId| match messages::get(desk.db, id)? {
        Some(row) if row.tenant == tenant => retry_one(desk, &row, at),
        _ => Ok(Retried::NotFound),
    };
    let retried: Vec<Retried> = ids.iter().map(one).collect::<Result<_, _>>()?;
    for id in ids.iter().zip(&retried).filter(|(_, became)| **became == Retried::Due) {
        let subject = id.0.to_string();
        let (tenant, action, detail) = (name.as_str(), "retry", "");
        audit::append(desk.db, &audit::Change { at, tenant, action, subject: &subject, detail })?;
    }
    desk.made_due |= retried.contains(&Retried::Due);
    Ok(retried)
}

fn retry_one(desk: &Desk<'_>, row: &MessageRow, at: Timestamp) -> Result<Retried, Fault> {
    if row.lease_until.is_some() || row.standing == Standing::Held {
        return Ok(Retried::InHand);
    }
    if row.message.request.as_ref().is_some_and(Rendered::is_forgotten) {
        return Ok(Retried::Forgotten);
    }
    let rules = desk.versions.get(desk.db, row.tenant, row.ruleset)?;
    let waits = match &rules {
        Some(rules) => messages::waits(desk.db, &rules.ruleset, &row.message)?,
        None => false,
    };
    let standing = if waits { Standing::Waits } else { Standing::Due };
    messages::stand(desk.db, &row.message.id, standing, at)?;
    match &row.message.of {
        MessageOf::TrackingApi(_) => hold_back_next_number(desk, row)?,
        MessageOf::Step { .. } => revive_steps(desk.db, &row.message.id)?,
    }
    Ok(Retried::Due)
}

/// The next number is not attempted before this one has ended once more (R44).
fn hold_back_next_number(desk: &Desk<'_>, row: &MessageRow) -> Result<(), Fault> {
    let (MessageOf::TrackingApi(api), Some(number)) = (&row.message.of, row.message.sequence)
    else {
        return Ok(());
    };
    let next = number.saturating_add(1);
    let next = messages::numbered(desk.db, &row.message.conversion_id, api, next)?;
    let Some((id, _)) = next else {
        return Ok(());
    };
    let Some(next) = messages::get(desk.db, &id)? else {
        return Ok(());
    };
    let can_wait = matches!(next.standing, Standing::Due | Standing::Polling);
    let rules = desk.versions.get(desk.db, next.tenant, next.ruleset)?;
    if let Some(rules) = rules.filter(|_| can_wait)
        && messages::waits(desk.db, &rules.ruleset, &next.message)?
    {
        // An attempt that is under way may end: its lease stays. What follows it waits.
        let sql = "UPDATE messages SET standing = ?2 WHERE id = ?1";
        let waits = Standing::Waits.stored();
        desk.db.prepare_cached(sql)?.execute(params![id.as_bytes(), waits])?;
    }
    Ok(())
}

/// The steps behind one that died wait for it again (R46).
fn revive_steps(db: &Connection, id: &MessageId) -> Result<(), Fault> {
    let sql = "UPDATE messages SET standing = ?3, reason = NULL \
               WHERE id > ?1 AND id <= ?2 AND step IS NOT NULL AND standing = ?4 AND reason = ?5";
    let (held, dead) = (Standing::Held.stored(), Standing::Dead.stored());
    let because = DeadReason::PreviousStepFailed.stored();
    let last = ids::last_sibling(id);
    let given = params![id.as_bytes(), last.as_bytes(), held, dead, because];
    db.prepare_cached(sql)?.execute(given)?;
    Ok(())
}
