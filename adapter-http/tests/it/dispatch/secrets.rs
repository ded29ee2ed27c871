//! No secret stands in what people may read of a message (P10).

use std::{
    io,
    sync::{Arc, Mutex},
};

use counterfoil_core::Draw;
use counterfoil_http::{DispatchConfig, Dispatcher, Secret};
use tokio::sync::Notify;
use tracing_subscriber::filter::LevelFilter;

use super::{
    mail::{Mail, rules},
    receiver::{Receiver, http},
    sending::START,
};

const CANARY: &str = "canary\"&/key";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
    let mut config =
        DispatchConfig::new(Arc::new(|name| (name.as_str() == "key").then(|| Secret::new(CANARY))));
    assert!(!format!("{config:?}").contains("canary"));
    config.clock = Arc::new(|| START);
    config.draws = Arc::new(|| Draw(0));
    config.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let mail = Arc::new(Mail::default());
    let request = |address: &str| {
        format!(
            "request = {{ url = 'http://{address}/{{secret:key}}?k={{secret:key}}', \
             headers = {{ authorization = 'Bearer {{secret:key}}' }}, \
             body.json = {{ k = '{{secret:key}}' }} }}"
        )
    };
    let receivers = echoes();
    let addresses = receivers.iter().map(|receiver| receiver.address.to_string());
    let addresses = addresses.chain(["127.0.0.1:1", "10.0.0.1:80"].map(str::to_owned));
    let ids: Vec<_> =
        addresses.map(|address| mail.put(&rules(&request(&address)), START)).collect();

    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let dispatcher = Dispatcher::new(config, mail.clone()).unwrap();
    let metrics = dispatcher.metrics();
    let stop = Arc::new(Notify::new());
    let stopped = stop.clone();
    // On one thread, so that everything that is logged on the way is seen.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tracing::subscriber::with_default(subscriber, || {
            runtime.block_on(dispatcher.run(async move { stopped.notified().await }));
        });
    });
    let mut told = metrics.text();
    for id in ids {
        let attempted = mail.attempt(id, 1);
        told += &format!("{attempted:?}\n");
    }
    stop.notify_one();
    thread.join().unwrap();
    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("an attempt ended"), "lines are seen");
    assert!(told.contains("{secret:key}"), "excerpts are seen");
    for line in logged.lines().chain(told.lines()) {
        assert!(!line.contains("canary"), "{line}");
    }
    assert!(receivers[0].asked()[0].head.contains("canary"), "it was sent");
}
