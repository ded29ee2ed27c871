//! Personal values: masked ones never reach the file; erasing takes what was kept, and leaves what
//! answers resends (P2, P3, P10).

use std::sync::mpsc;

use counterfoil_core::{
    ConversionId, Method, Outcome, Reason,
    view::{Erased, Filter, Subject},
};
use counterfoil_sqlite::{EraseError, OpenError, Options, Reader, RulesFormat, Store};

use crate::common::{Db, RULES, acme, at, click, postback, root, submission, submit};

const API: &str = "[[tracking_api]]\nid = 'x'\nordered = false\n\
     request.url = 'https://a.example/{param.note}?a={affs1}'\n";
const PRIVACY: &str =
    "[privacy]\nemail = 'drop'\ndrop = ['first_name', 'affs3']\nhash = ['customer']\n";

/// A click with sub ids, its id.
fn click_with(db: &Db, query: &str, ms: i64) -> ConversionId {
    let mut arrival = click(&db.ruleset(), "shoply-cz", "bo", query);
    arrival.remote_addr = Some("198.51.100.7".into());
    db.take(arrival, at(ms)).decision.conversion.unwrap().id
}

/// Everything that the database is on the disk, once nobody has it open.
fn bytes_of(db: &mut Db) -> String {
    db.store = None;
    let files = std::fs::read_dir(db.folder.path()).unwrap();
    let bytes: Vec<Vec<u8>> =
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    String::from_utf8_lossy(&bytes.concat()).into_owned()
}

#[test]
fn masked_values_never_reach_the_file_and_replay_decides_the_same() {
    let mut db = Db::new();
    let rules = format!("{RULES}{API}{PRIVACY}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let pcid = click_with(&db, "affs1=canary@a.example&affs3=canary&affs4=%2B420777000111", 0);
    for query in [
        "type=sale&value=1&mail=canary%40a.example&first_name=canary&customer=canary&note=n",
        "type=sale&value=canary@a.example&value=canary@b.example",
        "type=canary@a.example",
        "type=sale&phone=777000111&First_Name=canary&mail=canary@a.example%zz",
    ] {
        db.send(&format!("pcid={pcid}&{query}"), at(1));
    }
    let json = r#"{"type":"lead","source":"api","offer_id":"shoply-cz","affiliate_id":"bo",
        "external_id":"L1","affs":{"affs1":"canary@a.example"},
        "params":{"first_name":"canary","tel":"777 000 111","kept":"k"}}"#;
    let lead = db.take(root(&db.ruleset(), json), at(2)).decision;
    assert_eq!(lead.notes.iter().filter(|note| note.code() == "personal_value").count(), 1);
    let params = lead.conversion.unwrap().params.clone();
    assert_eq!(params.keys().map(|name| &**name).collect::<Vec<_>>(), ["kept", "tel"]);

    let report = db.reader().replay().unwrap();
    assert_eq!((report.differences, report.not_checked), (vec![], 0));
    let log = db.reader().requests(&acme(), &Filter::default()).unwrap().items;
    let traced = log.iter().flat_map(|row| &row.trace).filter(|line| line.contains("is personal"));
    assert_eq!(traced.count(), 6, "{log:?}");
    let text = bytes_of(&mut db);
    assert!(!text.contains("canary") && !text.contains("777000111") && !text.contains("777 000"));
    assert!(text.contains("sha256:"));
}

/// Two visitors with everything that is kept of one; the ids of their clicks.
fn two_visitors(db: &Db) -> [ConversionId; 2] {
    let rules = format!("{RULES}{API}[privacy]\nemail = 'keep'\n");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    ["canary", "stays"].map(|who| {
        let pcid = click_with(db, &format!("affs1={who}-aff&affiliate_click_id={who}-id"), 0);
        let order = format!("order-of-{}", who.len());
        let note = format!("note={who}-note&mail={who}@a.example");
        db.send(&format!("pcid={pcid}&action=update&value=5&{note}"), at(1));
        db.send(&format!("pcid={pcid}&type=sale&value=100&external_id={order}&{note}"), at(2));
        db.send(&format!("pcid={pcid}&type=nothing&{note}"), at(3));
        db.send(&format!("advertiser_id=other&external_id={order}&{note}"), at(4));
        pcid
    })
}

