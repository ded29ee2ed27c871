//! What became of a request, put together from its log row, its transactions and messages, and the
//! log rows behind it.

use counterfoil_core::{
    ConversionId, Period, RequestId, TenantName,
    view::{DeliveryView, Filter, Held, RequestView, Timeline},
};
use rusqlite::params;

use crate::{
    ReadError, Reader, ids,
    numbers::{self, Table},
    rules,
};

/// The most later log rows that are looked at: none is found by its conversion.
const EXAMINED_MAX: i64 = 100_000;
/// The most later requests about one conversion that are told.
const LATER_MAX: usize = 100;

impl Reader {
    /// A log row, and what became of the request in the order of time. Of later requests about the
    /// same conversion it tells the first 100, and looks for them in the next 100 000 log rows;
    /// [`Timeline::complete`] says whether that was enough.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub fn timeline(
        &self,
        tenant: &TenantName,
        id: RequestId,
    ) -> Result<Option<(RequestView, Timeline)>, ReadError> {
        let Some(request) = self.request(tenant, id)? else {
            return Ok(None);
        };
        let proof = self.asked_proof(tenant, &request)?;
        let mut transactions = Vec::new();
        let mut later = Vec::new();
        let mut is_all = true;
        if let Some(conversion) = request.conversion_id {
            let found = self.conversion(tenant, conversion)?;
            transactions = found.map(|found| found.transactions).unwrap_or_default();
            let (ids, all) = self.later(id, conversion)?;
            is_all = all;
            for id in ids {
                later.extend(self.request(tenant, id)?);
            }
        }
        let deliveries = self.made_by(tenant, &request)?;
        let timeline = Timeline::of(&Held {
            request: &request,
            proof: &proof,
            transactions: &transactions,
            deliveries: &deliveries,
            later: &later,
            is_all,
        });
        Ok(Some((request, timeline)))
    }

    /// What the definition that decided asked for, in the rules of then.
    fn asked_proof(
        &self,
        tenant: &TenantName,
        request: &RequestView,
    ) -> Result<Vec<&'static str>, ReadError> {
        let Some(postback) = request.postback_id.as_deref() else {
            return Ok(Vec::new());
        };
        let rules = self.with(|db| {
            let sql = "SELECT ruleset FROM requests WHERE number = ?1";
            let number = numbers::find(db, Table::Requests, request.id.as_bytes())?;
            let version = crate::rows::value(db, sql, params![number])?;
            match (rules::tenant_of(db, tenant)?, version) {
                (Some((tenant, _)), Some(version)) => self.rules_of(db, tenant, version),
                _ => Ok(None),
            }
        })?;
        let sections = rules.and_then(|rules| {
            let mut postbacks = rules.ruleset().postbacks().iter();
            let definition = postbacks.find(|definition| definition.id.as_str() == postback)?;
            Some(definition.authentication.sections())
        });
        Ok(sections.unwrap_or_default())
    }

    /// Requests behind one that are about a conversion, and whether these are all.
    fn later(
        &self,
        id: RequestId,
        conversion: ConversionId,
    ) -> Result<(Vec<RequestId>, bool), ReadError> {
        self.with(|db| {
            let sql = "SELECT id, conversion FROM requests WHERE number >= ?1 \
                       ORDER BY number LIMIT ?2";
            let behind = numbers::first_behind(db, Table::Requests, id.as_bytes())?;
            let mut statement = db.prepare_cached(sql)?;
            let mut rows = statement.query(params![behind, EXAMINED_MAX + 1])?;
            let mut ids = Vec::new();
            let mut examined = 0;
            while let Some(row) = rows.next()? {
                if examined == EXAMINED_MAX || ids.len() == LATER_MAX {
                    return Ok((ids, false));
                }
                examined += 1;
                if row.get::<_, Option<[u8; 16]>>(1)? == Some(*conversion.as_bytes()) {
                    ids.push(RequestId::from_bytes(row.get(0)?));
                }
            }
            Ok((ids, true))
        })
    }

    /// The messages that a request made, the first ones first.
    fn made_by(
        &self,
        tenant: &TenantName,
        request: &RequestView,
    ) -> Result<Vec<DeliveryView>, ReadError> {
        let Some(conversion) = request.conversion_id else {
            return Ok(Vec::new());
        };
        let [id @ .., _, _] = request.id.as_bytes();
        let of_then = ids::time_of(&request.id);
        let mut filter = Filter {
            conversion: Some(conversion.to_string()),
            since: Some(of_then),
            until: Some(of_then.plus(Period::from_ms(1))),
            ..Filter::default()
        };
        let mut made = Vec::new();
        loop {
            let page = self.deliveries(tenant, &filter)?;
            made.extend(
                page.items.into_iter().filter(|message| message.id.as_bytes().starts_with(id)),
            );
            if page.next_cursor.is_none() {
                break;
            }
            filter.cursor = page.next_cursor;
        }
        made.reverse();
        Ok(made)
    }
}
