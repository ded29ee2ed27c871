//! Rendering (R40): every macro, every place, and values that try to be more than values.

use counterfoil_core::{MACROS, Message, complete, shown_parts};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::world::{PAYS, World, messages, url};

/// A message to one tracking API about a sale, made from a query.
fn message(trigger: &str, request: &str, query: &str) -> (World, Message) {
    let mut world = World::new(&format!(
        "{PAYS}[[commission]]\nid = 'two'\ntype = 'sale'\nrevenue.fixed = '3'\npayout.fixed = '1'\n\
         [[tracking_api]]\nid = 'x'\ntypes = ['sale']\ntrigger = '{trigger}'\n{request}\n"
    ));
    world.click();
    let made = world.send(&format!("pcid={{pcid}}&type=sale&{query}"));
    let message = messages(&made)[0].clone();
    (world, message)
}

fn body(message: &Message) -> String {
    let (_, parts) = message.request.as_ref().unwrap().body.as_ref().unwrap();
    shown_parts(parts)
}

/// Every macro as a JSON field.
fn all_macros() -> String {
    let names = MACROS.iter().map(|known| known.name).chain(["affs1", "affs10", "affs2"]);
    let fields: Vec<String> = names
        .chain(["param.city", "param.none"])
        .map(|name| format!("\"{name}\" = \"{{{name}}}\""))
        .collect();
    format!("request = {{ url = 'https://a/', body.json = {{ {} }} }}", fields.join(", "))
}

fn rendered(message: &Message, name: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(&body(message)).unwrap();
    body[name].as_str().unwrap().to_owned()
}

#[test]
fn every_macro_of_a_transaction_event() {
    let query = "value=100&price=7.5&external_id=o-1&city=Brno&result=chargeback";
    let (world, message) = message("transaction.created", &all_macros(), query);
    let row = world.newest();
    let (id, root) = (row.conversion.id.to_string(), row.root.id.to_string());
    let transaction = row.transactions[0].id.to_string();
    let message_id = message.id.to_string();
    let table = [
        ("pcid", root.as_str()),
        ("conversion_id", &id),
        ("transaction_id", &transaction),
        ("external_id", "o-1"),
        ("affiliate_click_id", "their-id"),
        ("type", "sale"),
        ("transaction_type", "sale"),
        ("commission_id", "sale"),
        ("result", "pending"),
        ("event", "transaction.created"),
        ("value", "100.00"),
        ("revenue", "10.00"),
        ("payout", "5.00"),
        ("price", "7.50"),
        ("currency", "EUR"),
        ("offer_id", "cz"),
        ("advertiser_id", "shoply"),
        ("affiliate_id", "bo"),
        ("channel", "mail"),
        ("integration", "shop"),
        ("source", "link"),
        ("created_at", "2026-01-31T12:00:00.000Z"),
        ("updated_at", "2026-01-31T12:00:00.000Z"),
        ("sequence", "1"),
        ("message_id", &message_id),
        ("status", "chargeback"),
        ("affs1", "sub"),
        ("affs10", "ten"),
        ("affs2", ""),
        ("param.city", "Brno"),
        ("param.none", ""),
    ];
    assert_eq!(table.len(), MACROS.len() + 5);
    for (name, want) in table {
        assert_eq!(rendered(&message, name), want, "{name}");
    }
}

#[test]
fn conversion_events_sum_and_name_only_what_is_one() {
    let (mut world, message) = message("conversion", &all_macros(), "value=100&external_id=o");
    assert_eq!(rendered(&message, "commission_id"), "sale");
    assert_eq!(rendered(&message, "payout"), "5.00");
    world.send("pcid={pcid}&type=sale&external_id=o&commission_id=two");
    assert_eq!(world.newest().transactions.len(), 2);
    let update = world.send("pcid={pcid}&action=update&note=x");
    let message = messages(&update)[0].clone();
    for name in ["commission_id", "transaction_id", "result", "transaction_type"] {
        assert_eq!(rendered(&message, name), "", "{name}");
    }
    assert_eq!(rendered(&message, "payout"), "6.00");
    assert_eq!(rendered(&message, "revenue"), "13.00");
}

#[test]
fn without_a_transaction_money_is_empty() {
    let mut world = World::new(
        "[[tracking_api]]\nid = 'x'\ntrigger = 'conversion'\n\
         request.url = 'https://a/?p={payout}&r={revenue}&x={result}'\n",
    );
    assert_eq!(url(messages(&world.click())[0]), "https://a/?p=&r=&x=");
}

