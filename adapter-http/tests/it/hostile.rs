//! Clients that mean harm hold nothing beyond the limits, and others do not notice (P9).

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::OnceLock,
    time::Duration,
};

use proptest::prelude::*;

use crate::{
    harness::{ADMIN_TOKEN, Reply, Running, bearer, connect},
    memory::Mood,
};

const SOON: Duration = Duration::from_millis(200);
const HEALTH: &str = "/api/acme/postbacks/handle?type=sale";

/// Reads to the end: what came, where the other side closed. A hang runs into the patience.
fn to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("the connection was not closed: {error}"),
    }
}

#[test]
fn a_silent_connection_is_closed() {
    let running = Running::with(|config| config.limits.first_byte = SOON);
    assert_eq!(to_end(connect(running.public)), b"");
    assert_eq!(to_end(connect(running.admin)), b"");
}

#[test]
fn a_head_that_drips_is_closed() {
    let running = Running::with(|config| config.limits.head = SOON);
    let stream = connect(running.public);
    let mut drip = stream.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        let head = format!("GET {HEALTH} HTTP/1.1\r\nx: {}", "x".repeat(100_000));
        for byte in head.bytes() {
            if drip.write_all(&[byte]).is_err() {
                return true;
            }
            std::thread::sleep(SOON / 20);
        }
        false
    });
    let came = to_end(stream);
    assert!(!came.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&came));
    assert!(dripping.join().unwrap(), "it was cut while it dripped");
}

#[test]
fn an_idle_connection_is_closed() {
    let running = Running::with(|config| config.limits.head = SOON);
    let mut stream = connect(running.public);
    let request = format!("GET {HEALTH} HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut stream).unwrap().status, 200);
    assert_eq!(to_end(stream), b"");
}

#[test]
fn an_answer_that_nobody_reads_is_given_up() {
    let running = Running::with(|config| config.limits.write_stall = SOON);
    let token = bearer(ADMIN_TOKEN);
    let request =
        format!("GET /openapi.json HTTP/1.1\r\nhost: t\r\nauthorization: {token}\r\n\r\n");
    let mut stream = connect(running.admin);
    // More answers than the buffers of both sides hold; reading none of them.
    let requests = request.repeat(1_000);
    let given_up = stream.write_all(requests.as_bytes()).is_err() || {
        std::thread::sleep(SOON * 3);
        (0..100).any(|_| {
            std::thread::sleep(SOON / 4);
            stream.write_all(request.as_bytes()).is_err()
        })
    };
    assert!(given_up);
}

#[test]
fn connections_beyond_the_limit_of_an_address_are_closed_and_come_back() {
    let running = Running::with(|config| config.limits.connections_per_address_max = 3);
    let mut held: Vec<TcpStream> = (0..3).map(|_| served(&running)).collect();
    for _ in 0..5 {
        assert_eq!(to_end(connect(running.public)), b"");
    }
    // The other listener has a count of its own.
    assert_eq!(running.admin_get("/version").status, 200);
    held.pop();
    let again = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        try_served(&running).is_some()
    });
    assert!(again, "a closed connection makes room");
    let text = running.admin_get("/metrics");
    let refused = r#"counterfoil_connections_refused_total{listener="public"} "#;
    assert!(text.text().contains(refused));
}

#[test]
fn connections_beyond_the_limit_of_all_are_closed() {
    let running = Running::with(|config| config.limits.connections_max = 2);
    let _held: Vec<TcpStream> = (0..2).map(|_| served(&running)).collect();
    assert!(try_served(&running).is_none());
    assert_eq!(running.admin_get("/version").status, 200);
}

/// A connection that was answered once and is kept open.
fn served(running: &Running) -> TcpStream {
    try_served(running).expect("an answer")
}

