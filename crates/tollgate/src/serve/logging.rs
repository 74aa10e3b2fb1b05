//! Tollgate's own log, on standard error: for people at a terminal, JSON lines elsewhere.
//!
//! Lines go through a bounded queue to a thread that writes them, so that nobody waits for whoever reads the log. What does
//! not fit is dropped.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic;

use anyhow::Context;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

impl LogFormat {
    pub fn suiting_stderr() -> Self {
        if io::stderr().is_terminal() { Self::Human } else { Self::Json }
    }
}

/// Lines that may wait to be written.
const QUEUED_LINES: usize = 8_192;

/// The log. Lines that still wait are written when this is dropped, if that takes no longer than about a second.
#[must_use = "lines are written only while it is held"]
pub struct Log {
    level: LogLevel,
    _writer: WorkerGuard,
}

impl Log {
    pub fn level(&self) -> LogLevel {
        self.level.clone()
    }
}

/// How much is logged; it can be changed under way.
#[derive(Clone)]
pub struct LogLevel(reload::Handle<Targets, Registry>);

impl LogLevel {
    pub fn set(&self, level: LevelFilter) -> anyhow::Result<()> {
        self.0.reload(filter(level)).context("the log level cannot be changed")
    }
}

/// Starts the log, and sends panics to it.
pub fn start(level: LevelFilter, format: LogFormat) -> Log {
    let (filter, handle) = reload::Layer::new(filter(level));
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUED_LINES)
        .thread_name("log")
        .finish(io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    panic::set_hook(Box::new(log_panic));
    Log { level: LogLevel(handle), _writer: guard }
}

/// Dependencies have nothing to say below a warning that an operator could use. Of a counter store that is away there is a
/// line when it goes and when it is back: what the driver says of each attempt to reach it would bury them.
fn filter(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("redis", level.min(LevelFilter::ERROR))
        .with_target("tollgate", level)
}

fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, location, %backtrace, "panic: {message}");
    } else {
        tracing::error!(thread, location, "panic: {message}");
    }
}
