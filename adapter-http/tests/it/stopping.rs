//! A graceful stop loses no accepted request (P11).

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use counterfoil_http::{Config, Secret, Server};

use crate::{
    harness::{ADMIN_TOKEN, PATIENCE, RULES, Reply, Running, connect},
    memory::{Memory, Mood},
};

#[test]
fn a_stop_under_load_answers_what_runs_and_what_it_answered_is_stored() {
    let running = Running::start();
    let pcid = running.click();
    running.store.set_mood(Mood::Slow(Duration::from_millis(5)));
    let clients: Vec<_> = (0..16)
        .map(|client| {
            let (address, pcid) = (running.public, pcid.clone());
            std::thread::spawn(move || load(address, client, &pcid))
        })
        .collect();
    running.store.wait_for(200);
    let store = running.store.clone();
    let stopped = running.stop();
    assert!(!stopped.cut, "everything ended by itself");
    let answered: Vec<String> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let stored: BTreeSet<String> =
        store.log().iter().filter_map(|row| Some(row.conversion_id?.to_string())).collect();
    assert!(answered.len() > 50, "{}", answered.len());
    for id in &answered {
        assert!(stored.contains(id), "{id} was answered and is not stored");
    }
    // One sale of each client may have been decided for a connection that ended; none in between.
    assert!(store.log().len() <= answered.len() + 16);
}

/// Sends sales on one connection until it ends; the conversions that were answered.
fn load(address: std::net::SocketAddr, client: usize, pcid: &str) -> Vec<String> {
    let mut stream = connect(address);
    let mut answered = Vec::new();
    for n in 0.. {
        let query = format!("pcid={pcid}&type=sale&external_id={client}-{n}");
        let request = format!("GET /api/acme/postbacks/handle?{query} HTTP/1.1\r\nhost: t\r\n\r\n");
        if stream.write_all(request.as_bytes()).is_err() {
            break;
        }
        let Some(reply) = Reply::read(&mut stream) else {
            break;
        };
        assert_eq!(reply.status, 200, "{reply:?}");
        answered.push(reply.json()["conversion_id"].as_str().unwrap().to_owned());
    }
    answered
}

#[test]
fn a_request_that_runs_is_finished_and_its_connection_closed() {
    let running = Running::start();
    let pcid = running.click();
    running.store.set_mood(Mood::Slow(Duration::from_millis(300)));
    let mut stream = connect(running.public);
    let request =
        format!("GET /api/acme/postbacks/handle?pcid={pcid}&type=sale HTTP/1.1\r\nhost: t\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    running.store.wait_for(2);
    let stopped = running.stop();
    assert!(!stopped.cut);
    let reply = Reply::read(&mut stream).unwrap();
    assert_eq!(reply.json()["outcome"], "created");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A server that is bound and not run yet: the system takes connections for it.
fn bound() -> (Server, Memory) {
    let store = Memory::new(RULES);
    let mut config = Config::new(Secret::new(ADMIN_TOKEN));
    config.listen.set_port(0);
    config.admin_listen.set_port(0);
    (Server::bind(config, Arc::new(store.clone())).unwrap(), store)
}

fn click(stream: &mut TcpStream) {
    stream.write_all(b"GET /c/acme/plain/bo HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
}

/// Checks that a click was led on and that the connection ended behind its answer.
#[track_caller]
fn assert_led_on_and_closed(stream: &mut TcpStream) {
    let reply = Reply::read(stream).expect("an answer");
    assert_eq!(reply.status, 302, "{reply:?}");
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn what_waits_to_be_accepted_is_answered_before_the_end() {
    const CLIENTS: usize = 50;
    let (server, store) = bound();
    let address = server.public_addr().unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect(address)).collect();
    clients.iter_mut().for_each(click);
    let mut silent = connect(address);
    let mut admin = connect(server.admin_addr().unwrap());
    admin.write_all(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    server.handle().stop();
    let stopped = server.run(std::future::pending()).unwrap();
    assert!(!stopped.cut, "the silent one is not waited for");
    clients.iter_mut().for_each(assert_led_on_and_closed);
    assert_eq!(Reply::read(&mut admin).unwrap().status, 200);
    assert_eq!(store.log().len(), CLIENTS);
    assert!(matches!(silent.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn what_was_sent_while_the_server_was_busy_is_answered_before_the_end() {
    let (server, store) = bound();
    let address = server.public_addr().unwrap();
    let (send, sent) = tokio::sync::oneshot::channel::<TcpStream>();
    let (hand_back, handed_back) = std::sync::mpsc::channel();
    // It runs on the server's one thread, which does nothing else meanwhile.
    let shutdown = async move {
        let mut kept = sent.await.unwrap();
        let mut fresh = connect(address);
        click(&mut kept);
        click(&mut fresh);
        hand_back.send([kept, fresh]).unwrap();
    };
    let thread = std::thread::spawn(|| server.run(shutdown).unwrap());
    let mut kept = connect(address);
    click(&mut kept);
    assert_eq!(Reply::read(&mut kept).unwrap().status, 302);
    send.send(kept).unwrap();
    let mut streams = handed_back.recv_timeout(PATIENCE).unwrap();
    streams.iter_mut().for_each(assert_led_on_and_closed);
    assert!(!thread.join().unwrap().cut);
    assert_eq!(store.log().len(), 3);
}

#[test]
fn silent_and_idle_connections_do_not_hold_up_a_stop() {
    let running = Running::start();
    let silent = connect(running.public);
    let mut idle = connect(running.public);
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
    assert_eq!(Reply::read(&mut idle).unwrap().status, 404);
    let (public, admin) = (running.public, running.admin);
    assert!(!running.stop().cut);
    for mut stream in [silent, idle] {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    for address in [public, admin] {
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}

#[test]
fn what_does_not_end_in_time_is_cut() {
    let running = Running::with(|config| config.limits.stop = Duration::from_millis(100));
    let mut stream = connect(running.public);
    stream.write_all(b"GET /slow HTTP/1.1\r\nx: ").unwrap();
    running.store.set_mood(Mood::Slow(Duration::from_secs(5)));
    let pcid = "01930000-0000-7000-8000-00000000ffff";
    let mut waits = connect(running.public);
    let request =
        format!("GET /api/acme/postbacks/handle?pcid={pcid}&type=sale HTTP/1.1\r\nhost: t\r\n\r\n");
    waits.write_all(request.as_bytes()).unwrap();
    running.store.wait_for(1);
    running.ask_to_stop();
    assert!(running.stop().cut);
    assert!(Reply::read(&mut waits).is_none());
}

#[test]
fn a_taken_address_is_said_at_once() {
    let running = Running::start();
    let mut config = Config::new(Secret::new("token"));
    config.listen = running.public;
    config.admin_listen.set_port(0);
    let error = Server::bind(config, Arc::new(running.store.clone())).err().unwrap();
    assert_eq!(error.address, running.public);
    assert!(error.to_string().starts_with("cannot listen on `127.0.0.1:"), "{error}");
}
