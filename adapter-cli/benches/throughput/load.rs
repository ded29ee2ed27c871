//! The load generator: one thread, keep-alive connections, one request at a time on each. A
//! *closed* loop sends the next request when the answer is there and finds the most that a server
//! takes; an *open* loop sends at a fixed rate and counts latency from the moment at which the
//! request was meant to leave, so that a stalled server cannot hide its stall.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Result;
use crate::histogram::Histogram;
use crate::workload::Workload;

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
    /// A figure made of wrong answers would mean nothing.
    pub(crate) fn all_as_expected(&self) -> Result<()> {
        if self.unexpected == 0 {
            return Ok(());
        }
        let Self {
            unexpected,
            first_unexpected,
            ..
        } = self;
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(load, observe))
}

struct Shared {
    load: Load,
    tally: Mutex<Tally>,
    next: AtomicU64,
    counting: AtomicBool,
    stopping: AtomicBool,
    slots: Semaphore,
    begin: Instant,
}

async fn run(load: Load, mut observe: impl FnMut(Edge) -> Result<()>) -> Result<Tally> {
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
        slots: Semaphore::new(0),
        begin: Instant::now(),
    });
    let pacer = start_pacer(&shared);
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

    shared.slots.close();
    while tasks.join_next().await.is_some() {}
    if let Some(pacer) = pacer {
        pacer.join().map_err(|_| "the pacer ended badly")?;
    }
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
    tokio::time::timeout(patience, drain)
        .await
        .unwrap_or(Ok(()))
}

/// Timers of the runtime are too coarse for an open loop: a thread sleeps to each slot.
fn start_pacer(shared: &Arc<Shared>) -> Option<std::thread::JoinHandle<()>> {
    let Pace::Open(rate) = shared.load.pace else {
        return None;
    };
    let shared = shared.clone();
    Some(std::thread::spawn(move || {
        let mut released = 0;
        while !shared.stopping.load(Relaxed) {
            let due = slots_due(shared.begin.elapsed(), rate);
            shared.slots.add_permits((due - released) as usize);
            released = due;
            let next = shared.begin + slot_time(released, rate);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }))
}

fn slots_due(elapsed: Duration, rate: u64) -> u64 {
    (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64
}

fn slot_time(slot: u64, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(slot) * 1_000_000_000 / u128::from(rate)) as u64)
}

async fn converse(shared: Arc<Shared>, mut stream: TcpStream) -> Result<()> {
    let mut request = Vec::with_capacity(1024);
    let mut answer = Vec::with_capacity(16 * 1024);
    loop {
        if let Pace::Open(_) = shared.load.pace {
            match shared.slots.acquire().await {
                Ok(slot) => slot.forget(),
                Err(_) => return Ok(()),
            }
        }
        if shared.stopping.load(Relaxed) {
            return Ok(());
        }
        let number = shared.next.fetch_add(1, Relaxed);
        if number >= shared.load.requests_max {
            return Ok(());
        }
        let begin = match shared.load.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => shared.begin + slot_time(number, rate),
        };
        request.clear();
        shared.load.workload.write(number, &mut request)?;
        stream.write_all(&request).await?;
        let (status, body_start) = read_answer(&mut stream, &mut answer).await?;
        let body = answer.get(body_start..).unwrap_or_default();
        shared.count(begin.elapsed(), status, body);
    }
}

impl Shared {
    fn count(&self, latency: Duration, status: u16, body: &[u8]) {
        let workload = &self.load.workload;
        let mut tally = lock(&self.tally);
        tally.answered += 1;
        if status != workload.expected_status() || !body.starts_with(workload.expected_body()) {
            if tally.unexpected == 0 {
                tally.first_unexpected = format!("{status} {}", String::from_utf8_lossy(body));
            }
            tally.unexpected += 1;
        }
        if self.counting.load(Relaxed) {
            tally.latencies.record(latency.as_nanos() as u64);
        }
    }
}

/// Reads one answer into `buffer`: its status, and where its body starts.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(u16, usize)> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the server closed a connection".into());
        }
        let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = buffer.get(..head_end).unwrap_or_default();
        let body_start = head_end + 4;
        let (status, body_length) = read_head(head)?;
        while buffer.len() < body_start + body_length {
            if stream.read_buf(buffer).await? == 0 {
                return Err("the server closed a connection within an answer".into());
            }
        }
        return Ok((status, body_start));
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
