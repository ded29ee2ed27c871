//! Where messages may go (P6): against a listener that must stay silent.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use counterfoil_core::{AttemptOutcome, DeadReason, Next};
use counterfoil_http::{DispatchConfig, Resolver};

use super::{receiver::Receiver, sending::Sending};

/// A dispatcher that may reach public addresses only.
fn strict(change: impl FnOnce(&mut DispatchConfig)) -> Sending {
    Sending::with(|config| {
        config.allowed.clear();
        change(config);
    })
}

/// A resolver that answers each time with the next list, and with the last one for ever.
fn resolver(lists: &[&[&str]]) -> Resolver {
    let parse = |list: &&[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    let lists: Vec<Vec<IpAddr>> = lists.iter().map(parse).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_| {
        let index = asked.fetch_add(1, Ordering::SeqCst).min(lists.len() - 1);
        let list = lists[index].clone();
        Box::pin(async move { Ok(list) })
    })
}

#[test]
fn no_spelling_of_loopback_is_reached() {
    let silent = Receiver::constant("200", "", "");
    let port = silent.address.port();
    let sending = strict(|_| {});
    // The system reads these as 127.0.0.1, or does not know them.
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7F.0.0.0x1",
        "017700000001",
        "0177.0.0.01",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "255.255.255.255",
        "224.0.0.1",
    ];
    for host in hosts {
        let api = format!("request = {{ url = 'http://{host}:{port}/' }}\ntimeout = '20s'");
        let attempted = sending.send(&api);
        let error = attempted.error.unwrap();
        if attempted.outcome != AttemptOutcome::Forbidden {
            assert!(error.starts_with("cannot look up"), "{host}: {error}");
            continue;
        }
        assert_eq!(attempted.next, Next::Dead(DeadReason::Forbidden), "{host}");
        assert!(error.contains("--allow-destination"), "{error}");
    }
    assert_eq!(silent.connections(), 0);
}

#[test]
fn the_address_is_named_with_the_flag_that_allows_it() {
    let sending = strict(|config| config.resolver = resolver(&[&["10.1.2.3", "127.0.0.1"]]));
    let attempted = sending.send("request = { url = 'https://shop.example/' }");
    let want = "`shop.example` leads to `10.1.2.3`, which is private; where this is meant, start \
                with `--allow-destination 10.1.2.3`";
    assert_eq!(attempted.error.as_deref(), Some(want));
    assert_eq!(attempted.next, Next::Dead(DeadReason::Forbidden));
    let sending = strict(|config| config.resolver = resolver(&[&[]]));
    let attempted = sending.send("request = { url = 'http://shop.example/' }");
    assert_eq!(attempted.error.as_deref(), Some("`shop.example` has no address"));
    assert_eq!(attempted.outcome, AttemptOutcome::Unanswered);
}

#[test]
fn a_name_that_leads_elsewhere_a_moment_later_is_not_followed() {
    let receiver = Receiver::constant("200", "connection: close\r\n", "");
    let port = receiver.address.port();
    let lists: [&[&str]; 3] = [&["127.0.0.2"], &["127.0.0.1"], &["127.0.0.2", "127.0.0.1"]];
    // Only the second list has what is allowed; the third has it beside what is not.
    let sending = strict(|config| {
        config.resolver = resolver(&lists);
        config.allowed = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let api = format!("request = {{ url = 'http://shop.example:{port}/' }}");
    let first = sending.send(&api);
    assert_eq!((first.outcome, receiver.connections()), (AttemptOutcome::Forbidden, 0));
    assert_eq!(sending.send(&api).next, Next::Delivered);
    // Where only some are allowed, only those are tried.
    assert_eq!(sending.send(&api).next, Next::Delivered);
    assert_eq!(receiver.connections(), 2);
}

#[test]
fn each_connection_is_vetted_anew() {
    let receiver = Receiver::constant("200", "connection: close\r\n", "");
    let port = receiver.address.port();
    let sending = strict(|config| {
        config.resolver = resolver(&[&["127.0.0.1"], &["::1"]]);
        config.allowed = vec!["127.0.0.1/32".parse().unwrap()];
    });
    let api = format!("request = {{ url = 'http://shop.example:{port}/' }}");
    assert_eq!(sending.send(&api).next, Next::Delivered);
    assert_eq!(sending.send(&api).outcome, AttemptOutcome::Forbidden);
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn the_next_address_is_tried_where_one_takes_no_connection() {
    let receiver = Receiver::constant("200", "", "");
    let port = receiver.address.port();
    let sending = strict(|config| {
        // Nothing listens on the first one.
        config.resolver = resolver(&[&["127.0.0.3", "127.0.0.1"]]);
        config.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let attempted = sending.send(&format!("request = {{ url = 'http://two.example:{port}/' }}"));
    assert_eq!(attempted.next, Next::Delivered);
}

#[test]
fn a_lookup_that_hangs_ends_with_the_timeout() {
    let sending = strict(|config| {
        config.resolver = Arc::new(|_| Box::pin(std::future::pending()));
    });
    let attempted = sending.send("request = { url = 'http://shop.example/' }\ntimeout = '100ms'");
    assert_eq!(attempted.error.as_deref(), Some("no whole answer within 100ms"));
}
