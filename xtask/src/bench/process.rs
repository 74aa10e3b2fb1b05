//! Child processes that never outlive the benchmark.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::client;
use super::usage::process_tree;

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// How long a server may take to accept its first connection.
const START: Duration = Duration::from_secs(10);

/// A child process and its descendants; ended when this is dropped.
pub struct Process {
    name: String,
    child: std::process::Child,
}

impl Process {
    /// Starts the command; what it prints to stderr goes to `stderr.log` in the directory.
    pub fn spawn(name: &str, command: &mut Command, directory: &Path) -> Result<Self> {
        let log = File::create(directory.join("stderr.log")).context("cannot create stderr.log")?;
        let child = command
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&mut self) -> Result<std::process::ChildStdout> {
        self.child.stdout.take().with_context(|| format!("the output of {} is not piped", self.name))
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot ask whether {} runs", self.name))
    }

    /// Waits until the address accepts connections; fails at once if the process ends instead.
    pub fn await_listening(&mut self, address: SocketAddr, directory: &Path) -> Result<()> {
        let deadline = Instant::now() + START;
        while !client::accepts(address) {
            if let Some(status) = self.ended()? {
                let said = std::fs::read_to_string(directory.join("stderr.log")).unwrap_or_default();
                bail!("{} ended at start ({status}): {}", self.name, said.trim());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen on {address} after {START:?}", self.name);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end_tree(self.id());
        // Reaps it; it is dead by now, so this does not block.
        let _status = self.child.wait();
    }
}

/// Asks the root to end, which lets nginx's master end its workers, then kills whatever is left.
fn end_tree(root: u32) {
    let tree = process_tree(root);
    signal(root, Signal::TERM);
    let deadline = Instant::now() + GRACE;
    while Instant::now() < deadline && tree.iter().any(|id| is_running(*id)) {
        thread::sleep(Duration::from_millis(5));
    }
    for id in tree.into_iter().filter(|id| is_running(*id)) {
        signal(id, Signal::KILL);
    }
}

pub fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended in the meantime, which is what is wanted.
        let _gone = kill_process(pid, signal);
    }
}

/// A zombie that waits to be reaped does not run.
fn is_running(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with('Z'))
}

/// Drop guards do not run when a signal ends us: what they would do is done here.
pub fn clean_up_on_signal(scratch: PathBuf) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals =
        signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot watch for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let ourselves = std::process::id();
            process_tree(ourselves).into_iter().filter(|id| *id != ourselves).for_each(end_tree);
            if let Err(error) = std::fs::remove_dir_all(&scratch) {
                eprintln!("warning: cannot remove {}: {error}", scratch.display());
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Ten thousand clients need more open files than the usual limit; children inherit what is set here.
pub fn raise_open_files() -> Result<()> {
    const WANTED: u64 = 40_000;
    const NEEDED: u64 = 12_000;
    let limit = getrlimit(Resource::Nofile);
    let attempts = [WANTED, limit.maximum.unwrap_or(WANTED)];
    let raised = attempts.into_iter().find(|files| {
        let maximum = Some((*files).max(limit.maximum.unwrap_or(*files)));
        setrlimit(Resource::Nofile, Rlimit { current: Some(*files), maximum }).is_ok()
    });
    match raised {
        Some(files) if files >= NEEDED => Ok(()),
        Some(_) | None => bail!("cannot have {NEEDED} open files: raise the hard limit (ulimit -Hn)"),
    }
}
