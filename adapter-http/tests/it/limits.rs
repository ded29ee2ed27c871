//! Every limit of what a request may be, at its edge.

use std::{io::Write, time::Duration};

use crate::{
    harness::{ADMIN_TOKEN, Reply, Running, bearer, connect},
    memory::Mood,
};

const HANDLE: &str = "/api/acme/postbacks/handle";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const SOON: Duration = Duration::from_millis(300);

/// Sends bytes as they are; the answer, where there is one.
fn raw(running: &Running, bytes: &[u8]) -> Option<Reply> {
    let mut stream = connect(running.public);
    stream.write_all(bytes).unwrap();
    Reply::read(&mut stream)
}

#[test]
fn a_target_beyond_its_limit_is_414() {
    let running = Running::with(|config| config.limits.target_len_max = 200);
    let target = |len: usize| {
        let start = format!("{HANDLE}?type=");
        format!("{start}{}", "x".repeat(len - start.len()))
    };
    assert_eq!(running.get(&target(200)).status, 200);
    running.get(&target(201)).assert_problem(414, "target_too_long");
}

#[test]
fn the_default_target_limit_is_8_kib() {
    let running = Running::start();
    let target = |len: usize| {
        let start = format!("{HANDLE}?");
        let names = (0..).map(|n| format!("p{n}={}&", "x".repeat(500)));
        let mut target = start;
        for name in names {
            target += &name;
            if target.len() > len {
                target.truncate(len);
                return target;
            }
        }
        unreachable!()
    };
    assert_eq!(running.get(&target(8192)).status, 200);
    running.get(&target(8193)).assert_problem(414, "target_too_long");
}

#[test]
fn a_head_beyond_its_limit_is_431() {
    let running = Running::start();
    let request = |padding: usize| {
        let padding = "x".repeat(padding);
        format!("GET {HANDLE} HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx: {padding}\r\n\r\n")
    };
    assert_eq!(raw(&running, request(15_000).as_bytes()).unwrap().status, 200);
    assert_eq!(raw(&running, request(17_000).as_bytes()).unwrap().status, 431);
}

#[test]
fn more_than_64_headers_are_431() {
    let running = Running::start();
    let request = |headers: usize| {
        let headers: String = (0..headers - 2).map(|n| format!("x-{n}: 1\r\n")).collect();
        format!("GET {HANDLE} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{headers}\r\n")
    };
    assert_eq!(raw(&running, request(64).as_bytes()).unwrap().status, 200);
    assert_eq!(raw(&running, request(65).as_bytes()).unwrap().status, 431);
}

#[test]
fn a_body_beyond_its_limit_is_413() {
    let running = Running::with(|config| config.limits.body_len_max = 100);
    let post = |len: usize| {
        let body = format!("type={}", "x".repeat(len - 5));
        running.public("POST", HANDLE, &[FORM], body.as_bytes())
    };
    assert_eq!(post(100).status, 200);
    let reply = post(101);
    reply.assert_problem(413, "body_too_long");
    assert_eq!(reply.header("connection"), Some("close"));
    post(1_000).assert_problem(413, "body_too_long");
}

#[test]
fn a_sender_that_is_a_little_beyond_the_limit_can_finish_and_read_why() {
    let running = Running::with(|config| config.limits.body_len_max = 100);
    let mut stream = connect(running.public);
    let head = format!(
        "POST {HANDLE} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..5 {
        stream.write_all(&[b'x'; 200]).expect("nobody hangs up");
        std::thread::sleep(SOON / 4);
    }
    let reply = Reply::read(&mut stream).unwrap();
    reply.assert_problem(413, "body_too_long");
}

#[test]
fn a_body_whose_length_is_not_announced_has_the_same_limit() {
    let running = Running::with(|config| config.limits.body_len_max = 100);
    let post = |chunks: usize| {
        let head = format!(
            "POST {HANDLE} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        let body = format!("a\r\n{}\r\n", "x".repeat(10)).repeat(chunks);
        raw(&running, format!("{head}{body}0\r\n\r\n").as_bytes()).unwrap()
    };
    assert_eq!(post(10).status, 200);
    post(11).assert_problem(413, "body_too_long");
}

#[test]
fn rules_have_a_limit_of_their_own() {
    let running = Running::with(|config| {
        config.limits.body_len_max = 100;
        config.limits.rules_len_max = 2_000;
    });
    let put = |body: &[u8]| {
        let media_type = Some("application/toml");
        running.admin("PUT", "/api/acme/rules", media_type, body)
    };
    assert_eq!(put(crate::harness::RULES.as_bytes()).status, 200);
    put(&b"#".repeat(2_001)).assert_problem(413, "body_too_long");
    let question = format!(r#"{{"query":"{}"}}"#, "x".repeat(100));
    let json = Some("application/json");
    let reply = running.admin("POST", "/api/acme/explain", json, question.as_bytes());
    reply.assert_problem(413, "body_too_long");
}

#[test]
fn a_body_that_drips_is_408() {
    let running = Running::with(|config| config.limits.body = SOON);
    let mut stream = connect(running.public);
    let head = format!(
        "POST {HANDLE} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut drip = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        while drip.write_all(b"x").is_ok() {
            std::thread::sleep(SOON / 10);
        }
    });
    let reply = Reply::read(&mut stream).unwrap();
    reply.assert_problem(408, "body_too_slow");
    assert_eq!(reply.header("connection"), Some("close"));
    dripping.join().unwrap();
    assert!(running.store.log().is_empty());
}

