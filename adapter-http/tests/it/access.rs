//! Who may ask the admin listener, and what failures cost.

use crate::harness::{ADMIN_TOKEN, Running, TENANT_TOKEN, bearer, document, send};

/// Every operation of the admin listener that needs a token, with a path that could be answered.
fn guarded() -> Vec<(String, String)> {
    let mut guarded = Vec::new();
    for (template, item) in document()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_admin = operation["tags"][0] == "admin";
            if is_admin && operation["security"][0]["adminToken"].is_array() {
                let path = template.replace("{tenant}", "acme").replace(['{', '}'], "");
                guarded.push((method.to_ascii_uppercase(), path));
            }
        }
    }
    guarded
}

#[test]
fn every_admin_operation_needs_the_admin_token() {
    let running = Running::with(|config| config.limits.failures_per_second_max = 1000);
    assert!(guarded().len() >= 10);
    for (method, path) in guarded() {
        let wrong = bearer(TENANT_TOKEN);
        for headers in [&[][..], &[("authorization", &*wrong)]] {
            let reply = send(running.admin, &method, &path, headers, b"");
            reply.assert_problem(401, "unauthorized");
        }
        // The token in the query is no token.
        let target = format!("{path}?token={ADMIN_TOKEN}");
        let reply = send(running.admin, &method, &target, &[], b"");
        reply.assert_problem(401, "unauthorized");
    }
}

#[test]
fn too_many_failures_of_an_address_are_429_until_the_second_is_over() {
    let running = Running::with(|config| config.limits.failures_per_second_max = 3);
    let path = "/api/acme/conversions";
    let ask = |token: &str| {
        let token = bearer(token);
        send(running.admin, "GET", path, &[("authorization", &*token)], b"")
    };
    // Failures across the turn of a second start a new count: more than enough make it certain.
    let reply = (0..100).map(|_| ask("wrong")).find(|reply| reply.status == 429);
    let reply = reply.expect("a limit");
    reply.assert_problem(429, "too_many_failures");
    assert_eq!(reply.header("retry-after"), Some("1"));
    // Waiting as told is enough.
    let passed = (0..30).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ask(ADMIN_TOKEN).status == 200
    });
    assert!(passed);
}
