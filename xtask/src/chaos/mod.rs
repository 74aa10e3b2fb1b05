//! `cargo xtask chaos`: what clients see while targets are killed, frozen, slowed and restarted under steady load, behind
//! each balancer. Fails where an idempotent request is lost while a target lives, or where too few
//! were answered to tell.

mod clients;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::process::clean_up_on_signal;
use crate::bench::tollgate::{Home, Tollgate};
use crate::command;
use clients::Clients;
use targets::Targets;

#[derive(Default, clap::Args)]
pub struct Args {
    /// The balancers to try; all if left out.
    balancers: Vec<String>,

    /// Use this `tollgate` instead of building one.
    #[arg(long, value_name = "FILE")]
    tollgate: Option<PathBuf>,
}

const BALANCERS: [(&str, &str); 4] = [
    ("round_robin", "algorithm: round_robin"),
    ("least_requests", "algorithm: least_requests"),
    ("latency", "algorithm: latency"),
    ("hash", "algorithm: hash, hash_on: \"header:X-Client\""),
];

/// How long each state of things lasts.
const STAGE: Duration = Duration::from_secs(3);
/// After which targets are well again, and known to be.
const REST: Duration = Duration::from_secs(2);

pub const KEY: &str = "chaos-api-key-of-the-one-client";

pub fn run(args: &Args) -> Result<()> {
    let known = |name: &String| BALANCERS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = args.balancers.iter().find(|name| !known(name)) {
        bail!("there is no balancer {unknown}");
    }
    let binary = match &args.tollgate {
        Some(binary) => binary.clone(),
        None => build()?,
    };
    let scratch = tempfile::tempdir().context("no directory for the run")?;
    clean_up_on_signal(scratch.path().to_owned())?;
    let mut lost = 0;
    for (name, balancer) in BALANCERS {
        if args.balancers.is_empty() || args.balancers.iter().any(|wanted| wanted == name) {
            let directory = scratch.path().join(name);
            fs::create_dir(&directory).context("cannot make a directory")?;
            lost += disturb(&binary, &directory, name, balancer)?;
        }
    }
    if lost > 0 {
        bail!("{lost} requests were lost");
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    command::run(command::cargo().args(["build", "--locked", "--package", "tollgate"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| command::workspace_root().join("target"));
    Ok(target.join("debug/tollgate"))
}

/// One balancer, from the first request to the last; how many requests were lost.
fn disturb(binary: &Path, directory: &Path, name: &str, balancer: &str) -> Result<u64> {
    let mut targets = Targets::start(binary, directory)?;
    let home = Home::new(directory.to_owned())?;
    let tollgate = Tollgate::start(binary, &home)?;
    let file = directory.join("chaos.yaml");
    fs::write(&file, document(balancer, &targets)).context("cannot write the declarative file")?;
    tollgate.apply(binary, &file)?;
    println!("\n{name}\n  second  what            requests    lost    median   slowest");
    let clients = Clients::start(tollgate.server.address);
    let stage = |what: &str, clients: &Clients| {
        clients.note(what);
        thread::sleep(STAGE);
    };
    stage("all are well", &clients);
    targets.kill(0)?;
    stage("one is killed", &clients);
    targets.restart(0)?;
    stage("it is back", &clients);
    targets.freeze(1);
    stage("one is frozen", &clients);
    targets.thaw(1);
    let slow = targets.slow(2);
    stage("one is slow", &clients);
    drop(slow);
    thread::sleep(REST);
    for target in 1..targets.len() {
        targets.kill(target)?;
    }
    stage("one of all lives", &clients);
    for target in 1..targets.len() {
        targets.restart(target)?;
    }
    stage("all are back", &clients);
    let lost = clients.end()?;
    drop(tollgate);
    Ok(lost)
}

/// Everything is quick here, so that a run is short: in production checks and ejections take longer.
fn document(balancer: &str, targets: &Targets) -> String {
    let urls: Vec<_> = targets.addresses().map(|address| format!("{{url: \"http://{address}\"}}")).collect();
    format!(
        "tenants:
- {{slug: chaos, name: Chaos}}
services:
- tenant: chaos
  slug: api
  targets: [{}]
  balancer: {{{balancer}}}
  timeouts: {{connect: 250ms, first_byte: 500ms, total: 20s}}
  outlier: {{consecutive: 2, ejection: 1s, longest_ejection: 2s}}
  retries: {{attempts: 6, on: [connect, reset, timeout], budget_percent: 100}}
  health_check: {{path: /get, interval: 250ms, timeout: 250ms, healthy: 1, unhealthy: 2}}
keys:
- {{tenant: chaos, name: Client, key: \"{KEY}\"}}
",
        urls.join(", ")
    )
}
