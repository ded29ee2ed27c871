//! The admin routes: explain, lists, edits, rules.

use serde_json::{Value, json};

use crate::{
    harness::{RULES, Running},
    memory::Mood,
};

const JSON: Option<&str> = Some("application/json");
const TOML: Option<&str> = Some("application/toml");

/// A sale under a click: the pcid of the click, and the answer.
fn sale(running: &Running) -> (String, Value) {
    let pcid = running.click();
    let query = format!("pcid={pcid}&type=sale&external_id=o1&value=100");
    let answer = running.get(&format!("/api/acme/postbacks/handle?{query}")).json();
    assert_eq!(answer["outcome"], "created");
    (pcid, answer)
}

fn explain(running: &Running, question: &Value) -> crate::harness::Reply {
    let body = question.to_string();
    running.admin("POST", "/api/acme/explain", JSON, body.as_bytes())
}

#[test]
fn explain_decides_and_writes_nothing() {
    let running = Running::start();
    let pcid = running.click();
    let before = (running.store.conversions_len(), running.store.log().len());
    let query = format!("pcid={pcid}&type=sale&value=100");
    let reply = explain(&running, &json!({ "query": query, "at": "2026-01-31T12:00:00Z" }));
    assert_eq!(reply.status, 200);
    let told = reply.json();
    assert_eq!(told["outcome"], "created");
    assert_eq!(told["transactions"][0]["revenue"], "10.00");
    assert_eq!(told["transactions"][0]["payout"], "5.00");
    assert_eq!(told["transactions"][0]["created_at"], "2026-01-31T12:00:00.000Z");
    assert!(!told["trace"].as_array().unwrap().is_empty());
    assert_eq!((running.store.conversions_len(), running.store.log().len()), before);

    let told = explain(&running, &json!({ "query": "type=sale", "method": "pixel" })).json();
    assert_eq!(told["outcome"], "refused");
    assert_eq!(told["reason"], "missing_identifier");
    let told = explain(&running, &json!({ "query": "", "dialect": "klingon" })).json();
    assert_eq!(told["reason"], "unknown_postback");
}

