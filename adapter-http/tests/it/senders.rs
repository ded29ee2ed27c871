//! Who may send postbacks, over real sockets: what passes, and the one answer to what does not.

use std::time::{SystemTime, UNIX_EPOCH};

use counterfoil_core::{Reason, SigningKey};
use counterfoil_http::RefusalRows;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{
    harness::{
        ADMIN_TOKEN, RULES, Reply, Running, SHOP_KEY, SHOP_TOKEN, SHOP_WEBHOOK, bearer, send,
    },
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
fn more_requests_of_a_credential_than_it_may_send_are_429_and_leave_no_rows() {
    let running = Running::of(&format!("{RULES}{GUARDED}"), |config| {
        config.limits.requests_per_credential_max = Some(3);
    });
    let get = |query: &str| running.get(&format!("{HANDLE}?type=sale&{query}"));
    let by_token = format!("token={SHOP_TOKEN}");
    let replies: Vec<Reply> = (0..100).map(|_| get(&by_token)).collect();
    let (taken, cut): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(taken.len() >= 3, "{}", taken.len());
    assert!(!cut.is_empty());
    cut[0].assert_problem(429, "too_many_requests");
    assert_eq!(cut[0].header("retry-after"), Some("1"));
    assert_eq!(running.store.log().len(), taken.len());
    // Who shows nothing has no credential, and one that has failed spends nobody's.
    assert_eq!(get("id=secure").status, 403);
    assert_eq!(get("token=wrong").status, 401);
    let ask = || {
        let token = bearer(ADMIN_TOKEN);
        send(running.admin, "GET", "/api/acme/requests", &[("authorization", &*token)], b"")
    };
    assert!((0..20).all(|_| ask().status == 200));
}

/// What is refused before anything stored is looked at, by reason.
const JUNK: [(&str, &str); 7] = [
    ("unauthorized", "/api/acme/postbacks/handle?type=sale&token=canary-wrong"),
    ("malformed", "/api/acme/postbacks/handle?id=strict&value=%FF"),
    ("unknown_postback", "/api/acme/postbacks/handle?id=nowhere"),
    ("unknown_postback", "/api/acme/postbacks/nowhere"),
    ("unresolved_macro", "/api/acme/postbacks/handle?id=strict&pcid=%7Bpcid%7D"),
    (
        "type_required",
        "/api/acme/pixel.gif?id=strict&action=create&advertiser_id=shoply&external_id=1",
    ),
    ("unknown_offer", "/c/acme/nowhere/bo"),
];

const FEW_ROWS: RefusalRows =
    RefusalRows { per_address_at_once: 5, per_address_per_second: 0, at_once: 8, per_second: 0 };

/// A flood of junk is told what it always is and leaves a few rows; whoever means well has each of
/// theirs.
#[test]
fn a_flood_of_junk_leaves_few_rows_and_hides_nothing_of_others() {
    for (reason, target) in JUNK {
        let running = Running::of(&format!("{RULES}{GUARDED}"), |config| {
            config.limits.failures_per_second_max = 1000;
            config.limits.refusal_rows = FEW_ROWS;
            config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        });
        let from =
            |address: &str| running.public("GET", target, &[("x-forwarded-for", address)], b"");
        let told = |reply: &Reply| {
            let body = reply.json();
            let id = body["request_id"].as_str().unwrap().to_owned();
            (reply.status, reply.text().replace(&id, ""), id)
        };
        let flood: Vec<Reply> = (0..20).map(|_| from("203.0.113.1")).collect();
        if reason != "type_required" {
            let first = told(&flood[0]);
            for reply in &flood {
                let (status, text, _) = told(reply);
                assert_eq!((status, &text), (first.0, &first.1), "{target}");
            }
            let row = |id: &str| running.admin_get(&format!("/api/acme/requests/{id}")).status;
            assert_eq!((row(&first.2), row(&told(&flood[19]).2)), (200, 404), "{target}");
        }
        assert_eq!(running.store.log().len(), 5, "{target}");
        // Another address has what is left of all.
        for _ in 0..5 {
            from("203.0.113.2");
        }
        assert_eq!(running.store.log().len(), 8, "{target}");
        let metrics = send(running.admin, "GET", "/metrics", &[], b"");
        let text = metrics.text();
        let line = format!("counterfoil_requests_unlogged_total{{reason=\"{reason}\"}} 17");
        assert!(text.contains(&line), "{target}: {text}");
        // Those without a row are counted among all, too.
        let all = format!("outcome=\"refused\",reason=\"{reason}\"}} 25");
        let is_of_all = |line: &str| line.starts_with("counterfoil_requests_total{");
        assert!(text.lines().any(|line| is_of_all(line) && line.ends_with(&all)), "{text}");
        // What looks at what is stored has its row, refused or not, and so has who shows a token.
        let pcid = running.click();
        let of_nobody = "advertiser_id=shoply&external_id=none&id=strict";
        running.get(&format!("{HANDLE}?{of_nobody}"));
        running.get(&format!("{HANDLE}?pcid={pcid}&type=sale&token={SHOP_TOKEN}"));
        running.hand_in(r#"{"type":"lead","source":"api","offer_id":"x","affiliate_id":"bo"}"#);
        assert_eq!(running.store.log().len(), 8 + 4, "{target}");
    }
}

/// What is refused of those who have proved who they are has its row, however much it is. That a
/// request came over TLS proves of nobody who it is.
#[test]
fn who_has_proved_something_has_a_row_of_every_refusal() {
    let wrong = "type=sale&value=1,5";
    let by_token = format!("{wrong}&token={SHOP_TOKEN}");
    let signed_query = format!("id=signed&{wrong}&ts={}", now_s());
    for (target, rows) in [
        (format!("{HANDLE}?{by_token}"), 20),
        (format!("/api/acme/pixel.gif?{by_token}"), 20),
        (signed(&signed_query, SHOP_KEY), 20),
        (format!("{HANDLE}?id=near&{wrong}"), 20),
        (format!("{HANDLE}?id=secure&{wrong}"), 5),
        (format!("{HANDLE}?id=strict&{wrong}"), 5),
    ] {
        let running = Running::of(&format!("{RULES}{GUARDED}"), |config| {
            config.limits.refusal_rows = FEW_ROWS;
            config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        });
        let headers = [("x-forwarded-for", "203.0.113.1"), ("x-forwarded-proto", "https")];
        for _ in 0..20 {
            running.public("GET", &target, &headers, b"");
        }
        let log = running.store.log();
        assert_eq!(log.len(), rows, "{target}");
        let is_told = |reason: Option<Reason>| reason == Some(Reason::InvalidAmount);
        assert!(log.iter().all(|row| is_told(row.reason)), "{target}");
    }
}

#[test]
fn how_far_clocks_of_senders_are_off_is_measured() {
    let running = guarded();
    let pcid = running.click();
    let by = |at: i64| {
        running.get(&signed(&format!("id=signed&pcid={pcid}&type=sale&ts={at}"), SHOP_KEY)).status
    };
    assert_eq!([by(now_s() - 20), by(now_s() + 20), by(now_s() - 1000)], [200, 200, 401]);
    let metrics = send(running.admin, "GET", "/metrics", &[], b"");
    let has = |accepted: &str, clock: &str, le: &str| {
        let labels = format!("le=\"{le}\",accepted=\"{accepted}\",clock=\"{clock}\"");
        let line = format!("counterfoil_sender_skew_seconds_bucket{{{labels}}} 1");
        assert!(metrics.text().contains(&line), "{line}: {}", metrics.text());
    };
    has("true", "behind", "30.0");
    has("true", "ahead", "30.0");
    has("false", "behind", "3600.0");
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
