//! No secret and no personal value reaches a log line, a log row, an answer or a metric (P10).

use crate::{
    harness::{ADMIN_TOKEN, Reply, Running, TENANT_TOKEN, bearer, send},
    logged::logged,
    memory::Mood,
};

/// Requests that carry secrets wherever a secret can stand; what was answered.
fn ask_everything(running: &Running) -> Vec<Reply> {
    let pcid = running.click();
    let secrets = "token=canary-query&sig=canary-sig&ts=1\
        &Token=canary-query&SECURE=canary-query&Sig=canary-sig\
        &email=canary@example.com\
        &note=call%20%2B420%20777%20000%20111&phone=777000111";
    let handle = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&{secrets}");
    let wrong = bearer("canary-wrong");
    let headers = [("authorization", &*wrong), ("content-type", "application/json")];
    let mut replies = vec![
        running.get(&handle),
        running.get(&format!("{handle}&currency=XYZ")),
        running.get(&format!("{handle}&value=canary@example.com&value=canary%40example.org")),
        running.get(&format!("{handle}&id=canary@example.com")),
        running.get(&format!("{handle}&result=canary%2540example.com")),
        running.get(&format!("{handle}&currency=%2B420777000111")),
        running.get(&format!("/api/acme/postbacks/voluum?cid={pcid}&et=canary@example.com")),
        running.get(&format!("/c/acme/nothing/bo?{secrets}&affs1=canary@example.com")),
        running.hand_in(
            r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo",
                "channel":"canary@example.com","params":{"mail":"canary@example.com"}}"#,
        ),
        running.hand_in(
            r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo",
                "affs":{"affs2":"canary@example.com"},"params":{"mail":"canary@example.com"}}"#,
        ),
        running.hand_in(
            r#"{"type":"lead","source":"api","offer_id":"plain","affiliate_id":"bo",
                "params":{"Token":"canary-query"}}"#,
        ),
        running.get(&format!("/api/acme/pixel.gif?{secrets}&type=%FF")),
        running.get(&format!("/c/acme/plain/bo?{secrets}&affs1=canary-aff")),
        running.get(&format!("/nowhere?{secrets}")),
        running.public("POST", "/api/acme/conversions", &headers, b"{}"),
        running.hand_in(r#"{"type":"lead","source":"api","offer_id":"x","affiliate_id":"bo"}"#),
        send(running.admin, "GET", "/api/acme/requests", &headers, b""),
        running.admin_get("/api/acme/nothing"),
    ];
    running.store.set_mood(Mood::Full);
    replies.push(running.get(&handle));
    running.store.set_mood(Mood::Well);
    replies.push(send(running.admin, "GET", "/metrics", &[], b""));
    replies
}

#[test]
fn secrets_and_personal_values_stand_in_no_log_line_and_no_answer() {
    logged();
    let running = Running::start();
    for reply in ask_everything(&running) {
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains("canary") && !text.contains("777000111"), "{text}");
    }
    for row in running.store.log() {
        let kept = [
            "canary-query",
            "canary-sig",
            ADMIN_TOKEN,
            TENANT_TOKEN,
            "example.com",
            "example.org",
            "777",
        ];
        assert!(!kept.iter().any(|secret| row.query.contains(secret)), "{}", row.query);
    }
    drop(running);
    let lines = logged();
    for expected in ["decided", "answered", "outcome=\"created\"", "failed to store a request"] {
        assert!(lines.contains(expected), "no `{expected}` in:\n{lines}");
    }
    let is_canary = |line: &&str| line.contains("canary") || line.contains("777000111");
    let canary = lines.lines().find(is_canary);
    assert_eq!(canary, None);
}
