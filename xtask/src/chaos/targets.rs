//! Six demo upstreams, and what is done to them.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::bench::client::free_address;
use crate::bench::process::{Process, signal};

const COUNT: usize = 6;

pub struct Targets {
    binary: PathBuf,
    targets: Vec<Target>,
}

struct Target {
    address: SocketAddr,
    directory: PathBuf,
    /// `None` while it is dead.
    process: Option<Process>,
}

impl Targets {
    pub fn start(binary: &Path, directory: &Path) -> Result<Self> {
        let mut targets = Self { binary: binary.to_owned(), targets: Vec::new() };
        for number in 0..COUNT {
            let directory = directory.join(format!("target-{number}"));
            fs::create_dir(&directory).context("cannot make a directory")?;
            targets.targets.push(Target { address: free_address()?, directory, process: None });
            targets.restart(number)?;
        }
        Ok(targets)
    }

    pub fn len(&self) -> usize {
        self.targets.len()
    }

    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.targets.iter().map(|target| target.address)
    }

    /// At once, without a word to its clients.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        if let Some(mut process) = self.targets[number].process.take() {
            signal(process.id(), Signal::KILL);
            while process.ended()?.is_none() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    pub fn restart(&mut self, number: usize) -> Result<()> {
        let target = &mut self.targets[number];
        let mut command = Command::new(&self.binary);
        command.args(["demo-upstream", "--listen", &target.address.to_string()]).stdout(Stdio::null());
        let mut process = Process::spawn("a target", &mut command, &target.directory)?;
        process.await_listening(target.address, &target.directory)?;
        target.process = Some(process);
        Ok(())
    }

    /// It answers nothing, and its connections stay.
    pub fn freeze(&self, number: usize) {
        self.send(number, Signal::STOP);
    }

    pub fn thaw(&self, number: usize) {
        self.send(number, Signal::CONT);
    }

    /// Lets it run only for a fifth of the time, until the guard goes.
    pub fn slow(&self, number: usize) -> Slow {
        let id = self.targets[number].process.as_ref().map(Process::id);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let Some(id) = id else { return };
            while !over.load(Ordering::Relaxed) {
                signal(id, Signal::STOP);
                thread::sleep(Duration::from_millis(80));
                signal(id, Signal::CONT);
                thread::sleep(Duration::from_millis(20));
            }
        });
        Slow { is_over, thread: Some(thread) }
    }

    fn send(&self, number: usize, what: Signal) {
        if let Some(process) = &self.targets[number].process {
            signal(process.id(), what);
        }
    }
}

pub struct Slow {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A panic there was printed.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}
