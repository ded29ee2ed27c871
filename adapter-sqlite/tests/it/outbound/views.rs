//! Lists of messages, single ones, and numbers.

use super::*;

const RULES_OF_BO: &str = "owner = { affiliate = 'bo' }";

fn story() -> (Db, Vec<MessageId>) {
    let rules = tells("mine", "a.example", "") + &tells("bos", "b.example", RULES_OF_BO);
    let (db, click) = begin(&rules);
    for n in 0..4 {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(1_000 * n));
    }
    let ids = all(&db).iter().map(|message| message.id).collect();
    let claims = claim(&db, 5_000);
    ended(&db, &claims[0], 5_000, DEAD);
    delivered(&db, &claims[1], 5_000);
    ended(&db, &claims[2], 5_000, again(9_000, RetryKind::Polling));
    ended(&db, &claims[3], 5_000, again(9_000, RetryKind::Delivery));
    (db, ids)
}

fn found(db: &Db, filter: Filter) -> Vec<MessageId> {
    let mut filter = Filter { limit: Some(3), ..filter };
    let mut ids = Vec::new();
    loop {
        let page = db.reader().deliveries(&acme(), &filter).unwrap();
        assert!(page.items.len() <= 3);
        ids.extend(page.items.iter().map(|message| message.id));
        match page.next_cursor {
            Some(cursor) => filter.cursor = Some(cursor),
            None => return ids,
        }
    }
}

#[test]
fn filters_find_what_they_name_newest_first() {
    let (db, ids) = story();
    let newest_first: Vec<_> = ids.iter().rev().copied().collect();
    assert_eq!(found(&db, Filter::default()), newest_first);
    for state in MessageState::ALL {
        let views = all(&db);
        let of_state = views.iter().rev().filter(|view| view.state == state);
        let expected: Vec<_> = of_state.map(|view| view.id).collect();
        assert_eq!(expected.is_empty(), state == MessageState::Held, "{state:?}");
        assert_eq!(found(&db, Filter { state: Some(state), ..Filter::default() }), expected);
    }
    let every = |step: usize, from: usize| -> Vec<_> {
        newest_first.iter().skip(from).step_by(step).copied().collect()
    };
    let of = |owner: &str| Filter { owner: Some(owner.into()), ..Filter::default() };
    assert_eq!(found(&db, of("admin")), every(2, 1));
    assert_eq!(found(&db, of("bo")), every(2, 0));
    assert_eq!(found(&db, of("eve")), []);
    let api = |id: &str| Filter { tracking_api: Some(id.into()), ..Filter::default() };
    assert_eq!(found(&db, api("mine")), every(2, 1));
    assert_eq!(found(&db, Filter { owner: Some("admin".into()), ..api("bos") }), []);
    let postback = |id: &str| Filter { postback: Some(id.into()), ..Filter::default() };
    assert_eq!(found(&db, postback("mine")), [], "it is a tracking API");
    let conversion = delivery(&db, ids[2]).conversion_id;
    let about = |text: String| Filter { conversion: Some(text), ..Filter::default() };
    assert_eq!(found(&db, about(conversion.to_string())), [ids[3], ids[2]]);
    assert_eq!(found(&db, about("nobody".into())), []);
    let id = Filter { id: Some(ids[5].to_string()), ..Filter::default() };
    assert_eq!(found(&db, id), [ids[5]]);
    let between = Filter { since: Some(at(1_000)), until: Some(at(2_000)), ..Filter::default() };
    assert_eq!(found(&db, between), [ids[3], ids[2]]);
    assert_eq!(found(&db, Filter { offer: Some("shoply-cz".into()), ..Filter::default() }), []);
}

