//! Installing Debian packages without starting the services that they bring.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command;
use crate::tools::find_program;

/// Where `invoke-rc.d` asks whether a package's service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether packages can be installed here without asking anybody: root, and a Debian-like system.
pub fn usable() -> bool {
    rustix::process::geteuid().is_root() && find_program("apt-get").is_some()
}

/// Installs the packages; `apt-get update` goes first because a fresh machine has no or old lists.
pub fn install(packages: &[&str]) -> Result<()> {
    let _services_stay_down = ServicesStayDown::new()?;
    command::run(apt_get().arg("update"))?;
    command::run(apt_get().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    packages.iter().try_for_each(|package| disable_service(package))
}

/// For the same reason as [`ServicesStayDown`]: the next boot must not start it either.
fn disable_service(package: &str) -> Result<()> {
    let unit = format!("{package}.service");
    if Path::new("/lib/systemd/system").join(&unit).exists() && find_program("systemctl").is_some() {
        command::run(Command::new("systemctl").args(["--quiet", "disable", &unit]))?;
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Keeps a package from starting its service (nginx on port 80) as it is installed. The tests start
/// their own with their own configuration and ports, and a developer's machine must not be left with a web
/// server that nobody asked for. Debian's way to say so is a `policy-rc.d` that answers 101
/// ("action forbidden by policy"). A policy that is already there is the administrator's, and stays.
struct ServicesStayDown {
    ours: bool,
}

impl ServicesStayDown {
    fn new() -> Result<Self> {
        let mut options = fs::OpenOptions::new();
        match options.write(true).create_new(true).open(POLICY) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Self { ours: false }),
            Err(error) => return Err(error).with_context(|| format!("cannot create {POLICY}")),
        }
        let guard = Self { ours: true };
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(Path::new(POLICY), fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(guard)
    }
}

impl Drop for ServicesStayDown {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: cannot remove {POLICY}: {error}");
        }
    }
}