#[test]
fn a_question_of_another_shape_is_400() {
    let running = Running::start();
    for question in [
        json!({}),
        json!({ "query": 1 }),
        json!({ "query": "", "unknown": 1 }),
        json!({ "query": "", "method": "telepathy" }),
        json!({ "query": "", "at": "yesterday" }),
    ] {
        explain(&running, &question).assert_problem(400, "bad_body");
    }
    let positional = json!(["pcid=zz", null, null, null]);
    for question in [json!([]), positional, json!("pcid=zz"), json!(null), json!(1)] {
        let problem = explain(&running, &question).assert_problem(400, "bad_body");
        assert_eq!(problem["detail"], "the body must be a JSON object");
    }
    for body in ["", " ", "\u{feff}{}", "query=pcid"] {
        let reply = running.admin("POST", "/api/acme/explain", JSON, body.as_bytes());
        reply.assert_problem(400, "bad_body");
    }
    let reply = running.admin("POST", "/api/acme/explain", JSON, b"\r\n\t {\"query\":\"\"}");
    assert_eq!(reply.status, 200);
    let reply = running.admin("POST", "/api/acme/explain", None, b"{}");
    reply.assert_problem(415, "unsupported_media_type");
    let reply = running.admin("POST", "/api/other/explain", JSON, br#"{"query":""}"#);
    reply.assert_problem(404, "unknown_tenant");
}

#[test]
fn lists_are_newest_first_and_rows_are_found_by_their_id() {
    let running = Running::start();
    let (pcid, answer) = sale(&running);
    let list = |name: &str| running.admin_get(&format!("/api/acme/{name}")).json();

    let conversions = list("conversions");
    assert_eq!(conversions["items"][0]["id"], answer["conversion_id"]);
    assert_eq!(conversions["items"][1]["id"], json!(pcid));
    assert_eq!(conversions["next_cursor"], Value::Null);
    assert_eq!(list("conversions?limit=1")["items"].as_array().unwrap().len(), 1);
    assert_eq!(list("conversions?external_id=o1")["items"].as_array().unwrap().len(), 1);

    let transactions = list("transactions");
    assert_eq!(transactions["items"][0]["id"], answer["transactions"][0]["id"]);
    assert_eq!(transactions["items"][0]["revenue"], "10.00");
    let len = |name: &str| list(name)["items"].as_array().unwrap().len();
    assert_eq!(len("transactions?external_id=o1"), 1);
    assert_eq!(len("transactions?external_id=o2"), 0);
    assert_eq!(len("conversions?result=pending"), 1);
    assert_eq!(len("conversions?result=rejected"), 0);
    let requests = list("requests?outcome=created");
    assert_eq!(requests["items"][0]["id"], answer["request_id"]);

    for (name, id) in [
        ("conversions", &answer["conversion_id"]),
        ("transactions", &answer["transactions"][0]["id"]),
        ("requests", &answer["request_id"]),
    ] {
        let row = list(&format!("{name}/{}", id.as_str().unwrap()));
        assert_eq!(row["id"], *id, "{name}");
        let nobody = "01930000-0000-7000-8000-00000000ffff";
        for id in [nobody, "no-id"] {
            let reply = running.admin_get(&format!("/api/acme/{name}/{id}"));
            reply.assert_problem(404, "not_found");
        }
        let reply = running.admin_get(&format!("/api/other/{name}/{nobody}"));
        reply.assert_problem(404, "unknown_tenant");
        let reply = running.admin_get(&format!("/api/other/{name}"));
        reply.assert_problem(404, "unknown_tenant");
    }
}

#[test]
fn an_unknown_filter_or_a_bad_value_is_400_and_is_named() {
    let running = Running::start();
    let cases = [
        ("conversions?colour=red", "colour"),
        ("conversions?reason=duplicate", "reason"),
        ("conversions?result=maybe", "result"),
        ("transactions?outcome=created", "outcome"),
        ("requests?type=sale", "type"),
        ("postbacks?id=global", "id"),
        ("conversions?limit=0", "limit"),
        ("conversions?limit=1001", "limit"),
        ("conversions?limit=ten", "limit"),
        ("conversions?since=yesterday", "since"),
        ("transactions?result=maybe", "result"),
        ("requests?outcome=lost", "outcome"),
        ("requests?reason=lost", "reason"),
        ("conversions?type=sale&type=lead", "type"),
        ("conversions?cursor=foreign", "cursor"),
    ];
    for (target, name) in cases {
        let reply = running.admin_get(&format!("/api/acme/{target}"));
        let problem = reply.assert_problem(400, "bad_filter");
        assert_eq!(problem["parameter"], name, "{target}");
    }
    running.admin_get("/api/acme/conversions?type=%FF").assert_problem(400, "bad_filter");
    let good = "conversions?type=&since=2026-01-01T00:00:00Z&until=2036-01-01T00:00:00Z&limit=5";
    assert_eq!(running.admin_get(&format!("/api/acme/{good}")).status, 200);
}

#[test]
fn definitions_are_listed_with_owner_and_country() {
    let running = Running::start();
    let list = running.admin_get("/api/acme/postbacks").json();
    let items = list["items"].as_array().unwrap();
    let of = |id: &str| items.iter().find(|item| item["id"] == id).unwrap();
    assert_eq!(of("strict")["owner"], "admin");
    assert_eq!(of("strict")["country"], "CZ");
    assert_eq!(of("strict")["answer"], "strict");
    assert_eq!(of("global")["country"], "");
    assert_eq!(of("global")["dedup"], json!({ "key": "external", "on_repeat": "refuse" }));
    let of_owner = |owner: &str| {
        let list = running.admin_get(&format!("/api/acme/postbacks?owner={owner}")).json();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((of_owner("admin"), of_owner("bo")), (items.len(), 0));
}

#[test]
fn an_edit_goes_through_the_writer_and_is_logged() {
    let running = Running::start();
    let (_, answer) = sale(&running);
    let id = answer["transactions"][0]["id"].as_str().unwrap();
    let edit = |id: &str, body: &Value| {
        let path = format!("/api/acme/transactions/{id}");
        running.admin("POST", &path, JSON, body.to_string().as_bytes())
    };
    let good = json!({ "result": "approved", "payout": "7", "reason": "agreed by phone" });
    let reply = edit(id, &good);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["outcome"], "updated");
    let row = running.admin_get(&format!("/api/acme/transactions/{id}")).json();
    assert_eq!((&row["result"], &row["payout"]), (&json!("approved"), &json!("7.00")));
    let logged = running.store.log().pop().unwrap();
    assert_eq!(logged.method.name(), "admin");
    assert!(logged.query.contains("reason=agreed"), "{}", logged.query);

    let rows = running.store.log().len();
    for (body, status, code) in [
        (json!({ "result": "approved" }), 400, "bad_body"),
        (json!(["approved", null, null, "x"]), 400, "bad_body"),
        (json!({ "result": "approved", "reason": "x", "colour": "red" }), 400, "bad_body"),
        (json!({ "result": "approved", "reason": "x".repeat(2049) }), 400, "bad_body"),
        (json!({ "result": "maybe", "reason": "x" }), 422, "invalid_result"),
        (json!({ "payout": "1e3", "reason": "x" }), 422, "invalid_amount"),
        (json!({ "payout": "-1", "reason": "x" }), 422, "invalid_amount"),
        (json!({ "reason": "x" }), 422, "invalid_parameter"),
        (json!({ "result": "approved", "reason": "  " }), 422, "invalid_parameter"),
    ] {
        let rows = running.store.log().len();
        let problem = edit(id, &body).assert_problem(status, code);
        let mut log = running.store.log();
        assert_eq!(log.len() - rows, usize::from(status == 422), "{body}");
        if status == 422 {
            let logged = log.pop().unwrap();
            assert_eq!(problem["request_id"], logged.id.to_string());
            assert!(logged.query.contains(id), "{}", logged.query);
        }
    }
    assert_eq!(running.store.log().len(), rows + 5);
    edit("no-id", &good).assert_problem(404, "not_found");
    assert_eq!(running.store.log().len(), rows + 5, "this names no transaction");
    let nobody = "01930000-0000-7000-8000-00000000ffff";
    let reply = edit(nobody, &good);
    assert_eq!(reply.status, 404);
}

#[test]
fn rules_are_read_replaced_and_kept_where_they_have_mistakes() {
    let running = Running::start();
    let path = "/api/acme/rules";
    let reply = running.admin_get(path);
    assert_eq!((reply.status, reply.text()), (200, RULES));
    assert_eq!(reply.header("content-type"), Some("application/toml"));
    assert_eq!(reply.header("x-rules-version"), Some("1"));

    let more = format!("{RULES}\n[[affiliate]]\nid = \"new\"\nname = \"New\"\n");
    let reply = running.admin("PUT", path, TOML, more.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["version"], 2);
    assert!(reply.json()["warnings"].is_array());
    assert_eq!(running.get("/c/acme/plain/new").status, 302, "they run at once");

    let wrong = "tenant = \"acme\"\ncurrency = \"XXY\"\ncolour = \"red\"\n";
    let reply = running.admin("PUT", path, TOML, wrong.as_bytes());
    let problem = reply.assert_problem(422, "invalid_rules");
    let issues = problem["issues"].as_array().unwrap();
    assert!(issues.len() >= 2, "{issues:?}");
    for issue in issues {
        assert!(issue["message"].is_string() && issue["severity"].is_string());
    }
    assert!(issues.iter().any(|issue| issue["path"] == "currency"));
    let other = RULES.replace("\"acme\"", "\"other\"");
    let reply = running.admin("PUT", path, TOML, other.as_bytes());
    assert_eq!(reply.assert_problem(422, "invalid_rules")["issues"][0]["path"], "tenant");

    let minimal = br#"{"tenant":"acme","currency":"EUR"}"#;
    assert_eq!(running.admin("PUT", path, JSON, minimal).json()["version"], 3);
    let reply = running.admin_get(path);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.body, minimal);
    assert_eq!(running.get("/c/acme/plain/bo").status, 404);
}