/// What a sender may try, percent-encoded for its own request.
const NASTY: &str =
    "note=%7Bsecret:key%7D%0D%0AX-Evil:%201%22%7D%2C%22a%22:%22%26b%3D%2F..%2F%3F%23";

#[test]
fn values_stay_values_in_every_place() {
    let request = r#"
[tracking_api.request]
url = "https://a/{param.note}/x?n={param.note}&k={secret:key}"
headers = { x-note = "n {param.note}", authorization = "Bearer {secret:key}" }
body.json = { n = "{param.note}", k = "{secret:key}" }
"#;
    let (_, message) = message("transaction", request, NASTY);
    let request = message.request.as_ref().unwrap();
    let sent = |parts| complete(parts, |_| Some("s\"&\r\n".into())).unwrap();
    let value = "%7Bsecret%3Akey%7D%0D%0AX-Evil%3A%201%22%7D%2C%22a%22%3A%22%26b%3D%2F..%2F%3F%23";
    assert_eq!(sent(&request.url), format!("https://a/{value}/x?n={value}&k=s%22%26%0D%0A"));
    let headers: Vec<String> = request.headers.iter().map(|(_, parts)| sent(parts)).collect();
    let [note, authorization] = &headers[..] else { panic!("two headers") };
    assert!(note.starts_with("n {secret:key}%0D%0AX-Evil: 1"), "{note}");
    assert_eq!(authorization, "Bearer s\"&%0D%0A");
    assert!(headers.iter().all(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b))));
    let (_, parts) = request.body.as_ref().unwrap();
    let body: serde_json::Value = serde_json::from_str(&sent(parts)).unwrap();
    let raw = "{secret:key}\r\nX-Evil: 1\"},\"a\":\"&b=/../?#";
    assert_eq!(body, serde_json::json!({ "n": raw, "k": "s\"&\r\n" }));
    // Nothing is sent in the place of a secret that is not there.
    assert_eq!(complete(&request.url, |_| None).unwrap_err().as_str(), "key");
}

#[test]
fn a_form_keeps_its_fields() {
    let request = "request = { url = 'https://a/', body.form = { n = '{param.note}', m = 'x&y' } }";
    let (_, message) = message("transaction", request, NASTY);
    let body = body(&message);
    assert_eq!(body.matches('&').count(), 1, "{body}");
    assert!(body.ends_with("&m=x%26y") && !body.contains('\n'), "{body}");
}

#[test]
fn no_value_climbs_the_path() {
    let request = "request.url = 'https://a/orders/{param.note}/{param.other}'";
    let (_, message) = message("transaction", request, "note=..&other=.");
    assert_eq!(url(&message), "https://a/orders/%252E%252E/%252E");
}

#[test]
fn raw_bodies_are_encoded_by_their_content_type() {
    let table = [
        ("text/xml; charset=utf-8", "&lt;a b=&quot;&apos;&quot;&gt;&amp;"),
        ("application/soap+xml", "&lt;a b=&quot;&apos;&quot;&gt;&amp;"),
        ("Application/X-WWW-Form-Urlencoded", "%3Ca%20b%3D%22%27%22%3E%26"),
        ("text/plain", "<a b=\"'\">&"),
    ];
    for (kind, want) in table {
        let raw = "raw = 'n={param.note}'";
        let request = format!(
            "request = {{ url = 'https://a/', body = {{ {raw}, content_type = '{kind}' }} }}"
        );
        let (_, message) = message("transaction", &request, "note=%3Ca+b%3D%22%27%22%3E%26");
        assert_eq!(body(&message), format!("n={want}"), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_value_changes_the_form_of_a_request(value in "[^\0]{1,200}") {
        let request = r#"
[tracking_api.request]
url = "https://a:1/p/{param.note}/q?n={param.note}&m=1"
headers = { x-note = "{param.note}" }
body.json = { n = "{param.note}", m = 1 }
"#;
        let encoded = utf8_percent_encode(&value, NON_ALPHANUMERIC);
        let (world, message) = message("transaction", request, &format!("note={encoded}"));
        let kept = world.newest().conversion.params.get("note").map_or("", |kept| &**kept);
        let url = url(&message);
        prop_assert!(url.starts_with("https://a:1/p/") && url.ends_with("&m=1"), "{}", url);
        let counts = ["/", "?", "&", "#"].map(|mark| url.matches(mark).count());
        prop_assert_eq!(counts, [5, 1, 1, 0]);
        let (_, header) = &message.request.as_ref().unwrap().headers[0];
        prop_assert!(shown_parts(header).bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let body: serde_json::Value = serde_json::from_str(&body(&message)).unwrap();
        prop_assert_eq!(body, serde_json::json!({ "n": kept, "m": 1 }));
    }
}
