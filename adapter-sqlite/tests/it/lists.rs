//! Lists: filters, pages, and that tenants never see each other's rows.

use counterfoil_core::{
    ConversionId, Outcome, Reason, RequestId, TransactionResult,
    view::{Filter, Page, Subject},
};
use counterfoil_sqlite::{ReadError, RulesFormat};

use crate::common::{Db, RULES, acme, at, click, postback};

/// All rows of a list, page by page.
fn all<T>(limit: u32, mut page: impl FnMut(&Filter) -> Page<T>, filter: &Filter) -> Vec<T> {
    let mut filter = Filter { limit: Some(limit), ..filter.clone() };
    let mut rows = Vec::new();
    loop {
        let next = page(&filter);
        assert!(next.items.len() <= limit as usize);
        rows.extend(next.items);
        match next.next_cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => return rows,
        }
    }
}

/// Two roots of two offers, sales under both, a lead whose transaction came later, a refusal.
fn story() -> Db {
    let db = Db::new();
    let first = db.click(at(0));
    let second = db.take(click(&db.ruleset(), "other-de", "bo", "affs2=z"), at(1));
    let second = second.decision.conversion.unwrap().id;
    for n in 0..7 {
        let root = if n % 2 == 0 { first } else { second };
        db.send(&format!("pcid={root}&type=sale&external_id=o{n}&value=10"), at(10 + n));
    }
    let update = format!("pcid={first}&external_id=o2&action=update&type=sale&result=approved");
    db.send(&update, at(20));
    db.send(&format!("pcid={first}&type=prospect&external_id=p"), at(30));
    db.send(&format!("pcid={first}&type=prospect&external_id=p&commission_id=none"), at(31));
    db
}

#[test]
fn pages_give_every_row_once_newest_first() {
    let db = story();
    let (reader, tenant, any) = (db.reader(), acme(), Filter::default());
    for limit in [1, 3, 1000] {
        let rows = all(limit, |f| reader.conversions(&tenant, f).unwrap(), &any);
        assert_eq!(rows.len(), 10);
        assert!(rows.is_sorted_by(|a, b| a.id > b.id));
        let rows = all(limit, |f| reader.transactions(&tenant, f).unwrap(), &any);
        assert_eq!(rows.len(), 7);
        assert!(rows.is_sorted_by(|a, b| a.id > b.id));
        let rows = all(limit, |f| reader.requests(&tenant, f).unwrap(), &any);
        assert_eq!(rows.len(), 10);
        assert!(rows.is_sorted_by(|a, b| a.id > b.id));
    }
}

#[test]
fn transactions_made_later_stand_in_the_order_of_their_making() {
    let db = Db::new();
    let root = db.click(at(0));
    let early = db.send(&format!("pcid={root}&type=prospect&external_id=p"), at(1));
    let early = early.decision.conversion.unwrap().id;
    db.send(&format!("pcid={root}&type=sale&external_id=s&value=10"), at(2));
    let rules = RULES.replace("type    = \"lead\"", "type    = \"prospect\"");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(3)).unwrap();
    db.send(&format!("pcid={early}&action=update&value=3"), at(4));
    let rows = all(1, |f| db.reader().transactions(&acme(), f).unwrap(), &Filter::default());
    let made: Vec<_> = rows.iter().map(|row| (row.created_at, row.conversion_id)).collect();
    assert_eq!(made[0], (at(4), early));
    assert_eq!(made[1].0, at(2));
    for row in &rows {
        assert_eq!(db.reader().transaction(&acme(), row.id).unwrap().as_ref(), Some(row));
    }
    // And it is found when it is due.
    let due =
        db.reader().due_auto_sets(&acme(), at(4).plus("30d".parse().unwrap()), None, 10).unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(db.reader().next_auto_set(&acme()).unwrap(), Some(due[0].at));
    assert_eq!(due[0].transaction_id, rows[0].id);
    let set = db.auto_set(due[0].transaction_id, due[0].at);
    assert_eq!(set.decision.transactions[0].result, TransactionResult::Approved);
    assert_eq!(db.reader().next_auto_set(&acme()).unwrap(), None);
}

