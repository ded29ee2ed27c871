//! No secret reaches a log line, an answer or a metric (P10).

use crate::{
    harness::{ADMIN_TOKEN, Reply, Running, TENANT_TOKEN, bearer, send},
    logged::logged,
    memory::Mood,
};

/// Requests that carry secrets wherever a secret can stand; what was answered.
fn ask_everything(running: &Running) -> Vec<Reply> {
    let pcid = running.click();
    let secrets = "token=canary-query&sig=canary-sig&ts=1&email=canary@example.com";
    let handle = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&{secrets}");
    let wrong = bearer("canary-wrong");
    let headers = [("authorization", &*wrong), ("content-type", "application/json")];
    let mut replies = vec![
        running.get(&handle),
        running.get(&format!("{handle}&currency=XYZ")),
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
fn secrets_stand_in_no_log_line_and_no_answer() {
    logged();
    let running = Running::start();
    for reply in ask_everything(&running) {
        let text = String::from_utf8_lossy(&reply.body);
        assert!(!text.contains("canary"), "{text}");
    }
    for row in running.store.log() {
        let kept = ["canary-query", "canary-sig", ADMIN_TOKEN, TENANT_TOKEN];
        assert!(!kept.iter().any(|secret| row.query.contains(secret)), "{}", row.query);
    }
    drop(running);
    let lines = logged();
    for expected in ["decided", "answered", "outcome=\"created\"", "failed to store a request"] {
        assert!(lines.contains(expected), "no `{expected}` in:\n{lines}");
    }
    let canary = lines.lines().find(|line| line.contains("canary"));
    assert_eq!(canary, None);
}
