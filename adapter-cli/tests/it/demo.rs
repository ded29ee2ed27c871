//! The demo: a newcomer's first minute.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    client::{Client, block_on},
    sandbox::Sandbox,
};

/// The demos of these tests want the same ports: one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_story_is_told_from_click_to_what_the_affiliate_heard() {
    let _alone = alone();
    let ran = Sandbox::new().run("demo --exit").code(0);
    let chapters = [
        "302 to https://shoply.example/?pcid=",
        "created: conversion.created, transaction.created",
        "pending: Shoply owes you 10.00, you owe Bo 5.00 EUR",
        "revenue 10.00 EUR: 10 % of the value 100.00",
        "duplicate of conversion",
        "?pcid=%7Bpcid%7D&type=sale",
        "refused (unresolved_macro)",
        "try: the sender must replace the macro",
        "/bo?order=ORDER-1&status=pending&sum=5.00\n   200 message ",
        "/shoply/orders/ORDER-1\n   200 {\"state\":\"open\"}",
        "200 {\"state\":\"paid\"}",
        "tracking_api ",
        "approved: Shoply owes you 10.00, you owe Bo 5.00 EUR",
        "/bo?order=ORDER-1&status=pending&sum=5.00\n   200 message ",
        "/bo?order=ORDER-1&status=approved&sum=5.00\n   200 message ",
    ];
    let mut rest = ran.stdout.as_str();
    for part in chapters {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("`{part}` is missing or out of order in {}", ran.stdout);
        };
        rest = after;
    }
    assert_eq!(ran.stderr, "");
}

#[test]
fn taken_ports_are_no_obstacle() {
    let _alone = alone();
    // Held by us they are taken for certain; held by another program, nobody knows for how long.
    let held = [8080, 8081].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let ran = Sandbox::new().run("demo --exit").code(0).stdout_has("approved: Shoply owes you");
    if held[0].is_ok() {
        assert!(!ran.stdout.contains("127.0.0.1:8080"), "{}", ran.stdout);
    }
}

#[test]
fn it_serves_on_until_it_is_interrupted_and_leaves_nothing_behind() {
    let _alone = alone();
    let sandbox = Sandbox::new();
    let mut command = sandbox.command();
    command.arg("demo").env("TMPDIR", sandbox.path("."));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = said.map_while(Result::ok).any(|line| line.contains("serving until Ctrl-C"));
    assert!(serving, "the demo ended");

    let told: Vec<String> = {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = lines.map_while(Result::ok);
        // The last line that is told is the one that shows how to explain.
        let mut told = Vec::new();
        for line in lines {
            let last = line.contains(" explain --rules ");
            told.push(line);
            if last {
                break;
            }
        }
        told
    };
    let link = told.iter().find(|line| line.trim().starts_with("http://")).unwrap();
    let (address, path) = link.trim().trim_start_matches("http://").split_once('/').unwrap();
    let address: SocketAddr = address.parse().unwrap();
    let answer = block_on(async {
        let mut client = Client::connect(address).await?;
        client.get(&format!("/{path}")).await
    });
    assert_eq!(answer.unwrap().status, 302);

    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let left = std::fs::read_dir(sandbox.path(".")).unwrap().count();
    assert_eq!(left, 0, "files were left behind");
}

/// The demo carries its rules within its crate; they are the sample rules of the fixtures.
#[test]
fn its_rules_are_the_sample_rules() {
    let of = |path: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let sample = of("../fixtures/rulesets/shoply.toml");
    assert_eq!(of("src/command/demo/shoply.toml"), sample);
}
