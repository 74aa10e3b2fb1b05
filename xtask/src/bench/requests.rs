//! CPU time per request, requests per second and latency: all contenders in turns.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::load::{self, Load, Seen};
use super::peers::{self, Server};
use super::report::{Outcome, Section, Verdict};
use super::stats::{Spread, float};
use super::tollgate::{self, Home, Seed};
use super::{Bench, Row, client, nginx, usage};

/// How long buffered log lines may take to reach the file; the CPU time of writing them is counted.
const LOG_FLUSH: Duration = Duration::from_millis(1500);

/// One proxy that runs, and what was measured of it so far.
struct Contender {
    row: Row,
    server: Server,
    load: Load,
    /// Checked to hold every request, where there is one.
    access_log: Option<PathBuf>,
    rounds: Vec<Round>,
}

struct Round {
    cpu_micros_per_request: f64,
    seen: Seen,
}

pub fn measure(bench: &Bench) -> Result<Section> {
    let upstream = nginx::upstream(&bench.directory("upstream")?)?;
    let mut contenders = Vec::new();
    for row in Row::value_variants().iter().filter(|row| bench.wants(**row)) {
        contenders
            .push(start(*row, bench, &upstream).with_context(|| format!("{} did not start", row.title()))?);
    }
    for round in 0..bench.size.rounds {
        for turn in 0..contenders.len() {
            // Each round begins with another contender, so that none always runs on a machine warmed by the same.
            let index = (round + turn) % contenders.len();
            let contender = contenders.get_mut(index).context("no such contender")?;
            let title = contender.row.title();
            let done =
                run_round(contender, bench).with_context(|| format!("{title}, round {}", round + 1))?;
            eprintln!("round {}: {title}: {:.2} µs per request", round + 1, done.cpu_micros_per_request);
            contender.rounds.push(done);
        }
    }
    section(&contenders, bench)
}

fn start(row: Row, bench: &Bench, upstream: &Server) -> Result<Contender> {
    let directory = bench.directory(row.to_possible_value().context("a row has a name")?.get_name())?;
    let keys = if row == Row::TollgateTen { bench.size.few_keys } else { bench.size.keys };
    let load = Load::new(&directory, keys, keys)?;
    let (server, access_log) = match row {
        Row::Nginx => (nginx::bare(&directory, upstream.address)?, None),
        Row::Haproxy => (peers::haproxy(&directory, upstream.address)?, None),
        Row::NginxLua => {
            let (server, log) = nginx::lua(&directory, upstream.address, keys)?;
            (server, Some(log))
        }
        Row::Tollgate | Row::TollgateTen => {
            let home = Home::new(directory)?;
            let seed = Seed { services: keys, keys, upstream: upstream.address };
            let tollgate = tollgate::start_filled(bench.tollgate_binary()?, &home, &seed)?;
            (tollgate.server, Some(home.access_log))
        }
    };
    client::expect_ok(server.address, load::request(keys - 1, keys - 1).as_bytes())?;
    Ok(Contender { row, server, load, access_log, rounds: Vec::new() })
}

fn run_round(contender: &Contender, bench: &Bench) -> Result<Round> {
    let process = contender.server.process.id();
    contender.load.run(contender.server.address, bench.size.warm_up)?;
    thread::sleep(LOG_FLUSH);
    if let Some(log) = &contender.access_log {
        empty(log)?;
    }

    let before = usage::cpu_time(process)?;
    let seen = contender.load.run(contender.server.address, bench.size.measured)?;
    thread::sleep(LOG_FLUSH);
    let used = usage::cpu_time(process)?.saturating_sub(before);

    if seen.errors > 0 {
        bail!("{} of {} requests failed", seen.errors, seen.requests);
    }
    if let Some(log) = &contender.access_log {
        let lines = count_lines(log)?;
        if lines < seen.requests {
            bail!("the access log holds {lines} lines for {} requests", seen.requests);
        }
    }
    let cpu_micros_per_request = used.as_secs_f64() * 1e6 / float(seen.requests);
    Ok(Round { cpu_micros_per_request, seen })
}

