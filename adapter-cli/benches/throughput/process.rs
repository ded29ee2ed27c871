//! A server in a process of its own: started, found by the address that it prints, measured
//! through `/proc`, killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::Result;

/// How long a server may take to say where it listens; a large database may be recovered first.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// What `/proc/PID/stat` counts in: `USER_HZ`, 100 on every Linux that this bench runs on.
const TICK: Duration = Duration::from_millis(10);

/// A running server; killed when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a server and waits until it has said where it listens.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || follow(stderr, &sender));

        let mut said = String::new();
        loop {
            let Ok(line) = receiver.recv_timeout(START_PATIENCE) else {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the server did not start; it said: {said}").into());
            };
            if let Some(address) = public_address(&line) {
                return Ok(Self { child, address });
            }
            said.push_str(&line);
            said.push('\n');
        }
    }

    /// The processor time that the process has used, of all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold anything; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").ok_or("unreadable /proc/PID/stat")?;
        let mut ticks = 0;
        for field in fields.split(' ').skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
        Ok(TICK * ticks)
    }

    /// The memory of the process in KiB, shared pages in proportion.
    pub(crate) fn memory_kib(&self) -> Result<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let pss = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .ok_or("no Pss in /proc/PID/smaps_rollup")?;
        Ok(pss.trim().trim_end_matches(" kB").parse()?)
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Passes on what the server says, and goes on reading when nobody listens any more: a full pipe
/// would stop the server.
fn follow(stderr: ChildStderr, sender: &mpsc::Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
        let _ = sender.send(line);
    }
}

/// The address in a line that tells of the public listener.
fn public_address(line: &str) -> Option<SocketAddr> {
    if line.contains("admin") {
        return None;
    }
    let (_, rest) = line.split_once("http://")?;
    let end =
        rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}
