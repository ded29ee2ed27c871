//! Messages on the admin listener: lists, sending again, and what the metrics tell of them.

use std::sync::Arc;

use counterfoil_core::{Claim, DeadReason, Next, RetryKind};
use serde_json::{Value, json};

use crate::{
    harness::{RULES, Reply, Running, assert_is_of_schema, send},
    memory::{Mood, NOW},
};

const MORE: &str = r#"
[[tracking_api]]
id = "told"
request = { url = "https://told.example/{conversion_id}?token={secret:told}&sum={payout}" }

[[tracking_api]]
id = "other"
trigger = "conversion.created"
types = ["sale"]
request = { method = "POST", url = "https://other.example/", body = { json = { id = "{pcid}" } } }
"#;

/// A server where two sales were told to two systems: four messages.
fn running() -> Running {
    let running = Running::of(&format!("{RULES}{MORE}"), |_| {});
    for order in ["o1", "o2"] {
        let pcid = running.click();
        let query = format!("pcid={pcid}&type=sale&value=100&external_id={order}");
        running.get(&format!("/api/acme/postbacks/handle?{query}"));
    }
    running
}

fn items(running: &Running, target: &str) -> Vec<Value> {
    let reply = running.admin_get(&format!("/api/acme/deliveries{target}"));
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.json()["items"].as_array().unwrap().clone()
}

/// Another definition that tells in two steps: the second one is held.
const STEPS: &str = r#"
[[postback]]
id = "steps"
[[postback.step]]
request.url = "https://one.example/"
[[postback.step]]
request.url = "https://two.example/"
"#;

const DEAD: Next = Next::Dead(DeadReason::RetriesExhausted);

/// All messages are attempted, whatever became of them before, and this follows.
fn end_all(running: &Running, next: Next) {
    let all = running.store.with_world(|world| {
        let ids: Vec<_> = world.deliveries().map(|row| row.id).collect();
        for id in &ids {
            world.retry(*id, NOW);
        }
        ids.len()
    });
    let claims = running.store.claim();
    assert_eq!(claims.len(), all);
    running.store.end(&claims, next);
}

fn post(running: &Running, target: &str) -> Reply {
    running.admin("POST", &format!("/api/acme/deliveries/{target}"), None, b"")
}

#[test]
fn messages_are_listed_newest_first_and_filtered() {
    let running = running();
    let all = items(&running, "");
    assert_eq!(all.len(), 4);
    let newest = running.store.with_world(|world| world.deliveries().last().unwrap().id);
    assert_eq!(all[0]["id"], newest.to_string());
    let conversion = all[0]["conversion_id"].as_str().unwrap().to_owned();
    let id = all[0]["id"].as_str().unwrap().to_owned();
    let claims = running.store.claim();
    running.store.end(&claims[..1], DEAD);
    running.store.end(&claims[1..], Next::Delivered);
    let upper = conversion.to_uppercase();
    for (filter, len) in [
        ("?tracking_api=told".to_owned(), 2),
        ("?tracking_api=nobody".to_owned(), 0),
        ("?postback=told".to_owned(), 0),
        ("?state=dead".to_owned(), 1),
        ("?state=delivered".to_owned(), 3),
        (format!("?conversion={conversion}"), 2),
        (format!("?conversion={upper}"), 2),
        (format!("?conversion={conversion}&tracking_api=told"), 1),
        ("?owner=admin".to_owned(), 4),
        ("?owner=bo".to_owned(), 0),
        ("?limit=3".to_owned(), 3),
        (format!("?id={id}"), 1),
    ] {
        assert_eq!(items(&running, &filter).len(), len, "{filter}");
    }
}

