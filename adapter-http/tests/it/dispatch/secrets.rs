//! No secret and no personal value stands in what people may read of a message (P10).

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

/// What a receiver says of a visitor, in every shape and case, and what it was sent.
const TELLING: &str = "{\"First_Name\":\"Canary\",\"d\":\"{\\\"first_name\\\":\\\"canary\\\"}\",\
    \"x\":{\"firstName\":[\"canary\"]},\"m\":\"canary@a.example\",\"phone\":\"777000111\",\
    \"state\":\"canary+state@a.example\",\"name\":{\"first_name\":\"canary\"}}\n\
    a=1&FIRST_NAME=Canary%20J&x=canary%40a.example&t=%2B420777000111\r\n\
    X-First-Name: canary\r\n<first_name>canary</first_name> sent777000 SENT777000";

#[test]
fn personal_values_stand_in_no_error_no_excerpt_no_word_and_no_log_line() {
    logged();
    let sending = Sending::start();
    let location = "location: /?first_name=canary\r\nx-first-name: canary\r\n";
    let json = TELLING.split_once('\n').unwrap().0;
    let answers = [
        http("200", "", TELLING.as_bytes()),
        http("200", "", json.as_bytes()),
        http("302", location, TELLING.as_bytes()),
        http("410", location, TELLING.as_bytes()),
        http("500", location, TELLING.as_bytes()),
        format!("first_name=canary canary@a.example {TELLING}\r\n\r\n").into_bytes(),
        b"HTTP/1.1 200 canary@a.example\r\nfirst_name=canary\r\n\r\n".to_vec(),
    ];
    let mut told = String::new();
    for answer in answers {
        let receiver = Receiver::answering(move |_| answer.clone());
        let attempted = sending.send(&format!(
            "request = {{ url = 'http://{}/?first_name=sent777000' }}\n\
             set.result = {{ path = '/state', map = {{ a = 'approved' }} }}\n\
             set.value = {{ path = '/name/first_name', map = {{ a = '1' }} }}\n\
             set.\"param.first_name\" = {{ path = '/x/firstName/0', map = {{ a = '1' }} }}\n\
             set.\"param.y\" = {{ path = '/nowhere', map = {{ a = '1' }} }}\n\
             [privacy]\nemail = 'drop'\nphone = 'drop'\ndrop = ['first_name']",
            receiver.address
        ));
        assert!(receiver.asked()[0].head.contains("sent777000"), "it was sent");
        told += &format!("{attempted:?}\n");
    }
    sending.stop();
    for seen in ["a=1&FIRST_NAME=***&x=***&t=***", "</first_name> *** ***", "NotInMap", "/nowhere"]
    {
        assert!(told.contains(seen), "`{seen}` is kept: {told}");
    }
    let logged = logged();
    for canary in ["canary", "Canary", "777000"] {
        let line = told.lines().chain(logged.lines()).find(|line| line.contains(canary));
        assert_eq!(line, None);
    }
}
