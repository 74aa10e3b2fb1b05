//! What the binary is trained with: the traffic that a gateway has, in the proportions that matter.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bench::client::Connection;
use crate::bench::load::{self, Load};
use crate::bench::nginx;
use crate::bench::tollgate::{self, Balanced, Home, Seed};

const KEYS: usize = 1_000;
/// Of each of the rarer kinds of request.
const REPETITIONS: usize = 300;
const LOADED: Duration = Duration::from_secs(10);
/// By a route, to targets to choose among.
const BALANCED: Duration = Duration::from_secs(3);

/// Runs the instrumented binary; it writes its profile as it ends.
pub fn run(instrumented: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot create a temporary directory")?;
    let directory = |name: &str| -> Result<_> {
        let path = scratch.path().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot create the directory {name}"))?;
        Ok(path)
    };
    let upstream = nginx::upstream(&directory("upstream")?)?;
    let home = Home::new(directory("tollgate")?)?;
    let balanced = Some(Balanced { algorithm: "latency", second: nginx::second_address(&upstream) });
    let seed = Seed { services: KEYS, keys: KEYS, upstream: upstream.address, counting: "leased", balanced };
    let tollgate = tollgate::start_filled(instrumented, &home, &seed)?;
    let address = tollgate.server.address;
    rarer_requests(address)?;
    Load::new(scratch.path(), load::HOST, KEYS, KEYS)?.run(address, LOADED)?;
    Load::new(scratch.path(), Balanced::HOST, KEYS, KEYS)?.run(address, BALANCED)?;
    Ok(())
}

/// What is not in the load, so that it does not count as never run.
fn rarer_requests(address: SocketAddr) -> Result<()> {
    let mut client = Connection::open(address)?;
    for repetition in 0..REPETITIONS {
        for (request, expected) in kinds(repetition % KEYS) {
            let status = client.exchange(request.as_bytes())?;
            ensure!(expected.contains(&status), "{status} instead of {expected:?} to {request}");
        }
    }
    Ok(())
}

/// A request of each kind, and what it may be answered with.
fn kinds(number: usize) -> Vec<(String, &'static [u16])> {
    let (key, path) = (load::key(number), load::path(number));
    let with =
        |line: &str, more: &str| format!("{line} HTTP/1.1\r\nHost: bench.test\r\nX-API-Key: {key}\r\n{more}");
    let browser = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
        Accept: text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n\
        Cookie: session=0123456789abcdef; theme=dark\r\nCache-Control: no-cache\r\n\r\n";
    let post = |framing: &str, body: &str| {
        with(
            &format!("POST {path}?page=2&sort=name"),
            &format!("Content-Type: application/json\r\n{framing}\r\n\r\n{body}"),
        )
    };
    vec![
        (with(&format!("GET {path}?page=2&sort=name"), browser), &[200]),
        (format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\nAuthorization: Bearer {key}\r\n\r\n"), &[200]),
        (post("Content-Length: 15", "{\"hello\":\"you\"}"), &[200]),
        (post("Transfer-Encoding: chunked", "f\r\n{\"hello\":\"you\"}\r\n0\r\n\r\n"), &[200]),
        (with("GET /-/usage", "\r\n"), &[200]),
        (format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\n\r\n"), &[401]),
        (
            format!("GET {path} HTTP/1.1\r\nHost: bench.test\r\nX-API-Key: not-a-key-of-anybody\r\n\r\n"),
            &[403, 429],
        ),
        (with("GET /bench/nothing/here", "\r\n"), &[404]),
    ]
}
