//! A large body each way: how fast it goes, and how much memory the proxy takes for it.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::body_upstream::{self, CHUNK_BYTES};
use super::client::{self, Connection};
use super::peers::{self, Server};
use super::report::{Outcome, Section, Verdict};
use super::stats::{Spread, float, mebibytes};
use super::tollgate::{self, Home, Seed};
use super::{Bench, Row, load, nginx, usage};

const TARGET_MIB: f64 = 8.0;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Download,
    Upload,
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
        }
    }
}

/// All transfers of one proxy in one direction.
struct Transfers {
    row: Row,
    direction: Direction,
    mebibytes_per_second: Spread,
    growth_mib: Spread,
}

pub fn measure(bench: &Bench) -> Result<Section> {
    let upstream = body_upstream::start()?;
    let wanted = [Row::Nginx, Row::Haproxy, Row::Tollgate].into_iter().filter(|row| bench.wants(*row));
    let servers = wanted
        .map(|row| Ok((row, start(row, bench, upstream).with_context(|| row.name())?)))
        .collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for direction in [Direction::Download, Direction::Upload] {
        all.extend(in_turns(&servers, direction, bench)?);
    }
    let rows = all.iter().map(cells).collect();
    let method = format!(
        "One client, one body of {} MiB with Content-Length at a time, {} rounds, proxies in turns; nginx with \
         buffering off both ways. Growth is the peak of resident memory during a transfer over what was held before \
         it.",
        bench.size.body_bytes >> 20,
        bench.size.rounds
    );
    Ok(Section {
        title: "Large bodies",
        method,
        columns: &["proxy", "direction", "MiB/s", "growth MiB"],
        rows,
        verdicts: verdicts(&all),
    })
}

fn start(row: Row, bench: &Bench, upstream: SocketAddr) -> Result<Server> {
    let server = match row {
        Row::Haproxy => peers::haproxy(&bench.directory("bodies-haproxy")?, upstream)?,
        Row::Nginx | Row::NginxLua => nginx::unbuffered(&bench.directory("bodies-nginx")?, upstream)?,
        _ => {
            let home = Home::new(bench.directory("bodies-tollgate")?)?;
            let seed = Seed { services: 1, keys: 1, upstream, counting: "leased", balanced: None };
            tollgate::start_filled(bench.tollgate_binary()?, &home, &seed)?.server
        }
    };
    // Brings in what any first request makes a proxy allocate.
    for _ in 0..100 {
        client::expect_ok(server.address, load::request(0, 0).as_bytes())?;
    }
    Ok(server)
}

fn in_turns(servers: &[(Row, Server)], direction: Direction, bench: &Bench) -> Result<Vec<Transfers>> {
    let mut rounds = vec![Vec::new(); servers.len()];
    for round in 0..bench.size.rounds {
        for ((row, server), rounds) in servers.iter().zip(&mut rounds) {
            let context = || format!("{}, {}, round {}", row.name(), direction.name(), round + 1);
            rounds.push(transfer(server, direction, bench.size.body_bytes).with_context(context)?);
        }
    }
    let summed = servers.iter().zip(rounds).map(|((row, _), rounds)| {
        Ok(Transfers {
            row: *row,
            direction,
            mebibytes_per_second: Spread::of(rounds.iter().map(|round| round.0)).context("no round")?,
            growth_mib: Spread::of(rounds.iter().map(|round| round.1)).context("no round")?,
        })
    });
    summed.collect()
}

/// MiB per second, and MiB of growth.
fn transfer(server: &Server, direction: Direction, bytes: u64) -> Result<(f64, f64)> {
    let process = server.process.id();
    let mut connection = Connection::open(server.address)?;
    let before = usage::resident_bytes(process)?;
    usage::reset_peak(process)?;
    let started = Instant::now();
    match direction {
        Direction::Download => download(&mut connection, bytes)?,
        Direction::Upload => upload(&mut connection, bytes)?,
    }
    let speed = mebibytes(float(bytes)) / started.elapsed().as_secs_f64();
    let peak = usage::peak_resident_bytes(process)?;
    Ok((speed, mebibytes(float(peak.saturating_sub(before)))))
}

fn download(connection: &mut Connection, bytes: u64) -> Result<()> {
    let (path, key) = (load::path(0), load::key(0));
    let request =
        format!("GET {path}?bytes={bytes} HTTP/1.1\r\nHost: bench.test\r\nX-API-Key: {key}\r\n\r\n");
    connection.send(request.as_bytes())?;
    let head = connection.read_head()?;
    if head.status != 200 || head.content_length != bytes {
        bail!("answered {} with {} bytes", head.status, head.content_length);
    }
    connection.discard(bytes, &mut vec![0; CHUNK_BYTES])
}

fn upload(connection: &mut Connection, bytes: u64) -> Result<()> {
    let (path, key) = (load::path(0), load::key(0));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: bench.test\r\nX-API-Key: {key}\r\nContent-Length: {bytes}\r\n\r\n"
    );
    connection.send(head.as_bytes())?;
    connection.send_body(bytes, &mut vec![b'x'; CHUNK_BYTES])?;
    let head = connection.read_head()?;
    // The upstream answers with the length it got, so a short answer means that it got all.
    if head.status != 200 || head.content_length != bytes.to_string().len() as u64 {
        bail!("answered {} with {} bytes", head.status, head.content_length);
    }
    connection.discard(head.content_length, &mut [0; 1024])
}

fn cells(transfers: &Transfers) -> Vec<String> {
    let title = match transfers.row {
        Row::Nginx | Row::NginxLua => "nginx, unbuffered",
        row => row.name(),
    };
    vec![
        title.to_owned(),
        transfers.direction.name().to_owned(),
        format!("{:.0}", transfers.mebibytes_per_second),
        format!("{:.1}", transfers.growth_mib),
    ]
}

fn verdicts(all: &[Transfers]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for own in all.iter().filter(|transfers| transfers.row == Row::Tollgate) {
        let name = own.direction.name();
        verdicts.push(Verdict {
            target: format!("{name}: memory grows by less than {TARGET_MIB} MiB"),
            measured: format!("at most {:.1} MiB", own.growth_mib.most),
            outcome: Outcome::met_if(own.growth_mib.most < TARGET_MIB),
        });
        let peer = all.iter().find(|peer| peer.row == Row::Nginx && peer.direction == own.direction);
        if let Some(peer) = peer {
            let (speed, nginx) = (own.mebibytes_per_second.median, peer.mebibytes_per_second.median);
            verdicts.push(Verdict {
                target: format!("{name}: at least as fast as nginx unbuffered"),
                measured: format!("{speed:.0} MiB/s to {nginx:.0} MiB/s"),
                outcome: Outcome::met_if(speed >= nginx),
            });
        }
    }
    verdicts
}
