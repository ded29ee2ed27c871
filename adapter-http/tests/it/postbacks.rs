//! Inbound postbacks over HTTP: answers, bodies, methods, and what a sender sees when we fail.

use counterfoil_core::{Incoming, decode};
use serde_json::json;

use crate::{
    harness::{RULES, Running, send},
    memory::Mood,
};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
const HANDLE: &str = "/api/acme/postbacks/handle";

#[test]
fn a_create_a_repeat_and_a_refusal_are_all_answered_200() {
    let running = Running::start();
    let pcid = running.click();
    let target = format!("{HANDLE}?pcid={pcid}&type=sale&external_id=o1&value=100");

    let first = running.get(&target);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), Some("application/json"));
    let first = first.json();
    assert_eq!(first["outcome"], "created");
    assert_eq!(first["type"], "sale");
    assert_eq!(first["transactions"][0]["commission_id"], "tenth");
    assert_eq!(first["transactions"][0]["result"], "pending");
    assert_eq!(first["events"], json!(["conversion.created", "transaction.created"]));
    assert_eq!(first["notes"], json!([]));
    assert!(first["request_id"].is_string());
    assert!(!first.to_string().contains("10.00"), "no amounts");

    let repeat = running.get(&target);
    assert_eq!(repeat.status, 200);
    let repeat = repeat.json();
    assert_eq!(repeat["outcome"], "duplicate");
    assert_eq!(repeat["reason"], "duplicate");
    assert_eq!(repeat["conversion_id"], first["conversion_id"]);

    let refused = running.get(&format!("{HANDLE}?type=sale"));
    assert_eq!(refused.status, 200);
    let refused = refused.json();
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(refused["reason"], "missing_identifier");
    assert!(refused["message"].is_string());
}

