//! The threads of the workers: started together or not at all, told to drain and to end.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use crate::gateway::Gateway;
use crate::vital::Vital;
use crate::worker::{self, Phase};

pub struct Workers {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// One that cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "only {started} of {wanted} workers could be started: {source}; raise the limit of open files (ulimit -n) where it is \
     too low for them, or start fewer with --workers"
)]
pub struct NotStarted {
    started: usize,
    wanted: usize,
    source: io::Error,
}

impl Workers {
    /// One for each listener; all of them take connections once this returns. Where one fails, the others are ended.
    pub fn start(gateway: &Arc<Gateway>, listeners: Vec<TcpListener>) -> Result<Self, NotStarted> {
        let wanted = listeners.len();
        let mut workers =
            Self { phase: watch::channel(Phase::Serving).0, threads: Vec::with_capacity(wanted) };
        let (report, reports) = mpsc::channel();
        for (index, listener) in listeners.into_iter().enumerate() {
            let (gateway, phase, report) = (Arc::clone(gateway), workers.phase.subscribe(), report.clone());
            let work = move || {
                let _vital = Vital(Arc::clone(&gateway.failed));
                let _departure = Departure { gateway: Arc::clone(&gateway), index };
                let started = move || {
                    // Where it is not heard, whoever waited for it has given up.
                    let _heard = report.send(());
                };
                worker::run(index, gateway, listener, phase, started)
            };
            match thread::Builder::new().name(format!("worker-{index}")).spawn(work) {
                Ok(thread) => workers.threads.push(thread),
                Err(source) => {
                    drop(workers.end());
                    return Err(NotStarted { started: index, wanted, source });
                }
            }
        }
        drop(report);
        // Whoever fails, by a panic too, drops the report that the others send.
        let started = reports.iter().count();
        if started == wanted {
            return Ok(workers);
        }
        let source =
            workers.end().into_iter().next().unwrap_or_else(|| io::Error::other("no reason is known"));
        Err(NotStarted { started, wanted, source })
    }

    /// No more connections are accepted; what has begun goes on.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Ends all of them, whatever they are doing.
    pub fn stop(self) {
        for error in self.end() {
            tracing::error!(%error, "a worker failed");
        }
    }

    /// What went wrong with those that failed.
    fn end(self) -> Vec<io::Error> {
        self.phase.send_replace(Phase::Stopped);
        let outcomes = self
            .threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked"))));
        outcomes.filter_map(Result::err).collect()
    }
}

/// A worker that is gone, by a panic too, holds up nobody who waits for all to drain.
struct Departure {
    gateway: Arc<Gateway>,
    index: usize,
}

impl Drop for Departure {
    fn drop(&mut self) {
        self.gateway.worker_drains(self.index);
    }
}
