//! What receivers answer, and what those do that answer badly (P5).

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Duration,
};

use counterfoil_core::{
    AttemptOutcome, Attempted, DeadReason, Next, Period, RETRY_AFTER_MAX, RetryKind,
};

use super::{
    receiver::{Asked, Receiver, http},
    sending::{START, Sending},
};
use crate::harness::PATIENCE;

/// What a receiver that answers so makes of a message.
fn answered(status: &str, headers: &str, body: &str) -> Attempted {
    let receiver = Receiver::constant(status, headers, body);
    Sending::start().send(&receiver.api())
}

fn retry_in_ms(attempted: &Attempted) -> u64 {
    match attempted.next {
        Next::Retry { at, kind: RetryKind::Delivery } => at.since(START).as_ms(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_status_says_what_follows() {
    assert_eq!(answered("204", "", "").next, Next::Delivered);
    let kept = answered("200", "", "kept");
    assert_eq!((kept.response.as_deref(), kept.error), (Some("kept"), None));
    assert_eq!(answered("410", "", "").next, Next::Dead(DeadReason::Gone));
    assert_eq!(retry_in_ms(&answered("404", "", "")), 30 * 60_000);
    let failed = answered("503", "", "busy");
    assert_eq!((retry_in_ms(&failed), failed.response.as_deref()), (5_000, Some("busy")));
    assert_eq!(failed.answer, None, "only good answers are read");
}

#[test]
fn retry_after_is_honoured_in_every_form_within_a_day() {
    let day = RETRY_AFTER_MAX.as_ms();
    let table = [
        ("120", 120_000),
        ("0", 5_000),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 2 * 60_000),
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 2 * 60_000),
        ("Tue Nov 14 22:15:20 2023", 2 * 60_000),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 5_000),
        ("Fri, 31 Dec 9999 23:59:59 GMT", day),
        ("99999999999999999999999999", day),
        ("-1", 5_000),
        ("soon", 5_000),
        ("", 5_000),
    ];
    for (text, want) in table {
        let attempted = answered("429", &format!("retry-after: {text}\r\n"), "");
        assert_eq!(retry_in_ms(&attempted), want, "{text}");
    }
}

#[test]
fn redirects_are_not_followed() {
    let silent = Receiver::constant("200", "", "");
    for status in ["301", "302", "303", "307", "308"] {
        let attempted = answered(status, &format!("location: http://{}/\r\n", silent.address), "");
        assert_eq!(retry_in_ms(&attempted), 30 * 60_000, "{status}");
        assert!(attempted.error.unwrap().contains("redirects are not followed"));
    }
    assert_eq!(silent.connections(), 0);
}

/// An attempt whose receiver gives no whole answer.
fn unanswered(timeout: &str, behave: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let receiver = Receiver::new(behave);
    let api = format!("{}\ntimeout = '{timeout}'", receiver.api());
    let attempted = Sending::start().send(&api);
    assert_eq!(attempted.outcome, AttemptOutcome::Unanswered);
    assert_eq!(retry_in_ms(&attempted), 5_000);
    attempted.error.unwrap().into()
}

/// Writes a byte at a time for ever, until the other side ends it.
fn drip(stream: &mut TcpStream, byte: &[u8]) {
    while stream.write_all(byte).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn silence_and_drops_end_with_the_timeout() {
    let want = "no whole answer within 100ms";
    let hang = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
    assert_eq!(unanswered("100ms", hang), want);
    let head = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 x\r\nx-long: ").unwrap();
        drip(&mut stream, b"x");
    };
    assert_eq!(unanswered("100ms", head), want);
    let body = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 50000\r\n\r\n").unwrap();
        drip(&mut stream, b"x");
    };
    assert_eq!(unanswered("100ms", body), want);
    let informed = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        drip(&mut stream, b"HTTP/1.1 100 Continue\r\n\r\n");
    };
    assert_eq!(unanswered("100ms", informed), want);
}