fn try_served(running: &Running) -> Option<TcpStream> {
    let mut stream = connect(running.public);
    let request = format!("GET {HEALTH} HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let reply = Reply::read(&mut stream)?;
    (reply.status == 200).then_some(stream)
}

#[test]
fn two_thousand_idle_connections_do_not_disturb_another_client() {
    let running = Running::with(|config| {
        config.limits.connections_per_address_max = 4_000;
        config.limits.first_byte = Duration::from_secs(60);
        config.limits.head = Duration::from_secs(60);
    });
    let mut held = Vec::new();
    for nth in 0..2_000 {
        // Both ends live in this process: where it may not open that many, fewer must do.
        let Ok(mut stream) = TcpStream::connect(running.public) else {
            break;
        };
        if nth % 2 == 0 {
            let _ = stream.write_all(b"GET /api/acme/postb");
        }
        held.push(stream);
    }
    // Give back what the other client and its connection need.
    held.truncate(held.len().saturating_sub(50));
    assert!(held.len() > 300, "only {} connections", held.len());
    let pcid = running.click();
    for n in 0..20 {
        let query = format!("pcid={pcid}&type=sale&external_id={n}");
        let reply = running.get(&format!("/api/acme/postbacks/handle?{query}"));
        assert_eq!(reply.json()["outcome"], "created");
    }
    assert_eq!(running.admin_get("/version").status, 200);
}

#[test]
fn requests_in_a_row_without_waiting_are_answered_in_order() {
    let running = Running::start();
    let pcid = running.click();
    let mut stream = connect(running.public);
    let requests: String = (0..50)
        .map(|n| {
            let query = format!("pcid={pcid}&type=sale&external_id={n}");
            format!("GET /api/acme/postbacks/handle?{query} HTTP/1.1\r\nhost: t\r\n\r\n")
        })
        .collect();
    stream.write_all(requests.as_bytes()).unwrap();
    let ids: Vec<String> = (0..50)
        .map(|_| Reply::read(&mut stream).unwrap().json()["conversion_id"].to_string())
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[test]
fn what_breaks_for_one_request_breaks_for_no_other() {
    let running = Running::start();
    let mut neighbour = served(&running);
    running.store.set_mood(Mood::Panicking);
    for _ in 0..5 {
        let mut stream = connect(running.public);
        stream.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).unwrap();
        assert!(Reply::read(&mut stream).is_none(), "no answer is better than a false one");
    }
    running.store.set_mood(Mood::Breaking);
    for _ in 0..5 {
        let reply = running.get(HEALTH);
        assert_eq!(reply.status, 503, "{}", reply.text());
    }
    running.store.set_mood(Mood::Well);
    neighbour.write_all(format!("GET {HEALTH} HTTP/1.1\r\nhost: t\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut neighbour).unwrap().status, 200);
    let metrics = running.admin_get("/metrics");
    let counted_back = r#"counterfoil_connections{listener="public"} 1"#;
    assert!(metrics.text().contains(counted_back), "{}", metrics.text());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_are_answered_or_closed(bytes in garbage()) {
        let mut stream = connect(shared().public);
        // The other side may hang up in the middle.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = to_end(stream);
        prop_assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
        prop_assert_eq!(shared().get(HEALTH).status, 200);
    }

    /// Any but those with `"`, `<` or `>`: no request target may hold these, and HTTP ends there.
    #[test]
    fn any_query_is_processed(query in "[!-~žé&&[^#\"<>]]{0,200}") {
        let reply = shared().get(&format!("/api/acme/postbacks/handle?{query}"));
        prop_assert_eq!(reply.status, 200, "{:?}", reply);
        prop_assert_eq!(&reply.json()["outcome"], "refused");
        let reply = shared().get(&format!("/c/acme/plain/bo?{query}"));
        prop_assert_eq!(reply.status, 302, "{:?}", reply);
    }
}

/// One server for all cases of the properties.
fn shared() -> &'static Running {
    static SHARED: OnceLock<Running> = OnceLock::new();
    SHARED.get_or_init(Running::start)
}

/// Bytes that are nothing, and bytes that are almost a request.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let any = proptest::collection::vec(any::<u8>(), 0..400);
    let line = "(GET|POST|HEAD|PUT) /[!-~]{0,40} HTTP/1[.][01]\r\n";
    let headers = "((content-length|transfer-encoding|expect|connection|x): [ -~]{0,20}\r\n){0,5}";
    let almost = (line, headers, any.clone()).prop_map(|(line, headers, rest)| {
        [line.as_bytes(), headers.as_bytes(), b"\r\n", &rest].concat()
    });
    prop_oneof![any, almost]
}