#[test]
fn a_message_shows_its_request_with_secrets_by_name() {
    let running = running();
    let told = items(&running, "?tracking_api=told").remove(0);
    let id = told["id"].as_str().unwrap();
    let row = running.admin_get(&format!("/api/acme/deliveries/{id}")).json();
    assert_eq!(row, told);
    let url = row["request"]["url"].as_str().unwrap();
    assert!(url.ends_with("?token={secret:told}&sum=5.00"), "{url}");
    assert_eq!((&row["state"], &row["sequence"]), (&json!("due"), &json!(1)));
    assert_eq!(row["event"], "transaction.created");
    assert_eq!(row["attempts"], json!([]));
    assert_is_of_schema(&row, "Delivery");
    assert_is_of_schema(&row["request"], "OutboundRequest");
}

#[test]
fn a_bad_filter_is_400_and_is_named() {
    let running = running();
    for (target, name) in [
        ("?state=lost", "state"),
        ("?conversion=no-id", "conversion"),
        ("?colour=red", "colour"),
        ("?affiliate=bo", "affiliate"),
        ("?limit=0", "limit"),
    ] {
        let reply = running.admin_get(&format!("/api/acme/deliveries{target}"));
        let problem = reply.assert_problem(400, "bad_filter");
        assert_eq!(problem["parameter"], name, "{target}");
        assert!(problem["hint"].is_string(), "{target}");
    }
    for (target, name) in [
        ("", "all"),
        ("?state=", "all"),
        ("?all=yes", "all"),
        ("?state=sending", "state"),
        ("?state=held&all=true", "state"),
        ("?state=lost", "state"),
        ("?cursor=x", "cursor"),
    ] {
        let problem = post(&running, &format!("retry{target}")).assert_problem(400, "bad_filter");
        assert_eq!(problem["parameter"], name, "{target}");
        assert!(problem["hint"].is_string(), "{target}");
    }
}

#[test]
fn one_message_is_sent_again_unless_it_is_in_hand() {
    let running = running();
    let id = items(&running, "")[0]["id"].as_str().unwrap().to_owned();
    let retry = format!("{id}/retry");
    let is_due = |before: &str| {
        let shown = running.admin_get(&format!("/api/acme/deliveries/{id}")).json();
        assert_eq!(shown["state"], before);
        let reply = post(&running, &retry);
        assert_eq!(reply.status, 200, "{before}");
        assert_eq!((&reply.json()["id"], &reply.json()["state"]), (&json!(id), &json!("due")));
    };
    is_due("due");
    let polls = Next::Retry { at: NOW, kind: RetryKind::Polling };
    for (next, state) in [(Next::Delivered, "delivered"), (polls, "polling"), (DEAD, "dead")] {
        end_all(&running, next);
        is_due(state);
    }
    let claims = running.store.claim();
    assert!(post(&running, &retry).assert_problem(409, "in_hand")["hint"].is_string());
    running.store.end(&claims, DEAD);
    for unknown in ["01930000-0000-7000-8000-00000000ffff", "no-id"] {
        post(&running, &format!("{unknown}/retry")).assert_problem(404, "not_found");
    }
    let path = format!("/api/other/deliveries/{retry}");
    running.admin("POST", &path, None, b"").assert_problem(404, "unknown_tenant");
    running.store.set_mood(Mood::Full);
    post(&running, &retry).assert_problem(503, "unavailable");
}

