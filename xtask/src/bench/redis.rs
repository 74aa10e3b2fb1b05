//! Where limits are counted: in process, out of slices of a Redis, and by the Redis itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::load::{self, Load};
use super::process::Process;
use super::report::{Outcome, Section, Verdict};
use super::stats::{Spread, float};
use super::tollgate::{self, Home, Seed, Tollgate};
use super::{Bench, client, nginx, usage};
use crate::command;

/// What the store alone has to decide on two cores that it shares with who asks.
const EXACT_DECISIONS: f64 = 30_000.0;

const COUNTINGS: [&str; 3] = ["local", "leased", "exact"];

struct Contender {
    counting: &'static str,
    tollgate: Tollgate,
    load: Load,
    rounds: Vec<Round>,
}

struct Round {
    cpu_micros: f64,
    redis_cpu_micros: f64,
    requests_per_second: f64,
    p99_millis: f64,
}

pub fn measure(bench: &Bench) -> Result<Section> {
    let upstream = nginx::upstream(&bench.directory("redis-upstream")?)?;
    let (redis, address) = start_redis(bench)?;
    let contenders: Result<Vec<Contender>> = (0..)
        .zip(COUNTINGS)
        .map(|(database, counting)| start(bench, counting, address, database, upstream.address))
        .collect();
    let mut contenders = contenders?;
    for round in 0..bench.size.rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            if let Some(contender) = contenders.get_mut(index) {
                run(contender, redis.id(), bench)
                    .with_context(|| format!("counted {}", contender.counting))?;
            }
        }
    }
    let decisions = exact_decisions(address)?;
    section(&contenders, decisions, bench)
}

fn start_redis(bench: &Bench) -> Result<(Process, SocketAddr)> {
    let directory = bench.directory("redis")?;
    // Freed again at once: nobody else asks for a port in between.
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            &address.port().to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
        .current_dir(&directory)
        .stdout(Stdio::null());
    let mut process = Process::spawn("redis-server", &mut command, &directory)?;
    process.await_listening(address, &directory)?;
    Ok((process, address))
}

fn start(
    bench: &Bench,
    counting: &'static str,
    redis: SocketAddr,
    database: usize,
    upstream: SocketAddr,
) -> Result<Contender> {
    let directory = bench.directory(&format!("counted-{counting}"))?;
    let keys = bench.size.few_keys;
    let load = Load::new(&directory, load::HOST, keys, keys)?;
    let home = Home::new(directory)?.counting_in(format!("redis://{redis}/{database}"));
    let seed = Seed { services: keys, keys, upstream, counting, balanced: None };
    let tollgate = tollgate::start_filled(bench.tollgate_binary()?, &home, &seed)?;
    client::expect_ok(tollgate.server.address, load::request(0, 0).as_bytes())?;
    Ok(Contender { counting, tollgate, load, rounds: Vec::new() })
}

fn run(contender: &mut Contender, redis: u32, bench: &Bench) -> Result<()> {
    let address = contender.tollgate.server.address;
    contender.load.run(address, bench.size.warm_up)?;
    let (before, redis_before) = (usage::cpu_time(contender.tollgate.id())?, usage::cpu_time(redis)?);
    let seen = contender.load.run(address, bench.size.measured * 3)?;
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / float(seen.requests);
    let (after, redis_after) = (usage::cpu_time(contender.tollgate.id())?, usage::cpu_time(redis)?);
    if seen.errors > 0 {
        bail!("{} of {} requests failed", seen.errors, seen.requests);
    }
    contender.rounds.push(Round {
        cpu_micros: per_request(after.since(before).whole()),
        redis_cpu_micros: per_request(redis_after.since(redis_before).whole()),
        requests_per_second: seen.requests_per_second,
        p99_millis: seen.p99.as_secs_f64() * 1e3,
    });
    Ok(())
}

/// Decisions in a second without any proxying, as the example of the counters measures them.
fn exact_decisions(redis: SocketAddr) -> Result<f64> {
    let printed = command::capture_stdout(command::cargo().args([
        "run",
        "--profile",
        "dist",
        "--locked",
        "--package",
        "tollgate-counters",
        "--example",
        "decisions",
        "--",
        &format!("redis://{redis}/9"),
    ]))?;
    let line = printed.lines().find_map(|line| line.trim().strip_prefix("exact:"));
    let number =
        line.and_then(|line| line.split_whitespace().next()).context("the example printed no figure")?;
    number.parse().context("the example's figure is no number")
}

fn section(contenders: &[Contender], decisions: f64, bench: &Bench) -> Result<Section> {
    let rows = contenders.iter().map(Contender::cells).collect::<Result<_>>()?;
    let find = |counting| contenders.iter().find(|contender| contender.counting == counting);
    let mut verdicts = vec![Verdict {
        target: "at least 30,000 exact decisions a second on two cores, Redis among them".to_owned(),
        measured: format!("{decisions:.0}"),
        outcome: Outcome::met_if(decisions >= EXACT_DECISIONS),
    }];
    if let (Some(leased), Some(local)) = (find("leased"), find("local")) {
        let rounds = leased.rounds.iter().zip(&local.rounds);
        let ratio = Spread::of(rounds.map(|(leased, local)| leased.cpu_micros / local.cpu_micros))
            .context("no round was measured")?;
        verdicts.push(Verdict {
            target: "leased costs at most 5 % over local (CPU per request)".to_owned(),
            measured: format!("{:+.1} %", (ratio.median - 1.0) * 100.0),
            outcome: Outcome::met_if(ratio.median <= 1.05),
        });
    }
    Ok(Section {
        title: "Where limits are counted",
        method: format!(
            "As small requests, with {} keys of three limits; a Redis on the same machine, whose CPU stands apart. \
             Decisions a second are those of `cargo run --example decisions`, which proxies nothing.",
            bench.size.few_keys
        ),
        columns: &["counting", "CPU µs per request", "of Redis besides", "requests/s", "p99 ms"],
        rows,
        verdicts,
    })
}

impl Contender {
    fn cells(&self) -> Result<Vec<String>> {
        let spread = |value: fn(&Round) -> f64| {
            Spread::of(self.rounds.iter().map(value)).context("no round was measured")
        };
        Ok(vec![
            self.counting.to_owned(),
            format!("{:.2}", spread(|round| round.cpu_micros)?),
            format!("{:.2}", spread(|round| round.redis_cpu_micros)?),
            format!("{:.0}", spread(|round| round.requests_per_second)?),
            format!("{:.2}", spread(|round| round.p99_millis)?),
        ])
    }
}
