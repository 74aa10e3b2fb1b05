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
use super::tollgate::{self, Balanced, Home, Seed};
use super::usage::{self, CpuTime};
use super::{Bench, Row, client, nginx};

/// How long buffered log lines may take to reach the file.
const LOG_FLUSH: Duration = Duration::from_millis(1500);

/// CPU time per request, as a share of nginx's.
const MOST_TO_NGINX: f64 = 0.95;

/// One proxy that runs, and what was measured of it so far.
struct Contender {
    row: Row,
    server: Server,
    load: Load,
    /// Checked to hold every request, where there is one.
    access_log: Option<PathBuf>,
    rounds: Vec<Round>,
}

/// What the slices of one round come to: sums of CPU time and requests, medians of the rest.
struct Round {
    cpu_micros_per_request: f64,
    /// The part of it that is spent in the program itself.
    user_micros_per_request: f64,
    requests_per_second: f64,
    p50_millis: f64,
    p99_millis: f64,
}

/// One contender's turn.
struct Slice {
    cpu: CpuTime,
    warm_up: Seen,
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
        let mut slices: Vec<Vec<Slice>> = contenders.iter().map(|_| Vec::new()).collect();
        for slice in 0..bench.size.slices {
            for turn in 0..contenders.len() {
                // Each slice begins with another contender, so that none always runs on a machine warmed by the same.
                let index = (round + slice + turn) % contenders.len();
                let (Some(contender), Some(slices)) = (contenders.get(index), slices.get_mut(index)) else {
                    continue;
                };
                let done = run_slice(contender, bench);
                slices.push(done.with_context(|| format!("{}, round {}", contender.row.title(), round + 1))?);
            }
        }
        for (contender, slices) in contenders.iter_mut().zip(&slices) {
            let title = contender.row.title();
            check_log(contender, slices).with_context(|| format!("{title}, round {}", round + 1))?;
            let done = Round::of(slices)?;
            eprintln!("round {}: {title}: {:.2} µs per request", round + 1, done.cpu_micros_per_request);
            contender.rounds.push(done);
        }
    }
    section(&contenders, bench)
}

fn start(row: Row, bench: &Bench, upstream: &Server) -> Result<Contender> {
    let directory = bench.directory(row.to_possible_value().context("a row has a name")?.get_name())?;
    let keys = if row == Row::TollgateTen { bench.size.few_keys } else { bench.size.keys };
    let host = if row.balancer().is_some() { Balanced::HOST } else { load::HOST };
    let load = Load::new(&directory, host, keys, keys)?;
    let (server, access_log) = match row {
        Row::Nginx => (nginx::bare(&directory, upstream.address)?, None),
        Row::Haproxy => (peers::haproxy(&directory, upstream.address)?, None),
        Row::NginxLua => {
            let (server, log) = nginx::lua(&directory, upstream.address, keys)?;
            (server, Some(log))
        }
        _ => {
            let home = Home::new(directory)?;
            let second = nginx::second_address(upstream);
            let balanced = row.balancer().map(|algorithm| Balanced { algorithm, second });
            let seed =
                Seed { services: keys, keys, upstream: upstream.address, counting: "leased", balanced };
            let tollgate = tollgate::start_filled(bench.tollgate_binary()?, &home, &seed)?;
            (tollgate.server, Some(home.access_log))
        }
    };
    client::expect_ok(server.address, load::request(keys - 1, keys - 1).as_bytes())?;
    Ok(Contender { row, server, load, access_log, rounds: Vec::new() })
}

fn run_slice(contender: &Contender, bench: &Bench) -> Result<Slice> {
    let process = contender.server.process.id();
    let warm_up = contender.load.run(contender.server.address, bench.size.warm_up)?;
    let before = usage::cpu_time(process)?;
    let seen = contender.load.run(contender.server.address, bench.size.measured)?;
    let cpu = usage::cpu_time(process)?.since(before);
    if seen.errors > 0 {
        bail!("{} of {} requests failed", seen.errors, seen.requests);
    }
    Ok(Slice { cpu, warm_up, seen })
}

