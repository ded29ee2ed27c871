//! Health, metrics, version, and the OpenAPI document.

use crate::{
    harness::{Running, document, send},
    memory::Mood,
};

#[test]
fn health_readiness_and_version_need_no_token() {
    let running = Running::start();
    let get = |path| send(running.admin, "GET", path, &[], b"");
    assert_eq!(get("/healthz").text(), "ok\n");
    assert_eq!(get("/readyz").text(), "ready\n");
    assert_eq!(get("/version").json()["version"], env!("CARGO_PKG_VERSION"));
    get("/openapi.json").assert_problem(401, "unauthorized");
    assert_eq!(running.admin_get("/openapi.json").json()["openapi"], "3.1.0");

    running.store.set_mood(Mood::Full);
    assert_eq!(get("/healthz").status, 200, "it lives");
    let problem = get("/readyz").assert_problem(503, "not_ready");
    assert_eq!(problem["detail"], "the disk is full");
    assert!(get("/metrics").text().contains("counterfoil_ready 0\n"));
}

#[test]
fn metrics_count_requests_answers_and_connections_without_ids_or_secrets() {
    let running = Running::start();
    let pcid = running.click();
    let target = format!("/api/acme/postbacks/handle?pcid={pcid}&type=sale&external_id=canary-1");
    running.get(&target);
    running.get(&target);
    running.get("/api/acme/pixel.gif?type=canary-type&token=canary-token");
    running.get("/nowhere");
    let reply = send(running.admin, "GET", "/metrics", &[], b"");
    let media_type = reply.header("content-type").unwrap();
    assert!(media_type.starts_with("application/openmetrics-text"));
    let text = reply.text();
    for (method, outcome, reason) in [
        ("link", "created", ""),
        ("s2s", "created", ""),
        ("s2s", "duplicate", "duplicate"),
        ("pixel", "refused", "missing_identifier"),
    ] {
        let labels = format!(r#"method="{method}",outcome="{outcome}",reason="{reason}""#);
        let line = format!("counterfoil_requests_total{{{labels}}} 1");
        assert!(text.lines().any(|known| known == line), "no `{line}` in:\n{text}");
    }
    for line in [
        r#"counterfoil_answers_total{status="404"} 1"#,
        r#"counterfoil_answers_total{status="302"} 1"#,
        "counterfoil_decision_seconds_count 4",
        "counterfoil_ready 1",
        "counterfoil_queue_depth 3",
        "counterfoil_batches_total 2",
        "counterfoil_batched_requests_total 7",
        "counterfoil_batch_len_max 5",
        r#"counterfoil_commit_seconds_bucket{le="0.001"} 1"#,
        r#"counterfoil_commit_seconds_bucket{le="+Inf"} 2"#,
        "counterfoil_commit_seconds_sum 2.5",
        "counterfoil_batch_requests_count 2",
        r#"counterfoil_connections{listener="admin"} 1"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "no `{line}` in:\n{text}");
    }
    assert!(!text.contains("canary") && !text.contains(&pcid) && !text.contains("acme"));
}

#[test]
fn every_documented_operation_is_answered_and_no_other() {
    let running = Running::start();
    for (template, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let address = match operation["tags"][0].as_str().unwrap() {
                "public" => running.public,
                _ => running.admin,
            };
            let path = template.replace("{tenant}", "acme").replace(['{', '}'], "");
            let method = method.to_ascii_uppercase();
            let reply = send(address, &method, &path, &[], b"");
            assert_ne!(reply.status, 405, "{method} {path}");
            let unknown = reply.status == 404 && reply.json()["code"] == "unknown_path";
            assert!(!unknown, "{method} {path}");
            let reply = send(address, "PATCH", &path, &[], b"");
            assert_eq!(reply.status, 405, "PATCH {path}");
        }
    }
}
