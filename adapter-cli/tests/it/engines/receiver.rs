//! The other side of messages: rules that lead to this machine, and a receiver there that answers
//! as a scenario says.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use counterfoil_core::Timestamp;
use counterfoil_fixtures::Delivered;

/// The secret that every request needs in its path: without it nothing is sent, by a fault of
/// ours.
pub(crate) const NEEDED: &str = "scenario";

/// Receivers on ports of this machine, one for each host of the rules, that answer alike.
#[derive(Default)]
pub(crate) struct Receiver {
    answer: Arc<Mutex<Delivered>>,
    /// The addresses that stand for hosts of the rules: `http://127.0.0.1:9000/{secret:scenario}`
    /// by `https://bo.example/{secret:scenario}`.
    origins: BTreeMap<String, String>,
    ports: Vec<SocketAddr>,
    ends: Arc<AtomicBool>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Each thread looks up once more, and ends.
        self.ports.iter().for_each(|port| drop(TcpStream::connect(port)));
    }
}

impl Receiver {
    /// Receives on another port.
    fn listen(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address");
        self.ports.push(port);
        let (answer, ends) = (Arc::clone(&self.answer), Arc::clone(&self.ends));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                let answer = answer.lock().expect("the answer").clone();
                // Whoever goes away is shown by its own side.
                let _ = receive(stream, &answer);
            }
        });
        port
    }

    /// From now on it answers so.
    pub(crate) fn answers(&self, answer: &Delivered) {
        *self.answer.lock().expect("the answer") = answer.clone();
    }

    /// The rules with an address of this machine for each host that messages go to.
    pub(crate) fn redirected(&mut self, rules: &str) -> String {
        let mut chunks = rules.split("\n[[");
        let mut redirected = chunks.next().unwrap_or_default().to_owned();
        for chunk in chunks {
            redirected.push_str("\n[[");
            match ["tracking_api]]", "postback"].iter().any(|of| chunk.starts_with(of)) {
                true => redirected.push_str(&self.redirect(chunk)),
                false => redirected.push_str(chunk),
            }
        }
        redirected
    }

    fn redirect(&mut self, chunk: &str) -> String {
        // What belongs to an affiliate is sent without the secrets of others.
        let needed = match chunk.contains("affiliate = ") {
            true => String::new(),
            false => format!("/{{secret:{NEEDED}}}"),
        };
        let mut parts = chunk.split("\"http");
        let mut redirected = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let host = part.find("://").map_or(0, |at| at + 3);
            let end = part[host..].find(['/', '?', '"']).map_or(part.len(), |at| host + at);
            let (origin, rest) = part.split_at(end);
            let origin = format!("http{origin}{needed}");
            if !self.origins.contains_key(&origin) {
                let here = format!("http://{}{needed}", self.listen());
                self.origins.insert(origin.clone(), here);
            }
            redirected.push_str(&format!("\"{}{rest}", self.origins[&origin]));
        }
        redirected
    }

    /// What the binary says, with the hosts of the rules.
    pub(crate) fn told(&self, text: &str) -> String {
        let needed = format!("/{{secret:{NEEDED}}}");
        let whole = |text: String, (host, here): (&String, &String)| {
            text.replace(here, host.trim_end_matches(&needed))
        };
        self.origins.iter().fold(text.to_owned(), whole)
    }
}

fn receive(stream: TcpStream, answer: &Delivered) -> std::io::Result<()> {
    let mut from = BufReader::new(&stream);
    let mut body_len = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        match line.trim_end().split_once(':') {
            Some((name, len)) if name.eq_ignore_ascii_case("content-length") => {
                body_len = len.trim().parse().unwrap_or(0);
            }
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    from.by_ref().take(body_len).read_to_end(&mut Vec::new())?;
    // An answer takes its time, whichever moment it is to be.
    thread::sleep(Duration::from_millis(3));
    if answer.unanswered {
        return Ok(());
    }
    let status = answer.status.unwrap_or(200);
    let body = answer.body.as_deref().filter(|_| status != 204).unwrap_or_default();
    let mut head = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\n");
    if let Some(after) = &answer.retry_after {
        head.push_str(&format!("retry-after: {}\r\n", retry_after(after)));
    }
    if status != 204 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    (&stream).write_all(format!("{head}\r\n{body}").as_bytes())
}

/// Seconds, or a date as HTTP writes it.
fn retry_after(text: &str) -> String {
    if let Ok(wait) = text.parse::<counterfoil_core::Period>() {
        return (wait.as_ms() / 1000).to_string();
    }
    let at: Timestamp = text.parse().expect("a duration or a time");
    httpdate(at)
}

/// `Sat, 03 Jan 2026 01:00:00 GMT`
fn httpdate(at: Timestamp) -> String {
    let days = at.as_ms().div_euclid(86_400_000);
    // The first of January 1970 was a Thursday.
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names[usize::try_from(days.rem_euclid(7)).expect("a day")];
    let text = at.to_string();
    let month: usize = text[5..7].parse().expect("a month");
    let (year, day, time) = (&text[..4], &text[8..10], &text[11..19]);
    format!("{name}, {day} {} {year} {time} GMT", months[month - 1])
}

#[test]
fn a_moment_as_http_writes_it() {
    let at: Timestamp = "2026-01-03T01:00:00Z".parse().expect("a time");
    assert_eq!(httpdate(at), "Sat, 03 Jan 2026 01:00:00 GMT");
}
