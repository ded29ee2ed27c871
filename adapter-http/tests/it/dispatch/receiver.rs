//! Receivers of messages: plain sockets that behave as they are told.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::harness::PATIENCE;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// Reads one request; none where the connection ended without one.
    pub(crate) fn read(stream: &mut impl Read) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut asked = Self { head, body: Vec::new() };
        let len = asked.header("content-length").map_or(0, |len| len.parse().unwrap());
        asked.body = vec![0; len];
        stream.read_exact(&mut asked.body).ok()?;
        Some(asked)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

/// A listener on loopback that lives as long as the process.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    asked: Vec<Asked>,
}

impl Receiver {
    /// Does the same with each connection, beside each other.
    pub(crate) fn new(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::seeing(move |_, stream| behave(stream))
    }

    /// Answers each request by its number from zero, on connections that are kept.
    pub(crate) fn answering(answer: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::seeing(move |receiver, mut stream| {
            while let Some(asked) = Asked::read(&mut stream) {
                let number = receiver.note(asked);
                if stream.write_all(&answer(number)).is_err() {
                    return;
                }
            }
        })
    }

    /// Answers every request alike.
    pub(crate) fn constant(status: &str, headers: &str, body: &str) -> Self {
        let answer = http(status, headers, body.as_bytes());
        Self::answering(move |_| answer.clone())
    }

    fn seeing(behave: impl Fn(&Self, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Self { address, seen: Arc::default() };
        let (seeing, behave) = (receiver.clone(), Arc::new(behave));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_write_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                seeing.seen.lock().unwrap().connections += 1;
                let (behave, seeing) = (behave.clone(), seeing.clone());
                thread::spawn(move || behave(&seeing, stream));
            }
        });
        receiver
    }

    fn note(&self, asked: Asked) -> usize {
        let mut seen = self.seen.lock().unwrap();
        seen.asked.push(asked);
        seen.asked.len() - 1
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().asked.clone()
    }

    /// A tracking API that calls it.
    pub(crate) fn api(&self) -> String {
        format!("request = {{ url = 'http://{}/' }}", self.address)
    }
}

/// An answer with its length.
pub(crate) fn http(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {len}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}
