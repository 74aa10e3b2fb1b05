//! `cargo xtask test`: the whole test command, on a developer's machine and in CI alike.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{chaos, command, tools};

/// How long each fuzz target runs in the long profile.
const FUZZ_TIME: Duration = Duration::from_mins(1);

/// Cases per property in the long profile; proptest's own default is 256.
const LONG_PROPTEST_CASES: u32 = 10_000;

#[derive(clap::Args)]
pub struct Args {
    /// `long` tries more cases per property, fuzzes each fuzz target for a minute, and disturbs targets under load.
    #[arg(long, value_enum, default_value_t = Profile::Normal)]
    profile: Profile,

    /// Passed on to `cargo nextest run`: names of tests, or its options. With any, only these tests run:
    /// no doc tests, no fuzzing.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    nextest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Normal,
    Long,
}

pub fn run(args: &Args) -> Result<()> {
    tools::ensure(tools::FOR_TESTS)?;
    run_nextest(args)?;
    if !args.nextest.is_empty() {
        return Ok(());
    }
    // nextest cannot run doc tests.
    command::run(command::cargo().args(["test", "--doc", "--workspace", "--locked"]))?;
    match args.profile {
        Profile::Normal => Ok(()),
        Profile::Long => {
            fuzz()?;
            chaos::run(&chaos::Args::default())
        }
    }
}

/// Builds the workspace's binaries too: the black-box tests run the real `tollgate`.
fn run_nextest(args: &Args) -> Result<()> {
    let mut nextest = command::cargo();
    nextest.args(["nextest", "run", "--workspace", "--locked"]);
    if args.profile == Profile::Long {
        nextest.args(["--profile", "long"]).env("PROPTEST_CASES", LONG_PROPTEST_CASES.to_string());
    }
    command::run(nextest.args(&args.nextest))
}

fn fuzz() -> Result<()> {
    tools::ensure(tools::FOR_FUZZING)?;
    let package: PathBuf = command::workspace_root().join("crates/http1");
    let listed = command::capture(command::cargo().current_dir(&package).args(["fuzz", "list"]))?;
    if listed.trim().is_empty() {
        bail!("crates/http1/fuzz has no fuzz target");
    }
    for target in listed.split_whitespace() {
        let seconds = format!("-max_total_time={}", FUZZ_TIME.as_secs());
        let mut fuzz = command::cargo();
        // Sanitizers need a nightly compiler; without one, the stable one will do.
        fuzz.current_dir(&package).args(["fuzz", "run", "--sanitizer", "none", target, "--", &seconds]);
        command::run(&mut fuzz)?;
    }
    Ok(())
}
