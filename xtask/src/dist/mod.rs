//! `cargo xtask dist`: the binary as it is shipped, laid out by a profile of what it does under load.
//!
//! Profile-guided optimisation takes two builds: one that counts what is run, and one that is told the counts. What
//! is run for every request then lies together, and what hardly ever runs is out of its way.

mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::tools::find_program;
use crate::{command, tools};

/// Builds it and says where it is.
pub fn run() -> Result<()> {
    println!("{}", build()?.display());
    Ok(())
}

pub fn build() -> Result<PathBuf> {
    tools::ensure(tools::FOR_TRAINING)?;
    let target = command::workspace_root().join("target");
    let scratch = target.join("dist-profile");
    let (raw, merged) = (scratch.join("raw"), scratch.join("merged.profdata"));
    // Counts of an earlier build would be mixed with those of this one.
    if raw.exists() {
        fs::remove_dir_all(&raw).context("cannot remove the last profile")?;
    }
    let instrumented =
        cargo_build(&scratch.join("target"), &format!("-Cprofile-generate={}", raw.display()))?;
    eprintln!("==> training");
    training::run(&instrumented)?;
    merge(&raw, &merged)?;
    cargo_build(&target, &format!("-Cprofile-use={}", merged.display()))
}

/// Builds with a further compiler flag, and gives the executable.
fn cargo_build(target: &Path, flag: &str) -> Result<PathBuf> {
    eprintln!("==> cargo build --profile dist --package tollgate, with {flag}");
    // Encoded, because the path may have spaces.
    let mut build = command::cargo();
    build
        .args(["build", "--profile", "dist", "--locked", "--package", "tollgate"])
        .arg("--message-format=json-render-diagnostics")
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", flag);
    let messages = command::capture_stdout(&mut build)?;
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "tollgate")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.context("cargo did not say where the tollgate binary is")
}

fn merge(raw: &Path, merged: &Path) -> Result<()> {
    let program = profdata_of_toolchain()?.or_else(|| find_program(tools::PROFDATA));
    let program = program.with_context(|| format!("{} is not installed", tools::PROFDATA))?;
    command::run(Command::new(program).arg("merge").arg("-o").arg(merged).arg(raw))
}

/// Of rustup's component `llvm-tools`, where it is installed.
fn profdata_of_toolchain() -> Result<Option<PathBuf>> {
    let sysroot = command::capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = command::capture(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc has no host")?;
    let program = Path::new(sysroot.trim()).join("lib/rustlib").join(host.trim()).join("bin/llvm-profdata");
    Ok(program.is_file().then_some(program))
}
