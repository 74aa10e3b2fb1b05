//! What the process is told from outside. The first request to end is a polite one; a second ends it at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Conventional exit codes of a process that a signal ended: 128 and the signal's number.
const ENDED_BY_INTERRUPT: i32 = 130;
const ENDED_BY_TERMINATE: i32 = 143;

pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// SIGXFSZ: the same number on every system that Tollgate runs on.
const FILE_TOO_LARGE: i32 = 25;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM.
    End { exit_code: i32 },
    /// SIGHUP.
    Renew,
}

impl Signals {
    /// From here on, signals are waited for and no longer end the process by themselves.
    pub fn listen() -> io::Result<Self> {
        // A file that may grow no more (`ulimit -f`) is a disk that is full: the write says so, and that is enough.
        drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::End { exit_code: ENDED_BY_INTERRUPT },
            _ = self.terminate.recv() => Asked::End { exit_code: ENDED_BY_TERMINATE },
            _ = self.hangup.recv() => Asked::Renew,
        }
    }

    /// Until somebody asks for the end.
    pub async fn end(&mut self) {
        while self.next().await == Asked::Renew {}
    }

    /// Ends the process at the next request to end.
    pub fn end_at_once(mut self) {
        tokio::spawn(async move {
            loop {
                match self.next().await {
                    Asked::End { exit_code } => std::process::exit(exit_code),
                    Asked::Renew => {}
                }
            }
        });
    }
}