#[test]
fn other_lists_have_no_columns_of_messages() {
    let (db, _) = story();
    let named = |text: &str| Some(text.to_owned());
    let filters = [
        Filter { owner: named("admin"), ..Filter::default() },
        Filter { state: Some(MessageState::Due), ..Filter::default() },
        Filter { tracking_api: named("mine"), ..Filter::default() },
        Filter { postback: named("mine"), ..Filter::default() },
        Filter { conversion: named("x"), ..Filter::default() },
    ];
    for filter in filters {
        let reader = db.reader();
        assert!(reader.conversions(&acme(), &filter).unwrap().items.is_empty());
        assert!(reader.transactions(&acme(), &filter).unwrap().items.is_empty());
        assert!(reader.requests(&acme(), &filter).unwrap().items.is_empty());
    }
}

#[test]
fn tenants_do_not_see_each_others_messages() {
    let (db, ids) = story();
    let rules = RULES.replace("\"acme\"", "\"beta\"");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let beta = counterfoil_core::TenantName::new("beta").unwrap();
    assert_eq!(db.reader().deliveries(&beta, &Filter::default()).unwrap().items, []);
    assert_eq!(db.reader().delivery(&beta, ids[0]).unwrap(), None);
    let retried = db.store().retry(&beta, ids[0], at(1)).unwrap();
    assert_eq!(retried, counterfoil_sqlite::Retried::NotFound);
}

#[test]
fn the_numbers_count_what_asks_for_attention() {
    let rules = tells("x", "a.example", "")
        + "[[tracking_api]]\nid = 'd'\ndelay = '1s'\nrequest.url = 'https://b.example/'\n";
    let (db, click) = begin(&rules);
    let numbers = || {
        let outbox = db.reader().outbox().unwrap();
        (outbox.due, outbox.held, outbox.dead, outbox.oldest_due_at)
    };
    assert_eq!(numbers(), (0, 0, 0, None));
    db.send(&format!("pcid={click}&type=sale&external_id=1&value=1"), at(1));
    db.send(&format!("pcid={click}&action=update&external_id=1&value=2"), at(2));
    // Two of `x`, of which one waits for the other, and the delayed one.
    assert_eq!(numbers(), (3, 0, 0, Some(at(1))));
    let first = claim_one(&db, 3);
    assert_eq!(numbers(), (2, 0, 0, Some(at(1_001))));
    ended(&db, &first, 4, DEAD);
    assert_eq!(numbers(), (2, 0, 1, Some(at(2))));
    claim(&db, 2_000);
    let lease_end = claim(&db, 0).len();
    assert_eq!(lease_end, 0);
    let (due, held, dead, _) = numbers();
    assert_eq!((due, held, dead), (0, 1, 1));
}

#[test]
fn a_copy_has_the_messages_too() {
    let (db, ids) = story();
    let path = db.folder.path().join("copy.db");
    db.reader().backup(&path).unwrap();
    let copy = counterfoil_sqlite::Reader::open(&path).unwrap();
    let copied = copy.delivery(&acme(), ids[0]).unwrap().unwrap();
    assert_eq!(copied, delivery(&db, ids[0]));
    assert_eq!(copied.attempts.len(), 1);
}

/// Receivers choose how much they answer: a page ends early rather than become too large.
#[test]
fn a_page_of_long_answers_ends_early_with_a_cursor() {
    let (db, click) = begin(&tells("x", "a.example", ""));
    const MESSAGES: usize = 400;
    for n in 0..MESSAGES {
        db.send(&format!("pcid={click}&type=sale&external_id={n}&value=1"), at(1));
    }
    let claims = try_claim(&db, wanted(2, 1_000)).unwrap();
    let long: Box<str> = "x".repeat(16 << 10).into();
    let reports = claims.iter().map(|claim| {
        let response = Some(long.clone());
        Report::Attempted(Attempted { response, ..attempted(claim, 2, Next::Delivered) })
    });
    assert_eq!(report(&db, reports.collect()), 0);
    let mut filter = Filter { limit: Some(1_000), ..Filter::default() };
    let mut pages = Vec::new();
    loop {
        let page = db.reader().deliveries(&acme(), &filter).unwrap();
        pages.push(page.items.len());
        match page.next_cursor {
            None => break,
            cursor => filter.cursor = cursor,
        }
    }
    assert_eq!(pages, [256, 144]);
}
