//! Where and with what a run was made.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::stats::float;
use crate::command;
use crate::tools::find_program;

/// What else the machine did, noted from the start of a run to its end.
pub struct Watch {
    load_average: String,
    before: CpuTicks,
}

impl Watch {
    /// Warns where figures would be worth little.
    pub fn start() -> Result<Self> {
        let text = read("/proc/loadavg")?;
        let load_average = text.split(' ').next().context("/proc/loadavg is empty")?.to_owned();
        if load_average.parse::<f64>().is_ok_and(|load| load > 0.5) {
            eprintln!("warning: something else is running here (load average {load_average})");
        }
        Ok(Self { load_average, before: CpuTicks::now()? })
    }

    /// The share of all CPU time that the hypervisor gave to others while we wanted it.
    fn stolen_percent(&self) -> Result<f64> {
        let now = CpuTicks::now()?;
        Ok(float(now.stolen - self.before.stolen) / float((now.all - self.before.all).max(1)) * 100.0)
    }
}

struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl CpuTicks {
    fn now() -> Result<Self> {
        let line = value_of("/proc/stat", "cpu ", ' ')?;
        let ticks: Vec<u64> = line.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
        // proc(5): user nice system idle iowait irq softirq steal; guest time is part of user and nice.
        let stolen = *ticks.get(7).context("no steal in /proc/stat")?;
        Ok(Self { all: ticks.iter().take(8).sum(), stolen })
    }
}

/// Facts of the machine and versions of the contenders, each with its name.
pub fn facts(watch: &Watch) -> Result<Vec<(String, String)>> {
    let facts = [
        ("CPU", value_of("/proc/cpuinfo", "model name", ':')?),
        ("cores", std::thread::available_parallelism()?.to_string()),
        ("memory", value_of("/proc/meminfo", "MemTotal", ':')?),
        ("kernel", read("/proc/sys/kernel/osrelease")?.trim().to_owned()),
        ("system", value_of("/etc/os-release", "PRETTY_NAME", '=')?.trim_matches('"').to_owned()),
        ("load average before the run", watch.load_average.clone()),
        ("CPU time stolen by the hypervisor", format!("{:.1} %", watch.stolen_percent()?)),
        ("date", command::capture(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned()),
        ("Tollgate", tollgate_version()),
        ("nginx", version("nginx", "-v", "nginx/")),
        ("nginx Lua module", package_version("libnginx-mod-http-lua")),
        ("HAProxy", version("haproxy", "-v", "version ")),
        ("wrk", version("wrk", "-v", "wrk ")),
    ];
    Ok(facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// The value of the first line of the file that begins with the name.
fn value_of(path: &str, name: &str, separator: char) -> Result<String> {
    let text = read(path)?;
    let line = text.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_once(separator));
    Ok(value.with_context(|| format!("no {name} in {path}"))?.1.trim().to_owned())
}

/// The word after the marker in what the program says of its version. Programs disagree on the stream and on
/// the exit status, so neither matters.
fn version(program: &str, argument: &str, marker: &str) -> String {
    let output = find_program(program).and_then(|path| Command::new(path).arg(argument).output().ok());
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let after = said.split_once(marker).and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    after.unwrap_or("not installed").to_owned()
}

fn package_version(package: &str) -> String {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${Version}", package]);
    command::capture(&mut query).unwrap_or_else(|_| "unknown".to_owned())
}

/// The commit that was measured, and whether the tree held more than it.
fn tollgate_version() -> String {
    let mut git = Command::new("git");
    git.current_dir(command::workspace_root()).args(["describe", "--always", "--dirty"]);
    command::capture(&mut git).map_or_else(|_| "not a commit".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Watch, facts};

    #[test]
    fn every_fact_of_this_machine_is_found() {
        let facts = facts(&Watch::start().unwrap()).unwrap();
        assert!(facts.iter().all(|(name, value)| !name.is_empty() && !value.is_empty()), "{facts:?}");
    }
}