fn end_all_messages(db: &mut Db) {
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute_batch(
        "UPDATE messages SET standing = 2; \
         INSERT INTO attempts SELECT id, 1, 0, 1, 0, 200, NULL, hex(id) || ' ' || \
         (SELECT group_concat(x) FROM (SELECT 'answer' AS x)), NULL FROM messages;",
    )
    .unwrap();
    drop(raw);
    db.reopen();
}

#[test]
fn everything_known_is_exported_by_any_of_its_ids() {
    let db = Db::new();
    let [pcid, _] = two_visitors(&db);
    let known = db.reader().known_about(&acme(), &Subject::Pcid(pcid)).unwrap();
    assert_eq!(known.conversions.len(), 2);
    assert_eq!(known.conversions[1].transactions.len(), 1);
    assert!(!known.deliveries.is_empty());
    let text = serde_json::to_string(&known).unwrap();
    assert!(text.contains("canary-aff") && text.contains("canary-note"), "{text}");
    assert!(!text.contains("stays"), "{text}");
    // The id of a sale leads to the same; the refused one is known by the external id alone.
    let sale = known.conversions[1].id;
    assert_eq!(db.reader().known_about(&acme(), &Subject::Pcid(sale)).unwrap(), known);
    assert_eq!(known.requests.len(), 3);
    let external = |advertiser: Option<&str>| Subject::External {
        external_id: "order-of-6".to_owned(),
        advertiser: advertiser.map(str::to_owned),
    };
    let by_external = db.reader().known_about(&acme(), &external(None)).unwrap();
    assert_eq!((by_external.requests.len(), &by_external.conversions), (4, &known.conversions));
    let elsewhere = db.reader().known_about(&acme(), &external(Some("other"))).unwrap();
    assert!(elsewhere.conversions.is_empty());
}

#[test]
fn erasing_takes_what_is_personal_and_a_resend_stays_a_duplicate() {
    let mut db = Db::new();
    let [pcid, other] = two_visitors(&db);
    let subject = Subject::External { external_id: "order-of-6".to_owned(), advertiser: None };
    // What has not ended goes out first.
    let erased = db.store().erase(&acme(), &subject, at(5)).unwrap();
    assert!(erased.messages_left > 0 && !erased.was_erased_before);
    assert_eq!((erased.requests, erased.messages), (4, 0));
    end_all_messages(&mut db);
    let money = "SELECT sum(revenue * 7 + payout) FROM transactions";
    let before = db.number(money);
    let erased = db.store().erase(&acme(), &subject, at(6)).unwrap();
    assert_eq!((erased.roots, erased.conversions, erased.messages_left), (1, 2, 0));
    assert!(erased.messages > 0 && !erased.was_erased_before, "{erased:?}");
    let again = db.store().erase(&acme(), &subject, at(6)).unwrap();
    assert!(again.was_erased_before && again.conversions == 2, "{again:?}");
    assert_eq!(db.number(money), before);

    let resend = format!("pcid={pcid}&type=sale&value=100&external_id=order-of-6");
    let again = db.send(&resend, at(7)).decision;
    assert_eq!(again.outcome, Outcome::Duplicate);
    let known = db.reader().known_about(&acme(), &Subject::Pcid(pcid)).unwrap();
    assert_eq!(again.conversion.unwrap().id, known.conversions[1].id);
    assert!(known.conversions.iter().all(|one| one.params.is_empty() && one.affs.is_empty()));
    assert!(known.requests.iter().all(|row| row.remote_addr.is_none()));
    // What was told is not told again by hand: there is nothing to tell.
    let told = known.deliveries.first().unwrap();
    let retried = db.store().retry(&acme(), told.id, at(8)).unwrap();
    assert_eq!(retried, counterfoil_sqlite::Retried::Forgotten);
    assert_eq!(db.store().retry_all(&acme(), &Filter::default(), at(8)), Ok(0));
    // Numbers go on, and the other visitor is checked as before.
    db.send(&format!("pcid={pcid}&action=update&value=7&external_id=order-of-6"), at(9));
    db.send(&format!("pcid={other}&type=sale&value=9&external_id=new"), at(10));
    let report = db.reader().replay().unwrap();
    assert_eq!(report.differences, []);
    assert!(report.not_checked >= 6 && report.requests >= 5, "{report:?}");
    assert_eq!(db.reader().audit(9).unwrap()[0].action, "erase");

    let text = bytes_of(&mut db);
    assert!(!text.contains("canary"));
    assert!(text.contains("stays-note"));
    let reader = Reader::open(&db.path()).unwrap();
    assert_eq!(reader.known_about(&acme(), &Subject::Pcid(other)).unwrap().conversions.len(), 3);
}

