//! Load from wrk: every request takes one of the keys at random, and a service of the same number.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

const CONNECTIONS: usize = 64;
const THREADS: usize = 2;

/// Requests that wrk holds ready, whatever the number of keys: what it does and touches itself must not differ
/// from one contender to the next, as it shares caches with them.
const REQUESTS: usize = 10_000;

/// A host that routes know nothing of: requests to it find their service by its path.
pub const HOST: &str = "bench.test";

/// Marks the line that the script prints at the end, among what wrk itself prints.
const RESULT: &str = "RESULT ";

/// What every key begins with; its number follows. Tollgate takes no key of fewer than 16 characters.
pub const KEY_PREFIX: &str = "benchmark-api-key-";

/// The key of a number, known to every contender that checks keys.
pub fn key(number: usize) -> String {
    format!("{KEY_PREFIX}{number}")
}

/// The path of a service; contenders that know no services pass it on as it is.
pub fn path(number: usize) -> String {
    format!("/bench/s{number}/item")
}

/// A request with this key to this service, as wrk sends it, byte for byte.
pub fn request(key_number: usize, service: usize) -> String {
    request_with(&key(key_number), service)
}

/// The same with a key that has another form.
pub fn request_with(key: &str, service: usize) -> String {
    format!("GET {} HTTP/1.1\r\nHost: {HOST}\r\nX-API-Key: {key}\r\n\r\n", path(service))
}

/// A load with any of so many keys, over so many services.
pub struct Load {
    script: PathBuf,
}

/// What wrk saw.
#[derive(Clone, Copy)]
pub struct Seen {
    pub requests: u64,
    pub requests_per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Responses other than 2xx and 3xx, broken connections and time-outs.
    pub errors: u64,
}

impl Load {
    pub fn new(directory: &Path, host: &str, keys: usize, services: usize) -> Result<Self> {
        let script = directory.join(format!("load-{host}.lua"));
        fs::write(&script, lua(host, keys, services)).context("cannot write wrk's script")?;
        Ok(Self { script })
    }

    pub fn run(&self, address: SocketAddr, time: Duration) -> Result<Seen> {
        // wrk counts in whole seconds.
        let seconds = time.as_secs_f64().ceil();
        let printed = command::capture(
            Command::new("wrk")
                .arg(format!("-c{CONNECTIONS}"))
                .arg(format!("-t{THREADS}"))
                .arg(format!("-d{seconds}s"))
                .args(["--timeout", "10s", "--latency", "-s"])
                .arg(&self.script)
                .arg(format!("http://{address}")),
        )?;
        parse(&printed)
    }
}

/// The requests are made once, so that sending one costs wrk no more than a look-up.
fn lua(host: &str, keys: usize, services: usize) -> String {
    let mut script = String::new();
    let _infallible = write!(
        script,
        r#"
local count = {REQUESTS}
local requests = {{}}
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  math.randomseed(number + 1)
  for i = 0, count - 1 do
    local key = i % {keys}
    local service = key % {services}
    requests[i] = "GET /bench/s" .. service .. "/item HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {KEY_PREFIX}" .. key .. "\r\n\r\n"
  end
end

function request()
  return requests[math.random(0, count - 1)]
end

function done(summary, latency)
  local e = summary.errors
  print(string.format('{RESULT}{{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"errors":%d}}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"#
    );
    script
}

fn parse(printed: &str) -> Result<Seen> {
    let line = printed.lines().find_map(|line| line.strip_prefix(RESULT));
    let result: Value = serde_json::from_str(line.context("wrk printed no result")?)?;
    let number = |name: &str| result[name].as_u64().with_context(|| format!("wrk gave no {name}"));
    let requests = number("requests")?;
    let duration = Duration::from_micros(number("duration_us")?);
    Ok(Seen {
        requests,
        requests_per_second: super::stats::float(requests) / duration.as_secs_f64(),
        p50: Duration::from_micros(number("p50_us")?),
        p99: Duration::from_micros(number("p99_us")?),
        errors: number("errors")?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse;

    #[test]
    fn the_result_is_found_among_what_wrk_prints() {
        let printed = "Running 1s test\n  64 connections\n\
            RESULT {\"requests\":500,\"duration_us\":2000000,\"p50_us\":7,\"p99_us\":9,\"errors\":1}\n";
        let seen = parse(printed).unwrap();
        assert_eq!((seen.requests, seen.errors, seen.p99), (500, 1, Duration::from_micros(9)));
        assert!((seen.requests_per_second - 250.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_without_a_result_is_an_error() {
        assert!(parse("unable to connect\n").is_err());
    }
}
