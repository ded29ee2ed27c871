//! Connections are used again, and one that was closed meanwhile costs nobody anything.

use std::{io::Write, sync::mpsc};

use counterfoil_core::Next;

use super::{
    receiver::{Asked, Receiver, http},
    sending::Sending,
};
use crate::harness::PATIENCE;

#[test]
fn one_connection_serves_many_messages() {
    let receiver = Receiver::constant("200", "", "ok");
    let sending = Sending::start();
    for _ in 0..20 {
        assert_eq!(sending.send(&receiver.api()).next, Next::Delivered);
    }
    assert_eq!((receiver.asked().len(), receiver.connections()), (20, 1));
}

#[test]
fn a_connection_that_the_receiver_closed_is_replaced() {
    let (told, closed) = mpsc::channel();
    let receiver = Receiver::new(move |mut stream| {
        // Says that it keeps the connection, and closes it.
        Asked::read(&mut stream).unwrap();
        stream.write_all(&http("200", "connection: keep-alive\r\n", b"ok")).unwrap();
        drop(stream);
        told.send(()).unwrap();
    });
    let sending = Sending::start();
    for number in 1..=10 {
        let attempted = sending.send(&receiver.api());
        assert_eq!(attempted.next, Next::Delivered, "{number}: {attempted:?}");
        closed.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(receiver.connections(), 10);
}
