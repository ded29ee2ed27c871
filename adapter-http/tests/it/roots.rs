//! Roots that are handed in.

use serde_json::json;

use crate::harness::{ADMIN_TOKEN, Running, TENANT_TOKEN, bearer};

const LEAD: &str = r#"{"type":"lead","source":"iframe","offer_id":"plain","affiliate_id":"bo"}"#;

#[test]
fn a_lead_is_created_once_for_its_external_id() {
    let running = Running::start();
    let body = r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo",
        "channel":"mail","external_id":"lead-1","value":12.5,"params":{"city":"Brno","age":7}}"#;
    let first = running.hand_in(body);
    assert_eq!(first.status, 201);
    let first = first.json();
    assert_eq!(first["outcome"], "created");
    assert_eq!(first["pcid"], first["conversion_id"]);
    assert_eq!(first["type"], "lead");
    assert_eq!(first["events"], json!(["conversion.created"]));

    let again = running.hand_in(body);
    assert_eq!(again.status, 200);
    let again = again.json();
    assert_eq!(again["outcome"], "duplicate");
    assert_eq!(again["pcid"], first["pcid"]);

    let id = first["pcid"].as_str().unwrap();
    let stored = running.admin_get(&format!("/api/acme/conversions/{id}")).json();
    assert_eq!(stored["source"], "api");
    assert_eq!(stored["channel"], "mail");
    assert_eq!(stored["value"], "12.50");
    assert_eq!(stored["params"], json!({ "city": "Brno", "age": "7" }));
    assert_eq!(running.store.log().len(), 2);
}

#[test]
fn params_and_affs_that_are_null_are_absent() {
    let running = Running::start();
    let body = LEAD.replace('}', r#","params":null,"affs":null,"channel":null}"#);
    let made = running.hand_in(&body);
    assert_eq!(made.status, 201, "{made:?}");
    let id = made.json()["pcid"].as_str().unwrap().to_owned();
    let stored = running.admin_get(&format!("/api/acme/conversions/{id}")).json();
    assert_eq!(stored["params"], json!({}));
    assert_eq!(stored["affs"], json!({}));
    for other in ["[]", "\"\"", "1", "false"] {
        let body = LEAD.replace('}', &format!(r#","params":{other}}}"#));
        let problem = running.hand_in(&body).assert_problem(422, "malformed");
        assert_eq!(problem["parameter"], "params");
    }
}

#[test]
fn the_answer_can_be_paired_with() {
    let running = Running::start();
    let pcid = running.hand_in(LEAD).json()["pcid"].as_str().unwrap().to_owned();
    let target = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale");
    assert_eq!(running.get(&target).json()["outcome"], "created");
}

#[test]
fn refusals_are_422_with_the_reason_and_are_logged() {
    let running = Running::start();
    let with = |name: &str, value: serde_json::Value| {
        let mut body: serde_json::Value = serde_json::from_str(LEAD).unwrap();
        body[name] = value;
        body.to_string()
    };
    let cases = [
        (with("offer_id", json!("nothing")), "unknown_offer"),
        (with("affiliate_id", json!("nobody")), "unknown_affiliate"),
        (with("type", json!("sale")), "type_not_root"),
        (with("type", json!("klingon")), "unknown_type"),
        (with("value", json!("1,5")), "invalid_amount"),
        ("[1]".to_owned(), "malformed"),
        ("{".to_owned(), "malformed"),
    ];
    for (nth, (body, code)) in cases.iter().enumerate() {
        let problem = running.hand_in(body).assert_problem(422, code);
        let log = running.store.log();
        assert_eq!(log.len(), nth + 1, "{body}");
        assert_eq!(json!(log[nth].id), problem["request_id"], "{body}");
        assert_eq!(log[nth].method.name(), "api");
    }
    assert_eq!(running.store.conversions_len(), 0);
}

#[test]
fn only_tokens_of_the_tenant_and_of_the_admin_pass() {
    let running = Running::start();
    let hand_in = |token: Option<&str>| {
        let token = token.map(str::to_owned);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        running.public("POST", "/api/acme/conversions", &headers, LEAD.as_bytes())
    };
    assert_eq!(hand_in(Some(&bearer(TENANT_TOKEN))).status, 201);
    assert_eq!(hand_in(Some(&bearer(ADMIN_TOKEN))).status, 201);
    let mut bodies = Vec::new();
    for wrong in [
        None,
        Some("Bearer "),
        Some("Bearer canary-tenant-toke"),
        Some("Bearer canary-tenant-token2"),
        Some("Basic canary-tenant-token"),
        Some("Bearer {secret:acme_api}"),
    ] {
        let reply = hand_in(wrong);
        let mut problem = reply.assert_problem(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        problem["request_id"].take();
        bodies.push(problem);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "one uniform answer");
    assert_eq!(running.store.conversions_len(), 2);
}

#[test]
fn the_body_must_be_json() {
    let running = Running::start();
    let token = bearer(TENANT_TOKEN);
    let headers =
        [("authorization", &*token), ("content-type", "application/x-www-form-urlencoded")];
    let reply = running.public("POST", "/api/acme/conversions", &headers, b"type=lead");
    reply.assert_problem(415, "unsupported_media_type");
    let reply = running.public("POST", "/api/other/conversions", &headers[..1], b"");
    reply.assert_problem(404, "unknown_tenant");
}