#[test]
fn a_body_that_breaks_off_has_no_effect() {
    let running = Running::start();
    let mut stream = connect(running.public);
    let head = format!(
        "POST {HANDLE} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\ntype=sale"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    if let Some(reply) = Reply::read(&mut stream) {
        assert_eq!(reply.status, 400);
    }
    assert!(running.store.log().is_empty());
}

#[test]
fn a_request_that_is_not_answered_in_time_is_503() {
    let running = Running::with(|config| config.limits.request = SOON);
    let pcid = running.click();
    running.store.set_mood(Mood::Slow(SOON * 5));
    let reply = running.get(&format!("{HANDLE}?pcid={pcid}&type=sale&external_id=1"));
    reply.assert_problem(503, "deadline");
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn a_repeat_after_503_tells_what_became_of_the_first() {
    let running = Running::with(|config| config.limits.request = SOON);
    let pcid = running.click();
    let target = format!("{HANDLE}?pcid={pcid}&type=sale&external_id=1");
    running.store.set_mood(Mood::Slow(SOON * 3));
    assert_eq!(running.get(&target).status, 503);
    running.store.set_mood(Mood::Well);
    let mut outcome = running.get(&target).json()["outcome"].clone();
    if outcome == "created" {
        outcome = running.get(&target).json()["outcome"].clone();
    }
    assert_eq!(outcome, "duplicate");
}

#[test]
fn parameters_beyond_their_limits_are_malformed() {
    let running = Running::start();
    let reason = |query: &str| running.get(&format!("{HANDLE}?{query}")).json()["reason"].clone();
    let many: String = (0..101).map(|n| format!("p{n}=1&")).collect();
    assert_eq!(reason(&many), "malformed");
    assert_eq!(reason(&format!("{}=1", "n".repeat(65))), "malformed");
    assert_eq!(reason(&format!("p={}", "v".repeat(2049))), "malformed");
    let json = [("content-type", "application/json")];
    let reply = running.public("POST", HANDLE, &json, br#"{"a":{"b":1}}"#);
    assert_eq!(reply.json()["reason"], "malformed");
}

#[test]
fn what_is_no_http_is_400_and_closed() {
    let running = Running::start();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client that speaks TLS\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: t\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ] {
        let reply = raw(&running, bytes).expect("an answer");
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(running.get(HANDLE).status, 200);
}

#[test]
fn a_connection_serves_many_requests() {
    let running = Running::start();
    let mut stream = connect(running.admin);
    let token = bearer(ADMIN_TOKEN);
    for path in ["/version", "/nowhere", "/api/acme/requests", "/healthz"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: t\r\nauthorization: {token}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let reply = Reply::read(&mut stream).unwrap();
        assert_eq!(reply.status == 404, path == "/nowhere", "{path}");
    }
}

#[test]
fn a_sender_that_closed_its_half_is_answered() {
    let running = Running::start();
    let pcid = running.click();
    running.store.set_mood(Mood::Slow(SOON));
    let mut stream = connect(running.public);
    let request = format!("GET {HANDLE}?pcid={pcid}&type=sale HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(Reply::read(&mut stream).unwrap().json()["outcome"], "created");
}

#[test]
fn older_and_rarer_forms_of_requests_are_answered() {
    let running = Running::start();
    let pcid = running.click();
    let query = format!("pcid={pcid}&type=sale");
    let form = "content-type: application/x-www-form-urlencoded";
    let body_len = query.len();
    for request in [
        format!("GET {HANDLE}?{query} HTTP/1.0\r\n\r\n"),
        format!("GET http://acme.example{HANDLE}?{query} HTTP/1.1\r\nhost: t\r\n\r\n"),
        format!("POST {HANDLE} HTTP/1.0\r\n{form}\r\ncontent-length: {body_len}\r\n\r\n{query}"),
        format!("\r\nGET {HANDLE}?{query} HTTP/1.1\r\nhost: t\r\n\r\n"),
    ] {
        let reply = raw(&running, request.as_bytes()).expect("an answer");
        assert_eq!(reply.json()["outcome"], "created", "{request}");
    }
    let mut stream = connect(running.public);
    let head = format!(
        "POST {HANDLE} HTTP/1.1\r\nhost: t\r\n{form}\r\ncontent-length: {body_len}\r\n\
         expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut stream).unwrap().status, 100);
    stream.write_all(query.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut stream).unwrap().json()["outcome"], "created");
}