/// A step behind one that failed has no request.
#[test]
fn messages_that_were_never_rendered_are_erased() {
    let mut db = Db::new();
    let [pcid, _] = two_visitors(&db);
    end_all_messages(&mut db);
    db.store = None;
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute("UPDATE messages SET standing = 4, request = NULL", []).unwrap();
    drop(raw);
    db.reopen();
    let erase = || db.store().erase(&acme(), &Subject::Pcid(pcid), at(5)).unwrap();
    let erased = erase();
    assert!(erased.messages > 0 && erased.messages_left == 0, "{erased:?}");
    assert!(!erased.was_erased_before && erase().was_erased_before);
}

/// The facts of repeats are kept in memory: what was erased is not brought back from there.
#[test]
fn erasing_forgets_what_is_kept_in_memory() {
    let db = Db::new();
    let pcid = click_with(&db, "", 0);
    let sale = format!("pcid={pcid}&type=sale&value=1&external_id=A&note=canary&id=per-order");
    for n in 1..4 {
        db.send(&sale.replace("per-order", "unkeyed"), at(n));
        db.send(&sale.replace("&id=per-order", ""), at(n));
    }
    db.store().erase(&acme(), &Subject::Pcid(pcid), at(5)).unwrap();
    let again = db.send(&sale.replace("&id=per-order", ""), at(6)).decision;
    assert_eq!(again.outcome, Outcome::Duplicate);
    assert!(again.conversion.unwrap().params.is_empty());
    // Nothing is said any more about the repeats before, though their reason stays.
    let known = db.reader().known_about(&acme(), &Subject::Pcid(pcid)).unwrap();
    let repeats = known.requests.iter().filter(|row| row.reason == Some(Reason::Duplicate));
    let said: Vec<_> = repeats.map(|row| (row.message.as_deref(), row.hint.as_deref())).collect();
    let words = again.refusal.unwrap();
    let (erased, told) = (Some("(erased)"), Some(&*words.message));
    let again = (told, words.hint.as_deref());
    assert_eq!(said, [(erased, None), (erased, None), again]);
}

/// Erases while requests wait for the writer that were accepted before. `meanwhile` happens when
/// the erasing waits, too.
fn erase_behind(
    db: &Db,
    queries: &[String],
    subject: &Subject,
    meanwhile: impl FnOnce(),
) -> Result<Erased, EraseError> {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let arrival = |query: &str| postback(&db.ruleset(), Method::S2s, query);
    let blocking = move |_| {
        begun.send(()).unwrap();
        wait.recv().unwrap();
    };
    let unrelated = submission(db.store(), arrival("type=nothing"), at(10));
    submit(db.store(), unrelated, blocking);
    begins.recv().unwrap();
    for query in queries {
        let waits = submission(db.store(), arrival(query), at(11));
        submit(db.store(), waits, |answer| drop(answer.unwrap()));
    }
    std::thread::scope(|scope| {
        let erasing = scope.spawn(|| db.store().erase(&acme(), subject, at(12)));
        // Time to read what is there; where it is too short, what is tested is easier.
        std::thread::sleep(std::time::Duration::from_millis(300));
        meanwhile();
        go.send(()).unwrap();
        erasing.join().unwrap()
    })
}

#[test]
fn erasing_takes_what_was_accepted_before_it_and_decided_meanwhile() {
    let mut db = Db::new();
    let pcid = click_with(&db, "", 0);
    let waits = format!("pcid={pcid}&type=sale&value=1&external_id=A&note=canary");
    let erased = erase_behind(&db, &[waits], &Subject::Pcid(pcid), || {}).unwrap();
    assert_eq!((erased.roots, erased.conversions, erased.requests), (1, 2, 1));
    assert!(!bytes_of(&mut db).contains("canary"));
}