/// The texts that senders look for are the dialect's, whatever definition decides.
#[test]
fn dialects_answer_in_their_own_words() {
    let running = Running::start();
    let pcid = running.click();
    let short = pcid.replace('-', "").split_off(20);
    let text = Some("text/plain; charset=utf-8");
    for (dialect, query, wanted) in [
        ("tune", format!("transaction_id={pcid}&amount=1"), "success=true;"),
        (
            "tune",
            format!("transaction_id={pcid}&amount=1"),
            "success=false; err_msg=Duplicate conversion;",
        ),
        (
            "tune",
            format!("transaction_id={short}"),
            &*format!("success=false; err_msg=`transaction_id` cannot be `{short}`;"),
        ),
        ("keitaro", format!("subid={pcid}"), "Success"),
        ("keitaro", format!("subid={pcid}&return=OK&tid=2"), "OK"),
        ("keitaro", "return=OK".to_owned(), "Error: nothing says which conversion is meant"),
    ] {
        let reply = running.get(&format!("/api/acme/postbacks/{dialect}?{query}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, text), "{query}");
        assert_eq!(reply.text(), wanted, "{query}");
    }
    for (dialect, query) in [
        ("pushground", format!("click_id={pcid}&payout=x")),
        ("peerclick", format!("cid={pcid}&event1=x")),
        ("unheard", "type=sale".to_owned()),
    ] {
        let reply = running.get(&format!("/api/acme/postbacks/{dialect}?{query}"));
        assert_eq!(reply.status, 200, "{query}");
        assert_eq!(reply.json()["outcome"], "refused", "{query}");
    }
}

/// What a sender wrote is never more than text in the answer that the rules chose.
#[test]
fn a_dialect_of_the_rules_answers_as_they_say() {
    let own = r#"
[[dialect]]
id = "acmetrack"
default_type = "sale"
names = { click = "pcid", total = "value" }
[dialect.answer]
success = "<ok/>"
duplicate = "<seen/>"
refusal = "<no>{message}</no>"
content_type = "text/xml"

[[dialect]]
id = "acmejson"
extends = "acmetrack"
answer = { success = '{"ok":1}', refusal = '{"no":"{message}"}', content_type = "application/json" }

[[dialect]]
id = "acmeplain"
extends = "acmetrack"
answer = { success = "OK", success_param = "say" }

[[dialect]]
id = "acmetrack-outcome"
extends = "acmetrack"
answer = "json"
"#;
    let running = Running::of(&format!("{RULES}{own}"), |_| {});
    let pcid = running.click();
    let xml = "text/xml; charset=utf-8";
    let plain = "text/plain; charset=utf-8";
    let nasty = "%3Ca%22%3E";
    for (dialect, query, media_type, wanted) in [
        ("acmetrack", format!("click={pcid}&total=1"), xml, "<ok/>"),
        ("acmetrack", format!("click={pcid}&total=1"), xml, "<seen/>"),
        (
            "acmetrack",
            format!("click={nasty}"),
            xml,
            "<no>`click` cannot be `&lt;a&quot;&gt;`</no>",
        ),
        (
            "acmejson",
            format!("click={nasty}"),
            "application/json",
            r#"{"no":"`click` cannot be `<a\">`"}"#,
        ),
        ("acmejson", format!("click={pcid}"), "application/json", r#"{"ok":1}"#),
        ("acmeplain", format!("click={pcid}&say=YES"), plain, "OK"),
        ("acmeplain", "click=x".to_owned(), plain, "`click` cannot be `x`"),
    ] {
        let reply = running.get(&format!("/api/acme/postbacks/{dialect}?{query}"));
        assert_eq!(
            (reply.status, reply.header("content-type")),
            (200, Some(media_type)),
            "{query}"
        );
        assert_eq!(reply.text(), wanted, "{query}");
    }
    let reply = running.get(&format!("/api/acme/postbacks/acmetrack-outcome?click={pcid}"));
    assert_eq!(reply.json()["outcome"], "duplicate");
}

#[test]
fn query_and_body_are_one_set_of_parameters() {
    let running = Running::start();
    let pcid = running.click();
    let form = format!("pcid={pcid}&external_id=form");
    let reply = running.public("POST", &format!("{HANDLE}?type=sale"), &[FORM], form.as_bytes());
    assert_eq!(reply.json()["outcome"], "created");

    let body = json!({ "pcid": pcid, "external_id": "json", "value": 12.50, "type": null });
    let body = body.to_string();
    let target = format!("{HANDLE}?type=sale");
    let reply = running.public("POST", &target, &[JSON], body.as_bytes());
    assert_eq!(reply.json()["outcome"], "created");

    let reply = running.public("POST", &format!("{HANDLE}?type=lead"), &[FORM], b"type=sale");
    assert_eq!(reply.json()["reason"], "conflicting_parameters");

    // Without a body, no media type is needed.
    let reply = running.public("POST", &format!("{HANDLE}?pcid={pcid}&type=sale"), &[], b"");
    assert_eq!(reply.json()["outcome"], "created");
}

#[test]
fn without_a_body_its_media_type_says_nothing() {
    let running = Running::start();
    let target = format!("/api/acme/postbacks/handle?pcid={}&type=sale", running.click());
    for media_type in ["text/plain", "application/xml", "application/json; charset=latin1"] {
        for method in ["GET", "POST"] {
            let reply = running.public(method, &target, &[("content-type", media_type)], b"");
            assert_eq!(reply.json()["outcome"], "created", "{method} {media_type}");
        }
    }
}

#[test]
fn a_body_of_another_kind_is_415() {
    let running = Running::start();
    for headers in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/toml")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[],
    ] {
        let reply = running.public("POST", HANDLE, headers, b"type=sale");
        reply.assert_problem(415, "unsupported_media_type");
    }
    assert!(running.store.log().is_empty(), "nothing was processed");
}

#[test]
fn what_cannot_be_read_is_logged_and_answered_like_any_refusal() {
    let running = Running::start();
    let cases = [
        (format!("{HANDLE}?type=%FF"), "malformed"),
        (format!("{HANDLE}?id=nowhere"), "unknown_postback"),
        ("/api/acme/postbacks/klingon?type=sale".to_owned(), "unknown_postback"),
        (format!("{HANDLE}?pcid=x&type=sale"), "invalid_identifier"),
    ];
    for (nth, (target, reason)) in cases.into_iter().enumerate() {
        let reply = running.get(&target);
        assert_eq!((reply.status, &reply.json()["reason"]), (200, &json!(reason)), "{target}");
        let log = running.store.log();
        assert_eq!(log.len(), nth + 1, "{target} is logged");
        assert_eq!(json!(log[nth].id), reply.json()["request_id"], "{target}");
    }
    // Nothing is near: the dialects that there are say what is meant by the path.
    let hint = running.get("/api/acme/postbacks/klingon?type=sale").json()["hint"].to_string();
    assert!(hint.contains("`handle`") && hint.contains("`pushground`"), "{hint}");
}

#[test]
fn a_strict_definition_answers_422_once_it_is_known() {
    let running = Running::start();
    let status = |query: &str| running.get(&format!("{HANDLE}?{query}")).status;
    let elsewhere = running.click();
    // Refused while values are read, and refused by a condition.
    assert_eq!(status("id=strict&pcid=x&type=sale"), 422);
    assert_eq!(status(&format!("id=strict&pcid={elsewhere}&type=sale")), 422);
    // Refused before any definition is known.
    assert_eq!(status("id=strict&pcid=%FF"), 200);
    assert_eq!(status("id=other&pcid=x"), 200);

    let pcid = running.click_on("shoply-cz");
    let create = format!("id=strict&pcid={pcid}&type=sale&external_id=1");
    assert_eq!(status(&create), 200);
    assert_eq!(status(&create), 200, "a duplicate is no refusal");
}

#[test]
fn the_native_dialect_has_a_path_of_its_own() {
    let running = Running::start();
    // The first definition of the dialect decides (R13), and it asks for this offer.
    let pcid = running.click_on("shoply-cz");
    let target = format!("/api/acme/postbacks/native?pcid={pcid}&type=sale");
    assert_eq!(running.get(&target).json()["outcome"], "created");
    let reply = running.public("POST", &target, &[FORM], b"value=1");
    assert_eq!(reply.json()["outcome"], "created");
}

#[test]
fn a_pixel_answers_a_picture_whatever_the_outcome() {
    let running = Running::start();
    let pcid = running.click();
    for (query, outcome) in [
        (format!("pcid={pcid}&type=sale"), "created"),
        ("type=sale".to_owned(), "refused"),
        ("type=%FF".to_owned(), "refused"),
    ] {
        let reply = running.get(&format!("/api/acme/pixel.gif?{query}"));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("image/gif"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.body.starts_with(b"GIF89a\x01\0\x01\0"));
        assert_eq!((reply.body.len(), reply.body.last()), (43, Some(&b';')));
        let row = running.store.log().pop().unwrap();
        assert_eq!((row.method.name(), row.outcome.name()), ("pixel", outcome));
    }
}

#[test]
fn head_and_other_methods_are_405_and_have_no_effect() {
    let running = Running::start();
    let pcid = running.click();
    let before = running.store.log().len();
    let query = format!("?pcid={pcid}&type=sale");
    let cases = [
        ("HEAD", HANDLE, "GET, POST"),
        ("PUT", HANDLE, "GET, POST"),
        ("OPTIONS", HANDLE, "GET, POST"),
        ("DELETE", "/api/acme/postbacks/native", "GET, POST"),
        ("HEAD", "/api/acme/pixel.gif", "GET"),
        ("POST", "/api/acme/pixel.gif", "GET"),
        ("HEAD", "/c/acme/plain/bo", "GET"),
        ("POST", "/c/acme/plain/bo", "GET"),
        ("GET", "/api/acme/conversions", "POST"),
    ];
    for (method, path, allowed) in cases {
        let reply = running.public(method, &format!("{path}{query}"), &[], b"");
        assert_eq!(reply.status, 405, "{method} {path}");
        assert_eq!(reply.header("allow"), Some(allowed), "{method} {path}");
        if method != "HEAD" {
            reply.assert_problem(405, "method_not_allowed");
        }
    }
    assert_eq!(running.store.log().len(), before);
}

#[test]
fn unknown_paths_and_tenants_are_404() {
    let running = Running::start();
    for path in ["/", "/api", "/api/acme/postbacks", "/api/acme/postbacks/handle/", "/healthz"] {
        running.get(path).assert_problem(404, "unknown_path");
    }
    for path in [
        "/api/other/postbacks/handle?type=sale",
        "/api/other/pixel.gif",
        "/c/other/plain/bo",
        "/api/%61cme/postbacks/handle",
    ] {
        running.get(path).assert_problem(404, "unknown_tenant");
    }
    assert!(running.store.log().is_empty());
}

#[test]
fn where_nothing_can_be_stored_every_route_answers_503_and_says_when_to_come_again() {
    let running = Running::start();
    let pcid = running.click();
    let stored = running.store.conversions_len();
    let moods =
        [(Mood::Busy, "busy"), (Mood::Full, "unavailable"), (Mood::Forgetful, "unavailable")];
    for (mood, code) in moods {
        running.store.set_mood(mood);
        let query = format!("pcid={pcid}&type=sale");
        for reply in [
            running.get(&format!("{HANDLE}?{query}")),
            running.get(&format!("/api/acme/pixel.gif?{query}")),
            running.get("/c/acme/plain/bo"),
            running.hand_in(
                r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo"}"#,
            ),
        ] {
            reply.assert_problem(503, code);
            assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        }
    }
    running.store.set_mood(Mood::Well);
    assert_eq!(running.store.conversions_len(), stored);
    assert_eq!(running.get(&format!("{HANDLE}?pcid={pcid}&type=sale")).status, 200);
}

#[test]
fn secrets_of_a_postback_reach_the_log_masked() {
    let running = Running::start();
    running.get(&format!("{HANDLE}?token=canary-value&type=sale&sig=canary-value"));
    running.get(&format!("{HANDLE}?token=canary-value&type=%FF"));
    for row in running.store.log() {
        assert!(!row.query.contains("canary"), "{}", row.query);
    }
    assert_eq!(running.store.log()[0].remote_addr.as_deref(), Some("127.0.0.1"));
}

#[test]
fn several_workers_answer_like_one() {
    let running = Running::with(|config| config.workers = 3);
    let pcid = running.click();
    let target = format!("{HANDLE}?pcid={pcid}&type=sale&external_id=same");
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (address, target) = (running.public, target.clone());
            std::thread::spawn(move || send(address, "GET", &target, &[], b"").json())
        })
        .collect();
    let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let created = answers.iter().filter(|answer| answer["outcome"] == "created");
    assert_eq!(created.count(), 1);
    let ids = answers.iter().map(|answer| &answer["conversion_id"]);
    assert!(ids.clone().all(|id| Some(id) == ids.clone().next()));
}

