//! Who may send postbacks, over real sockets: what passes, and the one answer to what does not.

use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_core::SigningKey;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    harness::{RULES, Reply, Running, SHOP_KEY, SHOP_TOKEN, SHOP_WEBHOOK, bearer, send},
    logged::logged,
};

const HANDLE: &str = "/api/acme/postbacks/handle";

/// Definitions with different proofs, and none that anyone may use.
const GUARDED: &str = r#"
[[postback]]
id = "global"
auth.tokens = ["{secret:missing}", "{secret:shop_token}"]

[[postback]]
id = "signed"
auth.signed_query.secrets = ["{secret:shop_key}"]

[[postback]]
id = "webhook"
auth.standard_webhooks.secrets = ["{secret:shop_webhook}"]

[[postback]]
id = "near"
auth.addresses = ["203.0.113.0/24"]

[[postback]]
id = "secure"
https_only = true

[[postback]]
id = "lost"
auth.tokens = ["{secret:missing}"]
"#;

fn guarded() -> Running {
    behind(&[])
}

fn behind(proxies: &[&str]) -> Running {
    Running::of(&format!("{RULES}{GUARDED}"), |config| {
        config.limits.failures_per_second_max = 1000;
        config.trusted_proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
    })
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

fn signed(query: &str, key: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap().chain_update(query);
    let digits: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{HANDLE}?{query}&sig={digits}")
}

/// POSTs a JSON body with the headers of Standard Webhooks.
fn webhook(running: &Running, target: &str, body: &str, signed_body: &str) -> Reply {
    let at = now_s();
    let signature = SigningKey::parse(SHOP_WEBHOOK).unwrap().sign("m1", at, signed_body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "m1"),
        ("webhook-timestamp", &at.to_string()),
        ("webhook-signature", &signature),
    ];
    running.public("POST", target, &headers, body.as_bytes())
}

/// The newest row of the log.
fn newest(running: &Running) -> Value {
    let reply = running.admin_get("/api/acme/requests?limit=1");
    reply.json()["items"][0].clone()
}

#[test]
fn who_proves_what_is_asked_for_is_let_in() {
    let running = guarded();
    let pcid = running.click();
    let sale = format!("{HANDLE}?pcid={pcid}&type=sale&value=1");
    let created = |reply: Reply| {
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["outcome"], "created");
    };
    let token = bearer(SHOP_TOKEN);
    created(running.public("GET", &sale, &[("authorization", &token)], b""));
    created(running.get(&format!("{sale}&token={SHOP_TOKEN}")));
    let query = format!("id=signed&pcid={pcid}&type=sale&ts={}", now_s());
    created(running.get(&signed(&query, SHOP_KEY)));
    let body = format!(r#"{{"pcid":"{pcid}","type":"sale","value":"2"}}"#);
    created(webhook(&running, &format!("{HANDLE}?id=webhook"), &body, &body));
    let pixel =
        running.get(&format!("/api/acme/pixel.gif?pcid={pcid}&type=sale&token={SHOP_TOKEN}"));
    assert_eq!((pixel.status, pixel.header("content-type")), (200, Some("image/gif")));
    assert_eq!(running.store.conversions_len(), 6);
}

