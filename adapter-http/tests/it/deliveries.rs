//! Messages on the admin listener: lists, sending again, and what the metrics tell of them.

use counterfoil_core::MessageState;
use serde_json::{Value, json};

use crate::{
    harness::{RULES, Reply, Running, assert_is_of_schema, send},
    memory::Mood,
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

fn set_states(running: &Running, state: MessageState) {
    running.store.with_deliveries(|rows| rows.iter_mut().for_each(|row| row.state = state));
}

fn post(running: &Running, target: &str) -> Reply {
    running.admin("POST", &format!("/api/acme/deliveries/{target}"), None, b"")
}

#[test]
fn messages_are_listed_newest_first_and_filtered() {
    let running = running();
    let all = items(&running, "");
    assert_eq!(all.len(), 4);
    let newest = running.store.with_deliveries(|rows| rows.last().unwrap().id.to_string());
    assert_eq!(all[0]["id"], newest);
    let conversion = all[0]["conversion_id"].as_str().unwrap().to_owned();
    let id = all[0]["id"].as_str().unwrap().to_owned();
    set_states(&running, MessageState::Delivered);
    running.store.with_deliveries(|rows| rows[0].state = MessageState::Dead);
    let upper = conversion.to_uppercase();
    for (filter, len) in [
        ("?tracking_api=told".to_owned(), 2),
        ("?tracking_api=nobody".to_owned(), 0),
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
    for state in MessageState::ALL {
        set_states(&running, state);
        let reply = post(&running, &retry);
        match state {
            MessageState::Held | MessageState::Sending => {
                assert!(reply.assert_problem(409, "in_hand")["hint"].is_string());
            }
            _ => {
                assert_eq!(reply.status, 200, "{}", state.name());
                assert_eq!(
                    (&reply.json()["id"], &reply.json()["state"]),
                    (&json!(id), &json!("due"))
                );
            }
        }
    }
    for unknown in ["01930000-0000-7000-8000-00000000ffff", "no-id"] {
        post(&running, &format!("{unknown}/retry")).assert_problem(404, "not_found");
    }
    let path = format!("/api/other/deliveries/{retry}");
    running.admin("POST", &path, None, b"").assert_problem(404, "unknown_tenant");
    set_states(&running, MessageState::Dead);
    running.store.set_mood(Mood::Full);
    post(&running, &retry).assert_problem(503, "unavailable");
}

#[test]
fn of_many_those_are_sent_again_that_are_meant() {
    let running = running();
    let conversion = items(&running, "")[0]["conversion_id"].as_str().unwrap().to_owned();
    let retried = |target: &str, state| {
        set_states(&running, state);
        let reply = post(&running, &format!("retry{target}"));
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        let due = items(&running, "?state=due").len();
        assert_eq!(reply.json(), json!({ "retried": due }), "{target}");
        due
    };
    use MessageState::{Dead, Delivered};
    assert_eq!(retried("?all=true", Dead), 4);
    assert_eq!(retried("?tracking_api=told", Dead), 2);
    assert_eq!(retried(&format!("?conversion={conversion}"), Dead), 2);
    assert_eq!(retried("?owner=bo", Dead), 0);
    assert_eq!(retried("?state=dead", Dead), 4);
    // What has arrived is not sent again by accident.
    assert_eq!(retried("?all=true", Delivered), 0);
    assert_eq!(retried("?tracking_api=told", Delivered), 0);
    assert_eq!(retried("?tracking_api=told&state=delivered", Delivered), 2);
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
    let running = running();
    running.store.with_deliveries(|rows| {
        rows[0].state = MessageState::Dead;
        rows[1].state = MessageState::Held;
        rows[2].due_at = "2020-01-01T00:00:00Z".parse().unwrap();
    });
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
