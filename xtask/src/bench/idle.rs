//! What an idle keep-alive client costs in memory.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::client::{self, Connection};
use super::peers::{self, Server};
use super::report::{Outcome, Section, Verdict};
use super::stats::{float, kibibytes, mebibytes};
use super::tollgate::{self, Home, Seed};
use super::{Bench, Row, load, nginx, usage};

const TARGET_KIB: f64 = 4.0;

struct Held {
    before: u64,
    after: u64,
    clients: usize,
}

impl Held {
    fn kibibytes_per_client(&self) -> f64 {
        kibibytes(float(self.after.saturating_sub(self.before))) / float(self.clients as u64)
    }
}

pub fn measure(bench: &Bench) -> Result<Section> {
    let upstream = nginx::upstream(&bench.directory("idle-upstream")?)?;
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for row in [Row::Nginx, Row::Haproxy, Row::Tollgate].into_iter().filter(|row| bench.wants(*row)) {
        let server = start(row, bench, &upstream)?;
        let held = hold(&server, bench.size.idle_clients).with_context(|| row.name())?;
        let each = held.kibibytes_per_client();
        rows.push(vec![
            row.name().to_owned(),
            format!("{:.1}", mebibytes(float(held.before))),
            format!("{:.1}", mebibytes(float(held.after))),
            format!("{each:.2}"),
        ]);
        if row == Row::Tollgate {
            verdicts.push(Verdict {
                target: format!("an idle client adds at most {TARGET_KIB} KiB"),
                measured: format!("{each:.2} KiB"),
                outcome: Outcome::met_if(each <= TARGET_KIB),
            });
        }
    }
    let method = format!(
        "{} clients connect, each makes one request and stays connected; growth of resident memory of all of the \
         proxy's processes, once it has settled, per client. Each client then makes a second request, so that none \
         was dropped.",
        bench.size.idle_clients
    );
    let columns = &["proxy", "before MiB", "with all MiB", "KiB per client"];
    Ok(Section { title: "Idle keep-alive clients", method, columns, rows, verdicts })
}

fn start(row: Row, bench: &Bench, upstream: &Server) -> Result<Server> {
    match row {
        Row::Haproxy => peers::haproxy(&bench.directory("idle-haproxy")?, upstream.address),
        Row::Nginx | Row::NginxLua => nginx::bare(&bench.directory("idle-nginx")?, upstream.address),
        _ => {
            let home = Home::new(bench.directory("idle-tollgate")?)?;
            let seed =
                Seed { services: 1, keys: 1, upstream: upstream.address, counting: "leased", balanced: None };
            Ok(tollgate::start_filled(bench.tollgate_binary()?, &home, &seed)?.server)
        }
    }
}

fn hold(server: &Server, clients: usize) -> Result<Held> {
    let process = server.process.id();
    let request = load::request(0, 0);
    // What a first request makes the proxy allocate is not what the clients cost.
    for _ in 0..100 {
        client::expect_ok(server.address, request.as_bytes())?;
    }
    let before = settled_bytes(process)?;

    let mut connections = Vec::with_capacity(clients);
    for number in 0..clients {
        let opened = Connection::open(server.address).with_context(|| format!("client {number}"))?;
        connections.push(opened);
    }
    all_request(&mut connections, request.as_bytes())?;
    let after = settled_bytes(process)?;
    all_request(&mut connections, request.as_bytes()).context("an idle client was dropped")?;
    Ok(Held { before, after, clients })
}

fn all_request(connections: &mut [Connection], request: &[u8]) -> Result<()> {
    for (number, connection) in connections.iter_mut().enumerate() {
        let status = connection.exchange(request).with_context(|| format!("client {number}"))?;
        if status != 200 {
            bail!("client {number} was answered {status}");
        }
    }
    Ok(())
}

/// Resident memory once it has not changed for a while: a proxy may give buffers back when idle.
fn settled_bytes(process: u32) -> Result<u64> {
    const QUIET: Duration = Duration::from_secs(2);
    const PATIENCE: Duration = Duration::from_secs(15);
    let started = Instant::now();
    let mut bytes = usage::resident_bytes(process)?;
    let mut changed = Instant::now();
    while changed.elapsed() < QUIET && started.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(50));
        let now = usage::resident_bytes(process)?;
        if now != bytes {
            (bytes, changed) = (now, Instant::now());
        }
    }
    Ok(bytes)
}