/// Every way to fail, with what the log says of it.
fn failures(running: &Running, pcid: &str) -> Vec<(Reply, &'static str)> {
    let sale = format!("pcid={pcid}&type=sale&value=1");
    let get = |query: &str| running.get(&format!("{HANDLE}?{sale}&{query}"));
    let wrong = bearer("canary-wrong");
    let in_header = [("authorization", &*wrong)];
    let now = now_s();
    let by = |key: &str, at: i64| running.get(&signed(&format!("id=signed&{sale}&ts={at}"), key));
    let to_webhook = format!("{HANDLE}?id=webhook");
    let body = format!(r#"{{"pcid":"{pcid}","type":"sale"}}"#);
    vec![
        (get(""), "there is no token"),
        (get("token=canary-wrong"), "token is none"),
        (running.public("GET", &format!("{HANDLE}?{sale}"), &in_header, b""), "token is none"),
        (get("commission=never-looked-at"), "there is no token"),
        (running.get(&format!("/api/acme/pixel.gif?{sale}")), "there is no token"),
        (get("id=lost&token=x"), "no secret can be had"),
        (get("id=signed"), "is not signed"),
        (by("canary-other-key", now), "signature of the query is not right"),
        (by(SHOP_KEY, now - 400), "too far from now"),
        (by(SHOP_KEY, now + 400), "too far from now"),
        (webhook(running, &to_webhook, &body, "{}"), "no signature in `webhook-signature`"),
        (webhook(running, &format!("{to_webhook}&value=9"), &body, &body), "only `id` and `token`"),
        (get("id=webhook"), "no message signed"),
        (get("id=near"), "address of the sender"),
        (get("id=secure"), "did not come over https"),
    ]
}

#[test]
fn every_failure_is_answered_alike_and_told_apart_in_the_log_alone() {
    let running = guarded();
    let pcid = running.click();
    let mut bodies = Vec::new();
    for (reply, _) in failures(&running, &pcid) {
        let problem = reply.json();
        let id = problem["request_id"].as_str().unwrap().to_owned();
        let status = problem["status"].as_u64().unwrap();
        assert_eq!(u64::from(reply.status), status);
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
        bodies.push((status, reply.text().replace(&id, "")));
    }
    // Those of a definition that takes credentials, and those that come the wrong way.
    let (proofs, ways): (Vec<_>, Vec<_>) =
        bodies.into_iter().partition(|(status, _)| *status == 401);
    assert_eq!((proofs.len(), ways.len()), (13, 2));
    assert!(proofs.iter().all(|body| *body == proofs[0]), "{proofs:?}");
    assert!(ways.iter().all(|body| *body == ways[0]), "{ways:?}");
    assert!(proofs[0].1.contains("\"code\":\"unauthorized\""));
    assert_eq!(running.store.conversions_len(), 1, "the click alone");
}

#[test]
fn the_log_says_what_failed() {
    let running = guarded();
    let pcid = running.click();
    for (reply, message) in failures(&running, &pcid) {
        let id = reply.json()["request_id"].as_str().unwrap().to_owned();
        let row = running.admin_get(&format!("/api/acme/requests/{id}")).json();
        assert_eq!(row["outcome"], "refused");
        assert_eq!(row["reason"], "unauthorized");
        assert!(row["message"].as_str().unwrap().contains(message), "{row} {message}");
    }
    let metrics = send(running.admin, "GET", "/metrics", &[], b"");
    let counted = |line: &&str| line.starts_with("counterfoil_requests_total{");
    let counted: Vec<&str> = metrics.text().lines().filter(counted).collect();
    let is_told = |method: &str, count: u64| {
        let of_method = format!("method=\"{method}\"");
        let mut lines = counted.iter().filter(|line| line.contains("reason=\"unauthorized\""));
        lines.any(|line| line.contains(&of_method) && line.ends_with(&format!(" {count}")))
    };
    assert!(is_told("s2s", 14) && is_told("pixel", 1), "{counted:?}");
}

#[test]
fn definitions_are_listed_with_what_they_ask_for() {
    let list = guarded().admin_get("/api/acme/postbacks").json();
    let asked = |id: &str| {
        let mut items = list["items"].as_array().unwrap().iter();
        items.find(|item| item["id"] == id).unwrap()["auth"].to_string()
    };
    assert_eq!(asked("global"), r#"["tokens"]"#);
    assert_eq!(asked("secure"), r#"["https_only"]"#);
    assert_eq!(asked("strict"), "[]");
}

#[test]
fn proof_comes_before_values_and_after_the_definition() {
    let running = guarded();
    let reason = |query: &str| running.get(&format!("{HANDLE}?{query}")).json()["reason"].clone();
    let token = format!("token={SHOP_TOKEN}");
    assert_eq!(reason("id=nowhere&value=x"), "unknown_postback");
    running.get(&format!("{HANDLE}?value=x&pcid=%7Bpcid%7D")).assert_problem(401, "unauthorized");
    assert_eq!(reason(&format!("value=x&{token}")), "invalid_amount");
    assert_eq!(reason(&format!("pcid=%7Bpcid%7D&value=x&{token}")), "unresolved_macro");
}

#[test]
fn an_address_is_the_connections_unless_a_proxy_is_trusted() {
    let near = |running: &Running, headers: &[(&str, &str)]| {
        let pcid = running.click();
        let target = format!("{HANDLE}?pcid={pcid}&type=sale&id=near");
        let status = running.public("GET", &target, headers, b"").status;
        (status, newest(running)["remote_addr"].as_str().unwrap().to_owned())
    };
    let forwarded = [("x-forwarded-for", "203.0.113.9")];
    // Nobody is trusted: the header is anybody's.
    let running = guarded();
    assert_eq!(near(&running, &forwarded), (403, "127.0.0.1".to_owned()));
    let running = behind(&["127.0.0.0/8", "10.0.0.0/8"]);
    assert_eq!(near(&running, &[]), (403, "127.0.0.1".to_owned()));
    assert_eq!(near(&running, &forwarded), (200, "203.0.113.9".to_owned()));
    let chain = [("x-forwarded-for", "192.0.2.1, 203.0.113.9, 10.1.1.1")];
    assert_eq!(near(&running, &chain), (200, "203.0.113.9".to_owned()));
    let spoofed = [("x-forwarded-for", "203.0.113.9, 192.0.2.1")];
    assert_eq!(near(&running, &spoofed), (403, "192.0.2.1".to_owned()));
    assert_eq!(near(&running, &[("forwarded", "for=203.0.113.9")]).0, 403);
}

#[test]
fn only_a_trusted_proxy_says_that_it_was_asked_over_tls() {
    let secure = |running: &Running| {
        let pcid = running.click();
        let target = format!("{HANDLE}?pcid={pcid}&type=sale&id=secure");
        running.public("GET", &target, &[("x-forwarded-proto", "https")], b"").status
    };
    assert_eq!(secure(&guarded()), 403);
    assert_eq!(secure(&behind(&["127.0.0.1/32"])), 200);
}

#[test]
fn a_flood_of_failures_is_429_and_leaves_no_rows() {
    let running = Running::of(&format!("{RULES}{GUARDED}"), |config| {
        config.limits.failures_per_second_max = 3;
    });
    let long = "x".repeat(2000);
    let replies: Vec<Reply> = (0..100)
        .map(|_| running.get(&format!("{HANDLE}?type=sale&token=wrong&note={long}")))
        .collect();
    let (told, cut): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 401);
    assert!(!cut.is_empty());
    cut[0].assert_problem(429, "too_many_failures");
    assert_eq!(cut[0].header("retry-after"), Some("1"));
    let rows = running.store.log();
    assert_eq!(rows.len(), told.len());
    assert!(rows.iter().all(|row| row.query.len() <= 1024));
}

#[test]
fn no_secret_of_a_sender_stands_in_logs_answers_metrics_or_rows() {
    logged();
    let running = guarded();
    let pcid = running.click();
    let mut texts: Vec<String> =
        failures(&running, &pcid).iter().map(|(reply, _)| reply.text().to_owned()).collect();
    let sale = format!("{HANDLE}?pcid={pcid}&type=sale");
    texts.push(running.get(&format!("{sale}&token={SHOP_TOKEN}")).text().to_owned());
    texts.push(running.get(&format!("{sale}&token={SHOP_TOKEN}&value=%")).text().to_owned());
    texts.push(send(running.admin, "GET", "/metrics", &[], b"").text().to_owned());
    for path in ["requests", "conversions", "postbacks"] {
        texts.push(running.admin_get(&format!("/api/acme/{path}")).text().to_owned());
    }
    drop(running);
    texts.push(logged());
    let webhook_key = SHOP_WEBHOOK.strip_prefix("whsec_").unwrap();
    for text in texts {
        for secret in ["canary-wrong", SHOP_TOKEN, SHOP_KEY, webhook_key] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
    }
}