#[test]
fn broken_connections_are_no_answer() {
    let close = |mut stream: TcpStream| drop(Asked::read(&mut stream));
    unanswered("30s", close);
    let reset = |stream: TcpStream| {
        let stream = socket2::Socket::from(stream);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
    };
    unanswered("30s", reset);
    let other = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        stream.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    };
    unanswered("30s", other);
    let huge_head = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 x\r\n").unwrap();
        while stream.write_all(format!("x: {}\r\n", "x".repeat(1000)).as_bytes()).is_ok() {}
    };
    unanswered("30s", huge_head);
    let short = |mut stream: TcpStream| {
        Asked::read(&mut stream).unwrap();
        stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
    };
    assert!(unanswered("30s", short).starts_with("the connection broke"));
}

#[test]
fn who_takes_no_connection_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let attempted = Sending::start().send(&format!("request = {{ url = 'http://{address}/' }}"));
    assert_eq!(attempted.outcome, AttemptOutcome::Unanswered);
    assert!(attempted.error.unwrap().starts_with(&format!("cannot connect to `{address}`")));
}

#[test]
fn a_long_answer_is_cut_off_and_its_connection_closed() {
    const GIB: u64 = 1 << 30;
    for head in [
        format!("HTTP/1.1 200 x\r\ncontent-length: {GIB}\r\n\r\n"),
        "HTTP/1.1 200 x\r\n\r\n".to_owned(),
    ] {
        let (told, written) = mpsc::channel();
        let receiver = Receiver::new(move |mut stream| {
            Asked::read(&mut stream).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut count = 0;
            while count < GIB && stream.write_all(&[b'x'; 4096]).is_ok() {
                count += 4096;
            }
            told.send(count).unwrap();
        });
        let sending = Sending::start();
        let attempted = sending.send(&receiver.api());
        assert_eq!(attempted.next, Next::Delivered);
        assert_eq!(attempted.response.unwrap().len(), 16 * 1024);
        let count = written.recv_timeout(PATIENCE).unwrap();
        assert!(count < GIB / 8, "{count} bytes were taken");
    }
}

const MAPPED: &str = "set = { result = { path = '/state' }, value = { path = '/value' } }\n\
    poll = { pending = { path = '/state', in = ['processing'] }, every = '10m', max = 2 }";

/// What is read of a body.
fn read(headers: &str, body: &[u8]) -> Attempted {
    let answer = http("200", headers, body);
    let receiver = Receiver::answering(move |_| answer.clone());
    Sending::start().send(&format!("{}\n{MAPPED}", receiver.api()))
}

#[test]
fn a_good_answer_is_read_whatever_its_content_type() {
    for headers in ["", "content-type: application/json\r\n", "content-type: image/png\r\n"] {
        let attempted = read(headers, br#"{"state":"approved","value":12.30}"#);
        let answer = attempted.answer.unwrap();
        let want = [("result".into(), "approved".into()), ("value".into(), "12.30".into())];
        assert_eq!(answer.set, want);
        assert_eq!(attempted.next, Next::Delivered);
    }
    let pending = read("retry-after: 1200\r\n", br#"{"state":"processing"}"#);
    let at = START.plus(Period::from_ms(1_200_000));
    assert_eq!(pending.next, Next::Retry { at, kind: RetryKind::Polling });
}

#[test]
fn an_answer_that_cannot_be_read_sets_nothing() {
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let long = format!("{{\"state\":\"{}\"}}", "x".repeat(70_000));
    let bodies: [&[u8]; 6] =
        [b"", b"\xff\xfe{}", b"{\"state\":\"\xff\"}", b"<html>", deep.as_bytes(), long.as_bytes()];
    for body in bodies {
        let attempted = read("", body);
        let answer = attempted.answer.unwrap();
        let left_out = answer.unmapped.iter().map(|unmapped| &*unmapped.parameter);
        assert!(left_out.eq(["result", "value"]), "{answer:?}");
        assert!(answer.unmapped.iter().all(|unmapped| unmapped.found.len() <= 80));
        assert!(answer.set.is_empty());
        assert_eq!(attempted.next, Next::Delivered, "it arrived all the same");
        let is_cut = attempted.error.is_some_and(|error| error.contains("longer than 65536"));
        assert_eq!(is_cut, body.len() > 65_536);
    }
    assert_eq!(read("", b"\xff\xfe{}").response.as_deref(), Some("\u{fffd}\u{fffd}{}"));
}
