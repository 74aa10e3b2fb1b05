//! What a developer runs: `cargo xtask test`, `cargo xtask bench`, `cargo xtask chaos` and `cargo xtask dist`.

mod apt;
mod bench;
mod chaos;
mod command;
mod dist;
mod test;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tollgate's developer commands", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what the tests need, build, and run every test of the workspace.
    Test(test::Args),
    /// Measure Tollgate beside its peers; a full run writes docs/benchmarks.md.
    Bench(bench::Args),
    /// Build the binary as it is shipped, optimised by a profile of it under load; prints where it is.
    Dist,
    /// Kill, freeze, slow and restart targets under load, and show what clients see.
    Chaos(chaos::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Test(args) => test::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Dist => dist::run(),
        Task::Chaos(args) => chaos::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
