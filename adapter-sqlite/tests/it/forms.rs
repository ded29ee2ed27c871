//! Stored forms: what was written once is read for ever. A row whose bytes change here needs a new
//! version byte (blobs.rs) or a step of the schema.

use counterfoil_core::{Reason, RequestId};
use counterfoil_sqlite::RulesFormat;

use crate::common::{Db, RULES, acme, at};

fn hex(db: &Db, sql: &str) -> Option<String> {
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.query_row(&format!("SELECT lower(hex(({sql})))"), [], |row| row.get(0)).unwrap()
}

#[test]
fn the_blobs_of_a_conversion_a_transaction_and_a_request() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let query = format!("pcid={pcid}&type=sale&value=1.5&currency=USD&k=v");
    let decided = db.send(&query, at(1)).decision;
    let more = hex(&db, "SELECT more FROM conversions WHERE root IS NOT NULL").unwrap();
    // No sub ids, no click id; 1.5 USD; no price, no direct amount; the rate 0.92; k=v; none.
    assert_eq!(more, "01000001c08db7010355534400000103555344b8010201016b017600");
    let terms = hex(&db, "SELECT terms FROM transactions").unwrap();
    // 10 percent of value; 50 percent of revenue; direct amounts accepted.
    assert_eq!(terms, "0101140002640001");
    let log = hex(&db, "SELECT substr(more, 1, 1) FROM requests").unwrap();
    assert_eq!(log, "01");
    assert_eq!(decided.transactions[0].revenue.to_string(), "0.14");
    let more = hex(&db, "SELECT more FROM conversions WHERE root IS NULL").unwrap();
    assert_eq!(more, "", "a plain click is in its columns alone");
}

/// The words of a repeat follow from its reason. Rows that were written before that have some.
#[test]
fn the_words_of_a_refusal_in_a_log_row() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let query = format!("pcid={pcid}&type=sale&external_id=A");
    db.send(&query, at(1));
    db.send("type=sale", at(2));
    let repeat = db.send(&query, at(3));
    let ends = |id: RequestId, sql: &str| {
        let id: String = id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        hex(&db, &format!("SELECT {sql} FROM requests WHERE id = x'{id}'")).unwrap()
    };
    // No notes, no transactions, no words.
    let id = repeat.receipt.id;
    assert_eq!(ends(id, "substr(more, -3)"), "000000");
    let logged = || db.reader().request(&acme(), id).unwrap().unwrap();
    assert_eq!(logged().message, repeat.decision.refusal.map(|refusal| refusal.message));
    // No steps, no notes, no transactions; `p`, `m` and no hint.
    let old = "x'0100000001010170016d00'";
    let raw = rusqlite::Connection::open(db.path()).unwrap();
    raw.execute(&format!("UPDATE requests SET more = {old} WHERE reason IS NOT NULL"), []).unwrap();
    let shown = logged();
    assert_eq!((shown.parameter.as_deref(), shown.message.as_deref()), (Some("p"), Some("m")));
    assert_eq!((shown.reason, shown.hint), (Some(Reason::Duplicate), None));
}

#[test]
fn the_request_of_a_message() {
    let db = Db::new();
    let pcid = db.click(at(0));
    let api = "[[tracking_api]]\nid = 'x'\nrequest.url = 'https://a/?k={secret:key}&v={value}'\n\
               request.body = { form = { a = 'b' } }\nrequest.headers = { x-a = 'c' }\n";
    let rules = format!("{RULES}{api}");
    db.store().install_rules(None, &rules, RulesFormat::Toml, at(0)).unwrap();
    db.send(&format!("pcid={pcid}&type=sale&value=2"), at(1));
    let request = hex(&db, "SELECT request FROM messages").unwrap();
    // POST; the URL in three parts, the second a secret in a query; one header;
    // the body's type and text.
    let url = "0300\
        0d68747470733a2f2f612f3f6b3d\
        01036b657901\
        000726763d322e3030";
    let body = "01216170706c69636174696f6e2f782d7777772d666f726d2d75726c656e636f646564\
        010003613d62";
    assert_eq!(request, format!("0101{url}0103782d6101000163{body}"));
    let row = hex(&db, "SELECT event || ',' || standing || ',' || destination FROM messages");
    let text: String = "2,0,https://a:443".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(row, Some(text));
}

/// P7: sums are exact, whatever the order.
#[test]
fn a_million_random_amounts_sum_exactly() {
    let raw = rusqlite::Connection::open_in_memory().unwrap();
    raw.execute_batch(include_str!("../../src/schema/v1.sql")).unwrap();
    raw.execute_batch("PRAGMA foreign_keys = OFF; BEGIN").unwrap();
    let mut insert = raw
        .prepare(
            "INSERT INTO transactions VALUES (?1, zeroblob(16), 1, 'c', 'sale', 0, ?2, 0, 'EUR', \
             x'', NULL, 0, 0, NULL, NULL, 0, 0, 1)",
        )
        .unwrap();
    let (mut state, mut sum) = (88_172_645_463_325_252_u64, 0_i128);
    for n in 0..1_000_000_u64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Up to nine million units, with six digits after the dot.
        let micros = i64::try_from(state % 9_000_000_000_000).unwrap();
        let amount = counterfoil_core::Amount::from_micros(micros).unwrap();
        sum += i128::from(amount.as_micros());
        insert.execute(rusqlite::params![n.to_be_bytes(), amount.as_micros()]).unwrap();
    }
    let stored: i64 =
        raw.query_row("SELECT sum(revenue) FROM transactions", [], |row| row.get(0)).unwrap();
    assert_eq!(i128::from(stored), sum);
    let kind: String = raw
        .query_row("SELECT typeof(sum(revenue)) FROM transactions", [], |row| row.get(0))
        .unwrap();
    assert_eq!(kind, "integer");
}
