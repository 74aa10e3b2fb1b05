//! `cargo xtask bench`: what Tollgate costs beside its peers, on one machine in one run.
//!
//! A full run (no part, row or `--quick` given) measures everything and writes `docs/benchmarks.md`.
//! Anything less prints to the terminal alone, so that the page never mixes runs.

mod bodies;
mod body_upstream;
pub mod client;
mod idle;
pub mod load;
mod machine;
pub mod nginx;
mod nodes;
mod peers;
pub mod process;
mod ready;
mod redis;
mod report;
mod requests;
mod routes;
mod scale;
mod stats;
pub mod tollgate;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{command, dist, tools};
use report::{Report, Section};

#[derive(clap::Args)]
pub struct Args {
    /// What to measure; everything if left out.
    #[arg(value_enum)]
    parts: Vec<Part>,

    /// Rows to measure; all if left out.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Row>,

    /// Shorter rounds and smaller sizes: for trying things out, not for figures.
    #[arg(long)]
    quick: bool,

    /// Measure this `tollgate` instead of building one.
    #[arg(long, value_name = "FILE")]
    tollgate: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU time per request, requests per second and latency, small responses over 64 connections.
    Requests,
    /// Memory held for idle keep-alive clients.
    Idle,
    /// A body of 1 GiB each way: memory growth and throughput.
    Bodies,
    /// A million keys: start, memory, adding one.
    Scale,
    /// From exec to ready with 10,000 keys.
    Ready,
    /// Two proxy nodes fed by a control plane with a million keys: the first sync, a change, a start from disk.
    Nodes,
    /// Limits counted in process, out of slices of a Redis, and by the Redis itself.
    Redis,
    /// Looking a route up among ten and among 100,000, beside a linear scan and `matchit`; a change among them.
    Routes,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Row {
    Nginx,
    Haproxy,
    NginxLua,
    Tollgate,
    /// Tollgate with ten keys and services instead of ten thousand.
    TollgateTen,
    /// Tollgate with one route to a service with two targets, balanced in turn.
    RoundRobin,
    LeastRequests,
    Latency,
    Hash,
}

impl Row {
    fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx, bare",
            Self::Haproxy => "HAProxy, bare",
            Self::NginxLua => "nginx + Lua: key, 2 counters, headers, log",
            Self::Tollgate => "Tollgate, everything on: 10,000 keys and services, 3 limits, log",
            Self::TollgateTen => "Tollgate, the same with 10 keys and services",
            Self::RoundRobin => "Tollgate, everything on, a route, two targets in turn",
            Self::LeastRequests => "Tollgate, everything on, a route, two targets by least requests",
            Self::Latency => "Tollgate, everything on, a route, two targets by latency (peak EWMA)",
            Self::Hash => "Tollgate, everything on, a route, two targets by consistent hash of the key",
        }
    }

    /// For parts in which what is switched on plays no role.
    fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::NginxLua => "nginx + Lua",
            _ => "Tollgate",
        }
    }

    fn is_tollgate(self) -> bool {
        !matches!(self, Self::Nginx | Self::Haproxy | Self::NginxLua)
    }

    /// How targets are picked, where there are some to choose among, as it is written in a service's `balancer`.
    fn balancer(self) -> Option<&'static str> {
        match self {
            Self::RoundRobin => Some("round_robin"),
            Self::LeastRequests => Some("least_requests"),
            Self::Latency => Some("latency"),
            Self::Hash => Some("hash, hash_on: key"),
            Self::Nginx | Self::Haproxy | Self::NginxLua | Self::Tollgate | Self::TollgateTen => None,
        }
    }
}

/// How much is done in each part.
struct Size {
    rounds: usize,
    /// Turns that every contender has in a round of small requests.
    slices: usize,
    /// Before each turn.
    warm_up: Duration,
    measured: Duration,
    keys: usize,
    few_keys: usize,
    idle_clients: usize,
    body_bytes: u64,
    many_keys: usize,
    starts: usize,
}

const FULL: Size = Size {
    rounds: 3,
    slices: 5,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(2),
    keys: 10_000,
    few_keys: 10,
    idle_clients: 10_000,
    body_bytes: 1 << 30,
    many_keys: 1_000_000,
    starts: 5,
};

const QUICK: Size = Size {
    rounds: 3,
    slices: 1,
    warm_up: Duration::from_secs(1),
    measured: Duration::from_secs(2),
    keys: 10_000,
    few_keys: 10,
    idle_clients: 2_000,
    body_bytes: 256 << 20,
    many_keys: 50_000,
    starts: 3,
};

/// What every part is given.
struct Bench {
    size: &'static Size,
    /// Empty means all.
    only: Vec<Row>,
    binary: Option<PathBuf>,
    /// Everything the run writes is below this directory, which goes at the end.
    scratch: tempfile::TempDir,
}

impl Bench {
    fn wants(&self, row: Row) -> bool {
        self.only.is_empty() || self.only.contains(&row)
    }

    fn tollgate_binary(&self) -> Result<&PathBuf> {
        self.binary.as_ref().context("this part measures Tollgate, which --only leaves out")
    }

    /// A fresh directory in the scratch space.
    fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot create the directory {name}"))?;
        Ok(path)
    }
}

pub fn run(args: &Args) -> Result<()> {
    tools::ensure(tools::FOR_BENCHMARKS)?;
    process::raise_open_files()?;
    // Before the build, which is a load of its own.
    let watch = machine::Watch::start()?;

    let needs_tollgate = args.only.is_empty() || args.only.iter().any(|row| row.is_tollgate());
    let binary = match (&args.tollgate, needs_tollgate) {
        (_, false) => None,
        (Some(path), true) => Some(path.canonicalize().context("--tollgate names no file")?),
        (None, true) => Some(dist::build()?),
    };
    let bench = Bench {
        size: if args.quick { &QUICK } else { &FULL },
        only: args.only.clone(),
        binary,
        scratch: tempfile::tempdir().context("cannot create a temporary directory")?,
    };

    process::clean_up_on_signal(bench.scratch.path().to_owned())?;

    let whole = args.parts.is_empty() && args.only.is_empty();
    let mut report = Report::default();
    for part in Part::value_variants() {
        if !args.parts.is_empty() && !args.parts.contains(part) {
            continue;
        }
        match measure(*part, &bench) {
            Ok(section) => {
                println!("\n{}", section.markdown());
                report.sections.push(section);
            }
            // One part that fails must not cost the figures of the others.
            Err(error) => {
                eprintln!("\nerror: {}: {error:#}", part_name(*part));
                report.not_measured.push(part_name(*part));
            }
        }
    }
    if whole && !args.quick && args.tollgate.is_none() {
        let page = command::workspace_root().join("docs/benchmarks.md");
        fs::write(&page, report.page(&machine::facts(&watch)?)).context("cannot write docs/benchmarks.md")?;
        println!("\nwritten: docs/benchmarks.md");
    }
    if !report.not_measured.is_empty() {
        bail!("not measured: {}", report.not_measured.join(", "));
    }
    Ok(())
}

fn measure(part: Part, bench: &Bench) -> Result<Section> {
    match part {
        Part::Requests => requests::measure(bench),
        Part::Idle => idle::measure(bench),
        Part::Bodies => bodies::measure(bench),
        Part::Scale => scale::measure(bench),
        Part::Ready => ready::measure(bench),
        Part::Nodes => nodes::measure(bench),
        Part::Redis => redis::measure(bench),
        Part::Routes => routes::measure(bench),
    }
}

fn part_name(part: Part) -> String {
    part.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
