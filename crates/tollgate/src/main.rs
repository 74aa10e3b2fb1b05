//! Tollgate's binary: command line, configuration, wiring, signals.

mod cli;
mod config;
mod declarative;
mod demo;
mod output;
mod quickstart;
mod remote;
mod serve;
mod tls;

use std::process::ExitCode;

use clap::Parser;
use serde_json::{Value, json};

use cli::Cli;
use declarative::{Invalid, Misshapen};
use remote::ApiError;

/// Serves many threads better than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // An error means that there is one already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let Cli { options, command } = Cli::parse();
    let as_json = options.json;
    match cli::run(command, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error, as_json);
            ExitCode::FAILURE
        }
    }
}

/// A line for each problem; an indented line belongs to the one before.
fn report(error: &anyhow::Error, as_json: bool) {
    if as_json {
        output::error(&for_machines(error).to_string());
        return;
    }
    for line in explained(error).lines() {
        if line.starts_with(' ') {
            output::error(line);
        } else {
            output::error(&format!("error: {line}"));
        }
    }
}

/// Every error in the form of the admin API's: a title, and the fields that have problems.
fn for_machines(error: &anyhow::Error) -> Value {
    if let Some(refusal) = error.downcast_ref::<ApiError>() {
        refusal.to_json()
    } else if let Some(invalid) = error.downcast_ref::<Invalid>() {
        invalid.to_json()
    } else if let Some(misshapen) = error.downcast_ref::<Misshapen>() {
        misshapen.to_json()
    } else {
        json!({ "title": explained(error), "errors": [] })
    }
}

/// The error and its causes, each once: some errors speak of their cause themselves.
fn explained(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file cannot be read: {source}")]
        struct Unreadable {
            source: std::io::Error,
        }
        let source = || std::io::Error::other("broken");
        let speaking = anyhow::Error::from(Unreadable { source: source() }).context("no start");
        assert_eq!(explained(&speaking), "no start: the file cannot be read: broken");
        let silent = anyhow::Error::from(source()).context("no start");
        assert_eq!(explained(&silent), "no start: broken");
    }
}
