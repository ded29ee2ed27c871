//! No secret stands in what people may read of a message (P10).

use std::sync::Arc;

use counterfoil_http::Secret;

use super::{
    receiver::{Receiver, http},
    sending::Sending,
};
use crate::logged::logged;

const CANARY: &str = "canary\"&/key";

/// Receivers that answer with everything that they were sent, in every way.
fn echoes() -> Vec<Receiver> {
    let spelled = format!(
        "{CANARY} {} canary%22%26%2Fkey {} canary&quot;&amp;/key",
        serde_json::to_string(CANARY).unwrap(),
        "x".repeat(3000) + CANARY,
    );
    let location = "location: /canary%22%26%2Fkey\r\n";
    let answers = [
        http("200", "", spelled.as_bytes()),
        http("302", location, spelled.as_bytes()),
        http("500", "x-canary: canary\r\n", spelled.as_bytes()),
        format!("canary {spelled}\r\n\r\n").into_bytes(),
        format!("HTTP/1.1 200 canary\r\n{spelled}\r\n\r\n").into_bytes(),
    ];
    let receiver = |answer: Vec<u8>| Receiver::answering(move |_| answer.clone());
    answers.into_iter().map(receiver).collect()
}

#[test]
fn secrets_stand_in_no_error_no_excerpt_and_no_log_line() {
    logged();
    let sending = Sending::with(|config| {
        config.secrets = Arc::new(|name| (name.as_str() == "key").then(|| Secret::new(CANARY)));
        assert!(!format!("{config:?}").contains("canary"));
    });
    let receivers = echoes();
    let addresses = receivers.iter().map(|receiver| receiver.address.to_string());
    let mut told = String::new();
    for address in addresses.chain(["127.0.0.1:1", "10.0.0.1:80"].map(str::to_owned)) {
        let attempted = sending.send(&format!(
            "request = {{ url = 'http://{address}/{{secret:key}}?k={{secret:key}}', \
             headers = {{ authorization = 'Bearer {{secret:key}}' }}, \
             body.json = {{ k = '{{secret:key}}' }} }}"
        ));
        told += &format!("{attempted:?}\n");
    }
    told += &sending.metrics.text();
    sending.stop();
    let logged = logged();
    assert!(logged.contains("an attempt ended"), "lines are seen");
    assert!(told.contains("{secret:key}"), "excerpts are seen");
    for line in logged.lines().chain(told.lines()) {
        assert!(!line.contains("canary"), "{line}");
    }
    assert!(receivers[0].asked()[0].head.contains("canary"), "it was sent");
}
