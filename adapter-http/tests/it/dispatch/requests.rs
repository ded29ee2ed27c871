//! What is sent: the rendered request as it is, our name, and a signature.

use counterfoil_core::{AttemptOutcome, Next, Period, RetryKind, SignedMessage, SigningKey};

use crate::logged::logged;

use super::{
    receiver::Receiver,
    sending::{NEW_SIGNING_KEY, SIGNING_KEY, START, Sending},
};

#[test]
fn a_request_is_sent_as_it_was_rendered() {
    let receiver = Receiver::constant("200", "", "thanks");
    let sending = Sending::start();
    let attempted = sending.send(&format!(
        "request = {{ url = 'HTTP://{}/a/../{{pcid}}/%7e/%7E/./?q={{type}}&Q=%2f+!{{secret:key}}', \
         headers = {{ x-one = 'v {{pcid}}', authorization = 'Bearer {{secret:key}}' }}, \
         body.json = {{ id = '{{pcid}}', key = '{{secret:key}}' }} }}",
        receiver.address
    ));
    assert_eq!(attempted.next, Next::Delivered, "{attempted:?}");
    assert_eq!((attempted.started_at, attempted.error), (START, None));
    assert_eq!(attempted.response.as_deref(), Some("thanks"));
    let [asked] = &receiver.asked()[..] else { panic!("one request") };
    assert_eq!(asked.target(), "/a/../..pcid/%7e/%7E/./?q=..type&Q=%2f+!canary%26key");
    assert!(asked.head.starts_with("POST /"), "{asked:?}");
    let agent = concat!("counterfoil/", env!("CARGO_PKG_VERSION"));
    for (name, want) in [
        ("host", Some(receiver.address.to_string().as_str())),
        ("user-agent", Some(agent)),
        ("content-type", Some("application/json")),
        ("authorization", Some("Bearer canary&key")),
        ("x-one", Some("v ..pcid")),
        ("webhook-id", None),
        ("accept-encoding", None),
        ("cookie", None),
    ] {
        assert_eq!(asked.header(name), want, "{name}");
    }
    assert_eq!(asked.body, br#"{"id":"..pcid","key":"canary&key"}"#);
}

#[test]
fn dots_alone_do_not_climb_the_path() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    // What stands for a value of two dots in rendered parts (R40).
    sending.send(&format!("request = {{ url = 'http://{}/a/%2E%2E/b' }}", receiver.address));
    assert_eq!(receiver.asked()[0].target(), "/a/%2E%2E/b");
}

#[test]
fn a_url_without_a_path_asks_for_the_root() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    for (rest, want) in [("", "/"), ("?a=1", "/?a=1"), ("//a//b?", "//a//b?")] {
        let api = format!("request = {{ url = 'http://{}{rest}' }}", receiver.address);
        assert_eq!(sending.send(&api).next, Next::Delivered, "{rest}");
        assert_eq!(receiver.asked().last().unwrap().target(), want);
    }
}

#[test]
fn the_newest_key_signs_first() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    sending.send(&format!("{}\nsign = ['{{secret:new}}', '{{secret:sign}}']", receiver.api()));
    let asked = &receiver.asked()[0];
    let [id, signed] = ["webhook-id", "webhook-signature"].map(|name| asked.header(name).unwrap());
    let seconds = START.as_ms() / 1000;
    let signatures = [NEW_SIGNING_KEY, SIGNING_KEY]
        .map(|key| SigningKey::parse(key).unwrap().sign(id, seconds, b""));
    assert_eq!(signed, signatures.join(" "));
}

#[test]
fn each_attempt_is_signed_anew_under_one_id() {
    let receiver = Receiver::answering(|number| match number {
        0 => super::receiver::http("500", "", b""),
        _ => super::receiver::http("200", "", b""),
    });
    let sending = Sending::start();
    let id = sending.put(&format!(
        "request = {{ url = 'http://{}/', body.raw = 'told', body.content_type = 'text/plain', \
         headers = {{ user-agent = 'theirs' }} }}\nsign = ['{{secret:sign}}']\n\
         retry = {{ max = 1, every = '30s' }}",
        receiver.address
    ));
    let first = sending.mail.attempt(id, 1);
    let later = START.plus(Period::from_ms(30_000));
    assert_eq!(first.next, Next::Retry { at: later, kind: RetryKind::Delivery });
    sending.set_clock(later);
    assert_eq!(sending.mail.attempt(id, 2).next, Next::Delivered);
    let asked = receiver.asked();
    for (asked, at) in asked.iter().zip([START, later]) {
        let message = SignedMessage {
            id: asked.header("webhook-id").unwrap(),
            timestamp: asked.header("webhook-timestamp").unwrap(),
            signature: asked.header("webhook-signature").unwrap(),
            body: &asked.body,
        };
        assert_eq!(message.id, id.to_string());
        assert_eq!(message.timestamp, (at.as_ms() / 1000).to_string());
        let key = SigningKey::parse(SIGNING_KEY).unwrap();
        assert_eq!(message.verify(&[key], at, Period::from_ms(0)), Ok(()));
        assert_eq!(asked.header("user-agent"), Some("theirs"));
    }
    assert_eq!(asked.len(), 2);
}

#[test]
fn what_is_our_fault_is_told_and_nothing_is_sent() {
    let receiver = Receiver::constant("200", "", "");
    let sending = Sending::start();
    let url = format!("http://{}/", receiver.address);
    let table = [
        (format!("request = {{ url = '{url}?{{secret:nowhere}}' }}"), "no secret `nowhere`"),
        (
            format!("request = {{ url = '{url}' }}\nsign = ['{{secret:sign}}', '{{secret:gone}}']"),
            "no secret `gone`",
        ),
        (
            format!("request = {{ url = '{url}' }}\nsign = ['{{secret:odd}}']"),
            "the secret `odd` signs nothing",
        ),
    ];
    for (api, want) in table {
        let attempted = sending.send(&api);
        assert_eq!(attempted.outcome, AttemptOutcome::OurFault);
        let error = attempted.error.unwrap();
        assert!(error.contains(want) && !error.contains("canary"), "{error}");
        let at = START.plus(Period::from_ms(60_000));
        assert_eq!(attempted.next, Next::Retry { at, kind: RetryKind::Ours });
    }
    assert_eq!(receiver.connections(), 0);
}

/// It is met every minute: the log and a metric tell of it, not a line for each message.
#[test]
fn a_fault_of_ours_is_logged_and_counted() {
    logged();
    let sending = Sending::start();
    for _ in 0..5 {
        sending.send("request = { url = 'https://a.example/{secret:quite-gone}' }");
    }
    let metrics = sending.metrics.text();
    let line = "counterfoil_attempts_total{outcome=\"our_fault\"} 5";
    assert!(metrics.lines().any(|known| known == line), "{metrics}");
    sending.stop();
    let lines = logged();
    let told = lines.lines().filter(|line| line.contains(" WARN ") && line.contains("quite-gone"));
    assert_eq!(told.count(), 1);
}
