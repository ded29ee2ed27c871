//! wrk as the generator, where it is installed (`--wrk`). The targets were set with it. It costs
//! more for each request than the bare server does, so that the bare server shows less of what it
//! can do beside it, and all ratios of rates are higher than with our own generator.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::workload::{Kind, REPEATED, Workload};

/// More than any server answers here: wrk begins again when it has sent them all.
const REQUESTS_PER_SECOND_MAX: u64 = 80_000;

/// Sends what a file says, line by line, and prints the figures in one line. The lines stay one
/// text: a table of them would be walked through again and again by Lua's collector.
const SCRIPT: &str = r#"
local targets = io.open(os.getenv("TARGETS")):read("*a")
local from = 1
request = function()
  if from > #targets then from = 1 end
  local stop = targets:find("\n", from, true)
  local target = targets:sub(from, stop - 1)
  from = stop + 1
  return wrk.format("GET", target)
end
done = function(summary, latency)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  print(string.format("figures: %d %d %d %d %d %d", failed, summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// What wrk saw.
pub(crate) struct Seen {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
}

/// Drives a server in a closed loop, with one thread.
pub(crate) fn drive(
    address: SocketAddr,
    connections: usize,
    window: Duration,
    workload: &Workload,
) -> Result<Seen> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("load.lua");
    std::fs::write(&script, SCRIPT)?;
    let targets = folder.path().join("targets");
    std::fs::write(&targets, targets_of(workload, window)?)?;
    let ran = Command::new("wrk")
        .args(["--threads", "1", "--latency"])
        .args(["--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", window.as_secs())])
        .arg("--script")
        .arg(&script)
        .arg(format!("http://{address}"))
        .env("TARGETS", &targets)
        .output()
        .map_err(|error| {
            format!("`wrk` cannot be run: {error}; install it, or leave `--wrk` out")
        })?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let figures = said.lines().find_map(|line| line.strip_prefix("figures: "));
    let figures: Vec<f64> = figures
        .ok_or_else(|| {
            format!("wrk said no figures: {said}{}", String::from_utf8_lossy(&ran.stderr))
        })?
        .split(' ')
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    let [failed, requests, micros, p50, p99, p999] = *figures.as_slice() else {
        return Err(format!("wrk said other figures than asked: {said}").into());
    };
    if failed > 0.0 {
        return Err(format!("{failed} requests of wrk failed").into());
    }
    Ok(Seen {
        requests,
        seconds: micros / 1e6,
        p50_ms: p50 / 1e3,
        p99_ms: p99 / 1e3,
        p999_ms: p999 / 1e3,
    })
}

/// The paths with queries, one a line.
fn targets_of(workload: &Workload, window: Duration) -> Result<Vec<u8>> {
    let count = match workload.kind {
        Kind::Repeats => REPEATED,
        _ => REQUESTS_PER_SECOND_MAX * window.as_secs(),
    };
    let mut lines = Vec::new();
    for number in 0..count {
        workload.write_target(number, &mut lines)?;
        lines.write_all(b"\n")?;
    }
    Ok(lines)
}