#[test]
fn rules_of_another_kind_or_tenant_are_refused() {
    let running = Running::start();
    let put = |tenant: &str, media_type, body: &[u8]| {
        running.admin("PUT", &format!("/api/{tenant}/rules"), media_type, body)
    };
    put("acme", None, b"x").assert_problem(415, "unsupported_media_type");
    let form = Some("application/x-www-form-urlencoded");
    put("acme", form, b"x").assert_problem(415, "unsupported_media_type");
    put("acme", TOML, b"\xff").assert_problem(400, "bad_body");
    put("other", TOML, RULES.as_bytes()).assert_problem(404, "unknown_tenant");
    running.admin_get("/api/other/rules").assert_problem(404, "unknown_tenant");
}

#[test]
fn a_store_that_breaks_while_it_reads_costs_one_answer() {
    let running = Running::start();
    running.store.set_mood(Mood::Broken);
    // A panic in the store poisons its own lock: whatever it does then, the server answers.
    running.admin_get("/api/acme/conversions").assert_problem(503, "unavailable");
    assert_eq!(running.admin_get("/version").status, 200);
}

#[test]
fn a_visitor_is_erased_by_one_of_its_ids() {
    let running = Running::start();
    let (pcid, answer) = sale(&running);
    let erase = |body: &Value| running.admin("POST", ERASE, JSON, body.to_string().as_bytes());
    let id = answer["conversion_id"].as_str().unwrap();
    let reply = erase(&json!({ "pcid": id }));
    assert_eq!((reply.status, reply.json()["requests"].as_u64()), (200, Some(1)));
    assert!(running.store.log().iter().any(|row| row.query.is_empty()));
    let nobody = "01930000-0000-7000-8000-00000000ffff";
    for (body, status, code) in [
        (json!({ "pcid": nobody }), 404, "not_found"),
        (json!({ "external_id": "A", "advertiser_id": "shoply" }), 404, "not_found"),
        (json!({ "external_id": "shared" }), 409, "ambiguous_external_id"),
        (json!({ "external_id": "shared", "advertiser_id": "shoply" }), 404, "not_found"),
        (json!({}), 400, "bad_body"),
        (json!([id, null, null]), 400, "bad_body"),
        (json!({ "pcid": "x" }), 400, "bad_body"),
        (json!({ "pcid": pcid, "external_id": "A" }), 400, "bad_body"),
        (json!({ "advertiser_id": "shoply" }), 400, "bad_body"),
        (json!({ "click": pcid }), 400, "bad_body"),
    ] {
        erase(&body).assert_problem(status, code);
    }
    let several = erase(&json!({ "external_id": "shared" })).json();
    assert_eq!(several["hint"], "name one with `advertiser_id`: `other`, `shoply`");
    assert_eq!(several["parameter"], "advertiser_id");
    let elsewhere = ERASE.replace("acme", "other");
    let body = json!({ "pcid": id }).to_string();
    running.admin("POST", &elsewhere, JSON, body.as_bytes()).assert_problem(404, "unknown_tenant");
    running.store.set_mood(Mood::Full);
    erase(&json!({ "pcid": id })).assert_problem(503, "unavailable");
}

const ERASE: &str = "/api/acme/privacy/erase";