/// Who was nobody when the erasing began is a visitor with a past by then.
#[test]
fn erasing_takes_what_came_to_belong_to_the_subject_meanwhile() {
    let mut db = Db::new();
    let pcid = click_with(&db, "affs1=canary", 0);
    db.send(&format!("pcid={pcid}&type=nothing&note=canary"), at(1));
    let waits = format!("pcid={pcid}&type=sale&value=1&external_id=A");
    let subject = Subject::External { external_id: "A".to_owned(), advertiser: None };
    let erased = erase_behind(&db, &[waits], &subject, || {}).unwrap();
    assert_eq!((erased.roots, erased.conversions, erased.requests), (1, 2, 2));
    assert!(!bytes_of(&mut db).contains("canary"));
}

#[test]
fn erasing_passes_over_what_was_pruned_meanwhile() {
    let db = Db::new();
    let pcid = click_with(&db, "affs1=canary", 0);
    db.send(&format!("pcid={pcid}&type=sale&value=1"), at(1));
    db.send(&format!("pcid={pcid}&type=nothing"), at(2));
    let prune = || {
        let raw = rusqlite::Connection::open(db.path()).unwrap();
        let first = "SELECT id FROM requests ORDER BY id LIMIT 1";
        let gone = raw.execute(&format!("DELETE FROM requests WHERE id = ({first})"), []);
        assert_eq!(gone, Ok(1));
    };
    let erased = erase_behind(&db, &[], &Subject::Pcid(pcid), prune).unwrap();
    assert_eq!((erased.roots, erased.conversions, erased.requests), (1, 2, 1));
}

#[test]
fn erasing_nobody_changes_nothing() {
    let db = Db::new();
    let audited = db.reader().audit(9).unwrap();
    let nobody = Subject::External { external_id: "A".to_owned(), advertiser: None };
    assert_eq!(db.store().erase(&acme(), &nobody, at(1)).unwrap(), Erased::default());
    assert_eq!(db.reader().audit(9).unwrap(), audited);
}

/// An external id is unique only together with the advertiser (R14).
#[test]
fn an_external_id_of_several_advertisers_means_nobody_until_one_is_named() {
    let db = Db::new();
    for (offer, note) in [("shoply-cz", "at-shoply"), ("other-de", "at-other")] {
        let pcid = db.take(click(&db.ruleset(), offer, "bo", ""), at(0));
        let pcid = pcid.decision.conversion.unwrap().id;
        db.send(&format!("pcid={pcid}&type=sale&value=1&external_id=A-1&note={note}"), at(1));
    }
    for (advertiser, note) in [("shoply", "refused-shoply"), ("other", "refused-other")] {
        let refused = format!("advertiser_id={advertiser}&external_id=A-1&type=none&note={note}");
        db.send(&refused, at(2));
    }
    let external = |advertiser: Option<&str>| Subject::External {
        external_id: "A-1".to_owned(),
        advertiser: advertiser.map(str::to_owned),
    };
    let said = db.reader().known_about(&acme(), &external(None)).unwrap_err().to_string();
    assert!(said.contains("`other`, `shoply`"), "{said}");
    let said = db.store().erase(&acme(), &external(None), at(3)).unwrap_err().to_string();
    assert!(said.contains("`other`, `shoply`"), "{said}");
    let erased = db.store().erase(&acme(), &external(Some("shoply")), at(3)).unwrap();
    assert_eq!((erased.roots, erased.conversions, erased.requests), (1, 2, 2));
    let log = db.reader().requests(&acme(), &Filter::default()).unwrap().items;
    let kept = |note: &str| log.iter().any(|row| row.query.contains(note));
    assert!(!kept("at-shoply") && kept("at-other"));
    assert!(!kept("refused-shoply") && kept("refused-other"));
}

/// Whose queries are in the log rows about a subject.
fn requests_about(db: &Db, subject: &Subject) -> Vec<String> {
    let known = db.reader().known_about(&acme(), subject).unwrap();
    known.requests.into_iter().map(|row| row.query).collect()
}

/// Whichever rules were in force: a name of theirs is one of the advertiser's id.
#[test]
fn refused_rows_are_found_by_the_names_of_own_dialects_of_any_version() {
    let db = Db::new();
    let dialect = "[[dialect]]\nid = 'bespoke'\n\
         names = { click = 'pcid', order_ref = 'external_id', shop = 'advertiser_id' }\n";
    for rules in [format!("{RULES}{dialect}"), RULES.to_owned()] {
        db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
        db.send("order_ref=A-1&shop=shoply&note=mine", at(1));
    }
    db.send("order_ref=A-1&shop=other", at(2));
    db.send("order_ref=A-2", at(2));
    let (external_id, advertiser) = ("A-1".to_owned(), Some("shoply".to_owned()));
    let subject = Subject::External { external_id, advertiser };
    assert_eq!(requests_about(&db, &subject), ["order_ref=A-1&shop=shoply&note=mine"; 2]);
    assert_eq!(db.store().erase(&acme(), &subject, at(3)).unwrap().requests, 2);
    assert_eq!(requests_about(&db, &subject), [""; 0]);
}

