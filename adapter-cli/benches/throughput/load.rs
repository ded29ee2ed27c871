//! The load generator: one thread, keep-alive connections, one request at a time on each. A
//! *closed* loop sends the next request when the answer is there and finds the most that a server
//! takes; an *open* loop sends at a fixed rate and counts latency from the moment at which the
//! request was meant to leave, so that a stalled server cannot hide its stall ([`open_loop`]).

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::histogram::Histogram;
use crate::workload::Workload;
use crate::{Result, open_loop};

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Closed,
    /// Requests per second, over all connections.
    Open(u64),
}

/// One load on one server.
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Answers before it are not counted.
    pub(crate) warm_up: Duration,
    /// How long answers are counted.
    pub(crate) window: Duration,
    /// The most requests; the load ends early when they are answered.
    pub(crate) requests_max: u64,
    pub(crate) workload: Workload,
}

/// What the load saw in its window.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) latencies: Histogram,
    /// The length of the window as it was.
    pub(crate) window: Duration,
    /// Answers of the whole load that were not as expected, and the first of them.
    pub(crate) unexpected: u64,
    pub(crate) first_unexpected: String,
    /// Requests of the whole load: the numbers below this were sent, so many were answered.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
}

impl Tally {
    /// Counts an answer and looks whether it is the expected one.
    pub(crate) fn take(&mut self, answer: &Answer<'_>, workload: &Workload) {
        self.answered += 1;
        let as_expected = answer.status == workload.expected_status()
            && answer.body.starts_with(workload.expected_body());
        if as_expected {
            return;
        }
        if self.unexpected == 0 {
            let body = String::from_utf8_lossy(answer.body);
            self.first_unexpected = format!("{} {body}", answer.status);
        }
        self.unexpected += 1;
    }

    /// A figure made of wrong answers would mean nothing.
    pub(crate) fn all_as_expected(&self) -> Result<()> {
        if self.unexpected == 0 {
            return Ok(());
        }
        let Self { unexpected, first_unexpected, .. } = self;
        Err(format!("{unexpected} answers were not as expected, first: {first_unexpected}").into())
    }
}

/// The ends of the window, told to the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Start,
    End,
}

/// Runs a load. A connection that breaks is an error, but for one that breaks after the observer
/// has seen the end of the window: it may have killed the server.
pub(crate) fn drive(load: Load, observe: impl FnMut(Edge) -> Result<()>) -> Result<Tally> {
    if let Pace::Open(rate) = load.pace {
        return open_loop::drive(&load, rate, observe);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(closed_loop(load, observe))
}

struct Shared {
    load: Load,
    tally: Mutex<Tally>,
    next: AtomicU64,
    counting: AtomicBool,
    stopping: AtomicBool,
}

async fn closed_loop(load: Load, mut observe: impl FnMut(Edge) -> Result<()>) -> Result<Tally> {
    let mut connections = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        connections.push(stream);
    }
    let shared = Arc::new(Shared {
        load,
        tally: Mutex::default(),
        next: AtomicU64::new(0),
        counting: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for stream in connections {
        tasks.spawn(converse(shared.clone(), stream));
    }

    all_ended(&mut tasks, shared.load.warm_up).await?;
    observe(Edge::Start)?;
    let start = Instant::now();
    shared.counting.store(true, Relaxed);
    all_ended(&mut tasks, shared.load.window).await?;
    shared.counting.store(false, Relaxed);
    let window = start.elapsed();
    shared.stopping.store(true, Relaxed);
    observe(Edge::End)?;

    while tasks.join_next().await.is_some() {}
    let mut tally = std::mem::take(&mut *lock(&shared.tally));
    tally.window = window;
    tally.sent = shared.next.load(Relaxed).min(shared.load.requests_max);
    Ok(tally)
}

/// Waits until all connections are through with their requests, or until the time is over.
async fn all_ended(tasks: &mut JoinSet<Result<()>>, patience: Duration) -> Result<()> {
    let drain = async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    };
    tokio::time::timeout(patience, drain).await.unwrap_or(Ok(()))
}

async fn converse(shared: Arc<Shared>, mut stream: TcpStream) -> Result<()> {
    let workload = &shared.load.workload;
    let mut request = Vec::with_capacity(1024);
    let mut buffer = Vec::with_capacity(16 * 1024);
    while !shared.stopping.load(Relaxed) {
        let number = shared.next.fetch_add(1, Relaxed);
        if number >= shared.load.requests_max {
            break;
        }
        let begin = Instant::now();
        request.clear();
        workload.write(number, &mut request)?;
        stream.write_all(&request).await?;
        buffer.clear();
        let answer = loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err("the server closed a connection".into());
            }
            if let Some(answer) = Answer::read(&buffer)? {
                break answer;
            }
        };
        let mut tally = lock(&shared.tally);
        tally.take(&answer, workload);
        if shared.counting.load(Relaxed) {
            tally.latencies.record(begin.elapsed());
        }
    }
    Ok(())
}

/// An answer on a keep-alive connection.
pub(crate) struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

impl<'a> Answer<'a> {
    /// The answer that these bytes are; none as long as they are only its beginning.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<Self>> {
        let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let (head, rest) = bytes.split_at(head_end);
        let (status, body_length) = read_head(head)?;
        let body = rest.get(4..4 + body_length);
        Ok(body.map(|body| Self { status, body }))
    }
}

fn read_head(head: &[u8]) -> Result<(u16, usize)> {
    let head = str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .ok_or("an answer without a status")?
        .parse()?;
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok((status, value.parse()?));
        }
    }
    Err("an answer without a content-length".into())
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