#[test]
fn what_a_log_row_keeps_is_enough_to_read_the_request_again() {
    let running = Running::start();
    let json = br#"{"note":"a & b = c","value":1.50}"#;
    running.public("POST", &format!("{HANDLE}?type=sale&pcid=x&email=a%2Bb%40c"), &[JSON], json);
    running.get("/c/acme/plain/bo?affs1=a%20b&channel=mail");
    running.hand_in(
        r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo",
            "params":{"city":"Brno & Praha"}}"#,
    );
    let pairs = |row: &counterfoil_core::view::RequestView| {
        let incoming =
            Incoming { method: row.method, dialect: None, query: &row.query, body: None };
        let pairs = decode(&incoming).unwrap().into_iter();
        let pairs = pairs.map(|(name, value)| format!("{name}: {value}"));
        pairs.collect::<Vec<String>>()
    };
    let kept: Vec<_> = running.store.log().iter().map(pairs).collect();
    let postback = ["type: sale", "pcid: x", "email: a+b@c", "note: a & b = c", "value: 1.50"];
    assert_eq!(kept[0], postback);
    assert_eq!(kept[1], ["affs1: a b", "channel: mail"]);
    assert!(kept[2].contains(&"type: lead".to_owned()), "{:?}", kept[2]);
    assert!(kept[2].contains(&"param.city: Brno & Praha".to_owned()), "{:?}", kept[2]);
}