#[test]
fn rows_that_cannot_be_decoded_name_an_id_in_any_spelling() {
    let db = Db::new();
    let [pcid, other] = [click_with(&db, "", 0), click_with(&db, "", 0)];
    let text = pcid.to_string();
    let spelt = [
        text.clone(),
        text.to_uppercase(),
        text.replace('-', ""),
        text.to_uppercase().replace('-', ""),
        text.replace('-', "%2D"),
    ];
    for pcid in &spelt {
        db.send(&format!("pcid={pcid}&type=sale&x=%zz"), at(1));
    }
    db.send(&format!("pcid={other}&type=sale&x=%zz"), at(1));
    // The click is no request.
    assert_eq!(requests_about(&db, &Subject::Pcid(pcid)).len(), spelt.len());
    assert_eq!(requests_about(&db, &Subject::Pcid(other)).len(), 1);
}

/// Its click may be pruned, or never was here: what was refused may hold something personal.
#[test]
fn a_visitor_that_is_not_stored_is_found_in_refused_rows() {
    let db = Db::new();
    let gone: ConversionId = "01930000-0000-7abc-8def-0123456789ab".parse().unwrap();
    for pcid in [gone.to_string(), gone.to_string().to_uppercase()] {
        db.send(&format!("pcid={pcid}&type=sale&value=1&note=canary"), at(1));
    }
    db.send("pcid=01930000-0000-7abc-8def-0123456789ac&type=sale&value=1", at(1));
    let subject = Subject::Pcid(gone);
    assert_eq!(requests_about(&db, &subject).len(), 2);
    let erased = db.store().erase(&acme(), &subject, at(2)).unwrap();
    assert_eq!((erased.requests, erased.conversions, erased.roots), (2, 0, 0));
    assert_eq!(requests_about(&db, &subject), [""; 0]);
    assert!(db.store().erase(&acme(), &subject, at(2)).unwrap().is_nothing());
    let report = db.reader().replay().unwrap();
    assert_eq!((report.differences, report.not_checked), (vec![], 2));
}

/// Pages that were split keep copies of rows in their unused parts, where erasing does not reach.
#[test]
fn compacting_leaves_nothing_of_what_was_erased() {
    let mut db = Db::new();
    let rules = format!("{RULES}[privacy]\nemail = 'keep'\n");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    let visitor = click_with(&db, "", 0);
    for n in 0..3 {
        let sale = format!("type=sale&value=1&external_id=V-{n}&mail=canary{n}@x.example");
        db.send(&format!("pcid={visitor}&{sale}"), at(1));
    }
    let other = click_with(&db, "", 2);
    for n in 0..60 {
        db.send(&format!("pcid={other}&type=sale&value=1&external_id=O-{n}&note=o"), at(3));
    }
    let mut unknown = postback(&db.ruleset(), Method::S2s, &format!("pcid={visitor}&type=x"));
    unknown.dialect = Some("canary-of-a-path".into());
    db.take(unknown, at(4));
    db.store().erase(&acme(), &Subject::Pcid(visitor), at(5)).unwrap();
    let path = db.path().to_owned();
    assert!(bytes_of(&mut db).contains("canary"), "nothing is left to compact");
    counterfoil_sqlite::compact(&path, &Options::default()).unwrap();
    assert!(!bytes_of(&mut db).contains("canary"));
    let store = Store::open(&path, Options::default()).unwrap();
    assert_eq!(store.reader().replay().unwrap().differences, []);
}

/// Old pages stay as long as somebody reads them.
#[test]
fn compacting_beside_a_reader_says_that_it_is_not_done() {
    let mut db = Db::new();
    let path = db.path().to_owned();
    db.store = None;
    let reading = rusqlite::Connection::open(&path).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM requests").unwrap();
    let error = counterfoil_sqlite::compact(&path, &Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Read { .. }), "{error}");
    drop(reading);
    counterfoil_sqlite::compact(&path, &Options::default()).unwrap();
}