/// A server where a sale was told to two systems and in two steps.
fn with_steps() -> Running {
    let running = Running::of(&format!("{RULES}{MORE}{STEPS}"), |config| {
        config.clock = Arc::new(|| "2020-01-01T00:00:00Z".parse().unwrap());
    });
    let pcid = running.click();
    running.get(&format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&value=1&id=steps"));
    running
}

#[test]
fn the_steps_of_a_definition_are_its_messages_and_those_that_are_held_are_in_hand() {
    let running = with_steps();
    assert_eq!(items(&running, "").len(), 4);
    let of_steps = items(&running, "?postback=steps");
    let stand = |row: &Value| (row["step"].clone(), row["state"].clone());
    assert_eq!(stand(&of_steps[0]), (json!(2), json!("held")));
    assert_eq!(stand(&of_steps[1]), (json!(1), json!("due")));
    assert_eq!(items(&running, "?postback=steps&tracking_api=told").len(), 0);
    let id = of_steps[0]["id"].as_str().unwrap();
    post(&running, &format!("{id}/retry")).assert_problem(409, "in_hand");
    let first = |claim: &Claim| claim.message.id.to_string() == of_steps[1]["id"];
    let claims: Vec<_> = running.store.claim().into_iter().filter(first).collect();
    running.store.end(&claims, DEAD);
    let reply = post(&running, "retry?postback=steps");
    assert_eq!(reply.json(), json!({ "retried": 2 }), "both are dead");
    assert_eq!(items(&running, "?postback=steps&state=due").len(), 1);
}

#[test]
fn of_many_those_are_sent_again_that_are_meant() {
    let running = running();
    let conversion = items(&running, "")[0]["conversion_id"].as_str().unwrap().to_owned();
    let retried = |target: &str, next| {
        end_all(&running, next);
        let reply = post(&running, &format!("retry{target}"));
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        let due = items(&running, "?state=due").len();
        assert_eq!(reply.json(), json!({ "retried": due }), "{target}");
        due
    };
    assert_eq!(retried("?all=true", DEAD), 4);
    assert_eq!(retried("?tracking_api=told", DEAD), 2);
    assert_eq!(retried(&format!("?conversion={conversion}"), DEAD), 2);
    assert_eq!(retried("?owner=bo", DEAD), 0);
    assert_eq!(retried("?state=dead", DEAD), 4);
    // What has arrived is not sent again by accident.
    assert_eq!(retried("?all=true", Next::Delivered), 0);
    assert_eq!(retried("?tracking_api=told", Next::Delivered), 0);
    assert_eq!(retried("?tracking_api=told&state=delivered", Next::Delivered), 2);
}

#[test]
fn tracking_apis_are_listed_in_the_order_of_the_rules() {
    let running = running();
    let list = running.admin_get("/api/acme/tracking-apis").json();
    let expected = json!({
        "id": "other", "owner": "admin", "country": "", "trigger": "conversion.created",
        "active": true, "method": "POST", "destination": "https://other.example:443",
    });
    assert_eq!(list["items"][0]["id"], "told");
    assert_eq!(list["items"][1], expected);
    assert_is_of_schema(&expected, "TrackingApi");
    assert!(!list.to_string().contains("secret"));
    let problem =
        running.admin_get("/api/acme/tracking-apis?id=x").assert_problem(400, "bad_filter");
    assert_eq!(problem["parameter"], "id");
}

#[test]
fn explain_shows_what_would_be_sent() {
    let running = running();
    let pcid = running.click();
    let body = json!({ "query": format!("pcid={pcid}&type=sale&value=10") }).to_string();
    let media_type = Some("application/json");
    let told = running.admin("POST", "/api/acme/explain", media_type, body.as_bytes()).json();
    let deliveries = told["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 2);
    let body = format!("{{\"id\":\"{pcid}\"}}");
    assert!(deliveries.iter().any(|delivery| delivery["request"]["body"] == body));
}

#[test]
fn metrics_tell_how_much_waits() {
    let running = with_steps();
    let claims = running.store.claim();
    let told = |claim: &Claim| claim.message.of.to_string() == "told";
    let (dead, others): (Vec<_>, Vec<_>) = claims.into_iter().partition(told);
    running.store.end(&dead, DEAD);
    running.store.release(&others);
    let text = || send(running.admin, "GET", "/metrics", &[], b"").text().to_owned();
    let number = |text: &str, name: &str| -> i64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no `{name}` in:\n{text}")).parse().unwrap()
    };
    let before = text();
    assert_eq!(number(&before, "counterfoil_deliveries_due"), 2);
    assert_eq!(number(&before, "counterfoil_deliveries_held"), 1);
    assert_eq!(number(&before, "counterfoil_deliveries_dead"), 1);
    assert!(number(&before, "counterfoil_deliveries_due_age_seconds") > 86_400);
    // A store that cannot be read costs its own numbers, not the rest.
    running.store.set_mood(Mood::Broken);
    assert_eq!(number(&text(), "counterfoil_ready"), 1);
}