/// The access log must hold every request of the round; it is emptied for the next.
fn check_log(contender: &Contender, slices: &[Slice]) -> Result<()> {
    let Some(log) = &contender.access_log else { return Ok(()) };
    thread::sleep(LOG_FLUSH);
    let lines = count_lines(log)?;
    let requests: u64 = slices.iter().map(|slice| slice.warm_up.requests + slice.seen.requests).sum();
    if lines < requests {
        bail!("the access log holds {lines} lines for {requests} requests");
    }
    empty(log)
}

impl Round {
    fn of(slices: &[Slice]) -> Result<Self> {
        let requests: u64 = slices.iter().map(|slice| slice.seen.requests).sum();
        let per_request = |time: &dyn Fn(&Slice) -> Duration| {
            slices.iter().map(time).sum::<Duration>().as_secs_f64() * 1e6 / float(requests)
        };
        let median = |value: &dyn Fn(&Seen) -> f64| -> Result<f64> {
            let spread = Spread::of(slices.iter().map(|slice| value(&slice.seen)));
            Ok(spread.context("a round without a slice")?.median)
        };
        Ok(Self {
            cpu_micros_per_request: per_request(&|slice| slice.cpu.whole()),
            user_micros_per_request: per_request(&|slice| slice.cpu.user),
            requests_per_second: median(&|seen| seen.requests_per_second)?,
            p50_millis: median(&|seen| seen.p50.as_secs_f64() * 1e3)?,
            p99_millis: median(&|seen| seen.p99.as_secs_f64() * 1e3)?,
        })
    }
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
        self.spread(|round| round.p99_millis)
    }

    fn cells(&self, nginx: Option<&Self>) -> Result<Vec<String>> {
        let ratio = nginx.map(|nginx| self.cpu_ratio_to(nginx)).transpose()?;
        Ok(vec![
            self.row.title().to_owned(),
            format!("{:.2}", self.spread(|round| round.cpu_micros_per_request)?),
            format!("{:.2}", self.spread(|round| round.user_micros_per_request)?.median),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            format!("{:.0}", self.spread(|round| round.requests_per_second)?),
            format!("{:.2}", self.spread(|round| round.p50_millis)?),
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
    if let (Some(latency), Some(nginx)) = (find(Row::Latency), find(Row::Nginx)) {
        let ratio = latency.cpu_ratio_to(nginx)?;
        verdicts.push(Verdict {
            target: "the same with a route, latency balancing, breaker and outlier detection".to_owned(),
            measured: format!("{ratio:.2}"),
            outcome: Outcome::met_if(ratio.median <= MOST_TO_NGINX),
        });
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
        "wrk with 64 connections; {} rounds, in each of which every contender has {} turns of {:?} after {:?} of warm-up, \
         so that what else the machine does meets all of them alike; {} workers each; \
         every request takes one of all keys at random, and one of all services with it; a 121-byte response from one nginx worker. CPU \
         is user and system time of all of the proxy's processes, over a round; latencies are medians of its turns. Access logs are checked to hold every request.",
        bench.size.rounds,
        bench.size.slices,
        bench.size.measured,
        bench.size.warm_up,
        peers::WORKERS
    );
    Ok(Section {
        title: "Small requests",
        method,
        columns: &["proxy", "CPU µs per request", "of it user", "to nginx", "requests/s", "p50 ms", "p99 ms"],
        rows,
        verdicts,
    })
}

fn against_nginx(tollgate: &Contender, nginx: &Contender) -> Result<[Verdict; 2]> {
    let ratio = tollgate.cpu_ratio_to(nginx)?;
    let (own, peer) = (tollgate.p99_millis()?, nginx.p99_millis()?);
    Ok([
        Verdict {
            target: format!("CPU per request with everything on at most {MOST_TO_NGINX} of nginx bare"),
            measured: format!("{ratio:.2}"),
            outcome: Outcome::met_if(ratio.median <= MOST_TO_NGINX),
        },
        Verdict {
            target: "p99 no worse than nginx bare".to_owned(),
            measured: format!("{:.2} ms to {:.2} ms", own.median, peer.median),
            outcome: Outcome::met_if(own.median <= peer.median),
        },
    ])
}
