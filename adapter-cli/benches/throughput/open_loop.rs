//! The open loop: one thread that polls its connections. It sleeps at most [`NAP`] at a time,
//! because timers of an async runtime count in milliseconds, and a second thread that keeps the
//! time would compete with the server for two cores.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::load::{Answer, Edge, Load, Tally};
use crate::workload::Workload;

const NAP: Duration = Duration::from_micros(30);

/// Runs a load at `rate` requests per second. Requests that find no free connection leave late,
/// and their latency tells.
pub(crate) fn drive(
    load: &Load,
    rate: u64,
    mut observe: impl FnMut(Edge) -> Result<()>,
) -> Result<Tally> {
    let mut lines = Lines::connect(load)?;
    let mut tally = Tally::default();
    let begin = Instant::now();
    let mut counted_from = None;
    loop {
        let now = begin.elapsed();
        if counted_from.is_none() && now >= load.warm_up {
            observe(Edge::Start)?;
            counted_from = Some(begin.elapsed());
        }
        if now >= load.warm_up + load.window || tally.sent >= load.requests_max {
            break;
        }
        let mut is_idle = true;
        while slot_time(tally.sent, rate) <= now
            && lines.send(tally.sent, slot_time(tally.sent, rate), &load.workload)?
        {
            tally.sent += 1;
            is_idle = false;
        }
        for meant_for in lines.receive(&mut tally, &load.workload)? {
            if counted_from.is_some() {
                tally.latencies.record(begin.elapsed().saturating_sub(meant_for));
            }
            is_idle = false;
        }
        if is_idle {
            std::thread::sleep(NAP);
        }
    }
    tally.window = begin.elapsed() - counted_from.unwrap_or_default();
    observe(Edge::End)?;
    Ok(tally)
}

/// When a request is meant to leave, after the begin.
fn slot_time(number: u64, rate: u64) -> Duration {
    Duration::from_nanos((u128::from(number) * 1_000_000_000 / u128::from(rate)) as u64)
}

struct Lines {
    free: Vec<Line>,
    busy: Vec<Line>,
    request: Vec<u8>,
}

/// A connection, and the answer that it waits for.
struct Line {
    stream: TcpStream,
    /// When its request was meant to leave.
    meant_for: Duration,
    answer: Vec<u8>,
}

impl Lines {
    fn connect(load: &Load) -> Result<Self> {
        let mut free = Vec::new();
        for _ in 0..load.connections {
            let stream = TcpStream::connect(load.address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            free.push(Line {
                stream,
                meant_for: Duration::ZERO,
                answer: Vec::with_capacity(16 * 1024),
            });
        }
        Ok(Self { free, busy: Vec::new(), request: Vec::new() })
    }

    /// Sends a request; `false` where no connection is free.
    fn send(&mut self, number: u64, meant_for: Duration, workload: &Workload) -> Result<bool> {
        let Some(mut line) = self.free.pop() else {
            return Ok(false);
        };
        self.request.clear();
        workload.write(number, &mut self.request)?;
        // One request always fits into the buffer of a connection that waits for nothing.
        line.stream.write_all(&self.request)?;
        line.meant_for = meant_for;
        line.answer.clear();
        self.busy.push(line);
        Ok(true)
    }

    /// Takes the answers that are there; returns when their requests were meant to leave.
    fn receive(&mut self, tally: &mut Tally, workload: &Workload) -> Result<Vec<Duration>> {
        let mut received = Vec::new();
        let mut index = 0;
        while let Some(line) = self.busy.get_mut(index) {
            line.read_more()?;
            let Some(answer) = Answer::read(&line.answer)? else {
                index += 1;
                continue;
            };
            tally.take(&answer, workload);
            received.push(line.meant_for);
            self.free.push(self.busy.swap_remove(index));
        }
        Ok(received)
    }
}

impl Line {
    fn read_more(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err("the server closed a connection".into()),
            Ok(count) => {
                self.answer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