/// Logs are opened for appending, so that they go on at the new end.
fn empty(log: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).open(log).context("no access log")?;
    file.set_len(0).context("cannot empty the access log")
}

fn count_lines(log: &Path) -> Result<u64> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(log).context("no access log")?);
    let mut lines = 0;
    loop {
        let chunk = reader.fill_buf().context("cannot read the access log")?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += chunk.split(|byte| *byte == b'\n').skip(1).count() as u64;
        let length = chunk.len();
        reader.consume(length);
    }
}

impl Contender {
    fn spread(&self, value: impl Fn(&Round) -> f64) -> Result<Spread> {
        Spread::of(self.rounds.iter().map(value)).context("no round was measured")
    }

    /// CPU time per request, each round's to the same round's of the other.
    fn cpu_ratio_to(&self, other: &Self) -> Result<Spread> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        Spread::of(rounds.map(|(own, other)| own.cpu_micros_per_request / other.cpu_micros_per_request))
            .context("no round was measured")
    }

    fn p99_millis(&self) -> Result<Spread> {
        self.spread(|round| round.seen.p99.as_secs_f64() * 1e3)
    }

    fn cells(&self, nginx: Option<&Self>) -> Result<Vec<String>> {
        let ratio = nginx.map(|nginx| self.cpu_ratio_to(nginx)).transpose()?;
        Ok(vec![
            self.row.title().to_owned(),
            format!("{:.2}", self.spread(|round| round.cpu_micros_per_request)?),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            format!("{:.0}", self.spread(|round| round.seen.requests_per_second)?),
            format!("{:.2}", self.spread(|round| round.seen.p50.as_secs_f64() * 1e3)?),
            format!("{:.2}", self.p99_millis()?),
        ])
    }
}

fn section(contenders: &[Contender], bench: &Bench) -> Result<Section> {
    let find = |row: Row| contenders.iter().find(|contender| contender.row == row);
    let rows = contenders.iter().map(|contender| contender.cells(find(Row::Nginx))).collect::<Result<_>>()?;
    let mut verdicts = Vec::new();
    if let (Some(tollgate), Some(nginx)) = (find(Row::Tollgate), find(Row::Nginx)) {
        verdicts.extend(against_nginx(tollgate, nginx)?);
    }
    if let (Some(many), Some(few)) = (find(Row::Tollgate), find(Row::TollgateTen)) {
        let ratio = many.cpu_ratio_to(few)?;
        verdicts.push(Verdict {
            target: "10,000 keys and services cost at most 5 % over ten of each (CPU per request)".to_owned(),
            measured: format!("{:+.1} %", (ratio.median - 1.0) * 100.0),
            outcome: Outcome::met_if(ratio.median <= 1.05),
        });
    }
    let method = format!(
        "wrk with 64 connections, {} rounds of {:?} after {:?} of warm-up, contenders in turns, each with {} workers; \
         every request takes one of all keys at random and goes to one of {} services; a 121-byte response from one nginx worker. CPU \
         is user and system time of all of the proxy's processes. Access logs are checked to hold every request.",
        bench.size.rounds,
        bench.size.measured,
        bench.size.warm_up,
        peers::WORKERS,
        load::SERVICES_IN_USE
    );
    Ok(Section {
        title: "Small requests",
        method,
        columns: &["proxy", "CPU µs per request", "to nginx", "requests/s", "p50 ms", "p99 ms"],
        rows,
        verdicts,
    })
}

fn against_nginx(tollgate: &Contender, nginx: &Contender) -> Result<[Verdict; 2]> {
    let ratio = tollgate.cpu_ratio_to(nginx)?;
    let (own, peer) = (tollgate.p99_millis()?, nginx.p99_millis()?);
    Ok([
        Verdict {
            target: "CPU per request with everything on at most 0.95 of nginx bare".to_owned(),
            measured: format!("{ratio:.2}"),
            outcome: Outcome::met_if(ratio.median <= 0.95),
        },
        Verdict {
            target: "p99 no worse than nginx bare".to_owned(),
            measured: format!("{:.2} ms to {:.2} ms", own.median, peer.median),
            outcome: Outcome::met_if(own.median <= peer.median),
        },
    ])
}