/// A filter with some of its fields set.
fn only(set: impl FnOnce(&mut Filter)) -> Filter {
    let mut filter = Filter::default();
    set(&mut filter);
    filter
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn filters_narrow_conversions() {
    let db = story();
    let count = |set: fn(&mut Filter)| {
        let page = db.reader().conversions(&acme(), &only(set)).unwrap();
        page.items.len()
    };
    assert_eq!(count(|f| f.r#type = text("sale")), 7);
    assert_eq!(count(|f| f.offer = text("other-de")), 4);
    assert_eq!(count(|f| f.advertiser = text("shoply")), 6);
    assert_eq!(count(|f| f.affiliate = text("nobody")), 0);
    assert_eq!(count(|f| f.external_id = text("o3")), 1);
    assert_eq!(count(|f| f.result = Some(TransactionResult::Approved)), 1);
    assert_eq!(count(|f| f.result = Some(TransactionResult::Rejected)), 0);
    assert_eq!(count(|f| f.outcome = Some(Outcome::Created)), 0);
    let elsewhere = |f: &mut Filter| {
        f.external_id = text("o3");
        f.advertiser = text("shoply");
    };
    assert_eq!(count(elsewhere), 0);
    let within = |f: &mut Filter| {
        f.since = Some(at(12));
        f.until = Some(at(15));
    };
    assert_eq!(count(within), 3);
}

#[test]
fn filters_narrow_transactions_and_requests() {
    let db = story();
    let transactions = |set: fn(&mut Filter)| {
        let page = db.reader().transactions(&acme(), &only(set)).unwrap();
        page.items.len()
    };
    let approved = Some(TransactionResult::Approved);
    let page = db.reader().transactions(&acme(), &only(|f| f.result = approved)).unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(transactions(|f| f.offer = text("shoply-cz")), 4);
    assert_eq!(transactions(|f| f.external_id = text("o3")), 1);
    assert_eq!(transactions(|f| f.external_id = text("o9")), 0);
    let approved_of = |f: &mut Filter| {
        f.external_id = text("o2");
        f.result = Some(TransactionResult::Approved);
    };
    assert_eq!(transactions(approved_of), 1);
    let of_another = |f: &mut Filter| {
        f.external_id = text("o3");
        f.result = Some(TransactionResult::Approved);
    };
    assert_eq!(transactions(of_another), 0);
    let requests = |set: fn(&mut Filter)| {
        let page = db.reader().requests(&acme(), &only(set)).unwrap();
        page.items.len()
    };
    assert_eq!(requests(|f| f.outcome = Some(Outcome::Created)), 8);
    assert_eq!(requests(|f| f.reason = Some(Reason::Duplicate)), 0);
    assert_eq!(requests(|f| f.since = Some(at(31))), 1);
    assert_eq!(requests(|f| f.r#type = text("sale")), 0);
    let cursor = only(|f| f.cursor = text("last week"));
    let error = db.reader().requests(&acme(), &cursor).unwrap_err();
    assert!(matches!(error, ReadError::Cursor(_)), "{error}");
}

#[test]
fn a_log_row_tells_what_came_and_what_became_of_it() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let query = format!("pcid={pcid}&type=sale&value=10&token=hidden&Type=x");
    let decided = db.send(&query, at(5));
    let row = db.reader().request(&acme(), decided.receipt.id).unwrap().unwrap();
    assert_eq!(row.received_at, at(5));
    assert!(!row.query.contains("hidden"), "{}", row.query);
    assert_eq!(row.postback_id.as_deref(), Some("global"));
    assert_eq!(row.notes, decided.decision.notes);
    assert_eq!(row.conversion_id, decided.decision.conversion.as_ref().map(|c| c.id));
    assert_eq!(row.transaction_ids, [decided.decision.transactions[0].id]);
    assert_eq!(row.trace, decided.decision.trace.lines(&db.ruleset(), row.outcome));
    let refused = db.send("type=sale&external_id=a", at(6));
    let row = db.reader().request(&acme(), refused.receipt.id).unwrap().unwrap();
    let refusal = refused.decision.refusal.unwrap();
    assert_eq!((row.outcome, row.reason), (Outcome::Refused, Some(refusal.reason)));
    assert_eq!((row.message, row.parameter), (Some(refusal.message), refusal.parameter));
    let none = RequestId::from_bytes([9; 16]);
    assert_eq!(db.reader().request(&acme(), none).unwrap(), None);
}

#[test]
fn tenants_never_see_each_others_rows() {
    let db = Db::new();
    let theirs = RULES.replace("\"acme\"", "\"rival\"");
    db.store().install_rules(None, &theirs, RulesFormat::Toml, at(0)).unwrap();
    let ours = db.click(at(0));
    db.send(&format!("pcid={ours}&type=sale&external_id=o1&value=10"), at(1));
    let rival = db.store().rules("rival").unwrap();
    let take = |query: &str| {
        let submission = counterfoil_sqlite::Submission {
            ruleset: rival.ruleset().clone(),
            arrival: postback(rival.ruleset(), counterfoil_core::Method::S2s, query),
            received_at: at(2),
        };
        db.store().submit_wait(submission).unwrap().decision
    };
    for query in [
        format!("pcid={ours}&type=sale"),
        "advertiser_id=shoply&external_id=o1&type=lead".to_owned(),
        "advertiser_id=shoply&external_id=o1&action=update".to_owned(),
    ] {
        let reason = take(&query).refusal.map(|refusal| refusal.reason);
        assert_eq!(reason, Some(Reason::PairingFailed), "{query}");
    }
    let (tenant, any) = (rival.ruleset().tenant(), Filter::default());
    assert_eq!(db.reader().conversions(tenant, &any).unwrap().items, []);
    assert_eq!(db.reader().transactions(tenant, &any).unwrap().items, []);
    assert_eq!(db.reader().requests(tenant, &any).unwrap().items.len(), 3);
    assert_eq!(db.reader().conversion(tenant, ours).unwrap(), None);
    let row = db.reader().conversion(&acme(), ours).unwrap().map(|row| row.id);
    assert_eq!(row, Some::<ConversionId>(ours));
    assert_eq!(db.reader().replay().unwrap().differences, []);
}

#[test]
fn a_click_tells_what_its_log_row_would_by_the_rules_of_then() {
    let db = Db::new();
    let of_clicks = "[[commission]]\nid = 'click-1'\ntype = 'click'\nrevenue.fixed = '1'\n";
    let paying = format!("{RULES}\n{of_clicks}");
    db.store().install_rules(None, &paying, RulesFormat::Toml, at(0)).unwrap();
    let query = "affs2=jo%40shop.example&affs1=a%26b&affiliate_click_id=x&channel=no+token";
    let made = db.take(click(&db.ruleset(), "shoply-cz", "bo", query), at(1));
    let paid = made.decision.transactions.first().unwrap().id;
    let id = made.decision.conversion.as_ref().unwrap().id;
    db.store().install_rules(None, RULES, RulesFormat::Toml, at(2)).unwrap();
    db.send(&format!("pcid={id}&action=update&type=click&note=later"), at(3));

    let told = db.reader().request(&acme(), made.receipt.id).unwrap().unwrap();
    assert_eq!((told.outcome, told.conversion_id), (Outcome::Created, Some(id)));
    assert_eq!((told.received_at, told.method), (at(1), counterfoil_core::Method::Link));
    assert_eq!(told.transaction_ids, [paid]);
    let of_path = "offer_id=shoply-cz&affiliate_id=bo&";
    let of_query = "affiliate_click_id=x&affs1=a%26b&affs2=sha256%3A";
    assert!(told.query.starts_with(&format!("{of_path}{of_query}")), "{}", told.query);
    assert_eq!(told.notes, made.decision.notes);
    let beside = RequestId::from_bytes(*id.as_bytes());
    assert_eq!(db.reader().request(&acme(), beside).unwrap(), None, "an id of its conversion");
    assert_eq!(told.trace, made.decision.trace.lines(made.rules.ruleset(), Outcome::Created));
    assert!(told.trace.iter().any(|line| line.contains("`click-1` pays this click")));
    let (_, timeline) = db.reader().timeline(&acme(), made.receipt.id).unwrap().unwrap();
    assert!(timeline.items.len() > 1, "{timeline:?}");

    let rival = RULES.replace("\"acme\"", "\"rival\"");
    db.store().install_rules(None, &rival, RulesFormat::Toml, at(4)).unwrap();
    let rival = db.store().rules("rival").unwrap();
    assert_eq!(db.reader().request(rival.ruleset().tenant(), made.receipt.id).unwrap(), None);
    db.store().erase(&acme(), &Subject::Pcid(id), at(5)).unwrap();
    let told = db.reader().request(&acme(), made.receipt.id).unwrap().unwrap();
    assert_eq!((told.query.as_str(), told.trace.len()), ("(erased)", 0));
}

#[test]
fn the_last_request_is_told_by_when_it_came() {
    let db = Db::new();
    let pcid = db.click(at(1_000));
    let of_before = format!("pcid={pcid}&type=sale&value=1");
    db.take(postback(&db.ruleset(), counterfoil_core::Method::Import, &of_before), at(0));
    assert_eq!(db.reader().condition().unwrap().last_request_at, Some(at(1_000)));
}
