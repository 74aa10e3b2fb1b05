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
    let _source = Backports::for_missing(packages)?;
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

/// A package source that is there while packages are installed. Debian 12 has Valkey in its backports alone, and a
/// developer's machine must not be left with a source that nobody asked for.
struct Backports;

const BACKPORTS: &str = "/etc/apt/sources.list.d/tollgate-backports.list";

impl Backports {
    /// Where the sources that there are have not all of the packages.
    fn for_missing(packages: &[&str]) -> Result<Option<Self>> {
        let policy = command::capture(Command::new("apt-cache").arg("policy").args(packages))?;
        if candidates(&policy) == packages.len() {
            return Ok(None);
        }
        let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let Some(codename) = debian_codename(&release) else { return Ok(None) };
        let Some(mirror) = mirror_of(codename)? else { return Ok(None) };
        let source = Self;
        fs::write(BACKPORTS, format!("deb {mirror} {codename}-backports main\n"))
            .with_context(|| format!("cannot write {BACKPORTS}"))?;
        command::run(apt_get().arg("update"))?;
        Ok(Some(source))
    }
}

impl Drop for Backports {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(BACKPORTS) {
            eprintln!("warning: cannot remove {BACKPORTS}: {error}");
        }
    }
}

/// How many packages can be had; one that apt has never heard of is not in what it says.
fn candidates(policy: &str) -> usize {
    let versions = policy.lines().filter_map(|line| line.trim().strip_prefix("Candidate: "));
    versions.filter(|version| *version != "(none)").count()
}

/// Of Debian alone: others that descend from it have no such backports.
fn debian_codename(release: &str) -> Option<&str> {
    release.lines().find(|line| *line == "ID=debian")?;
    release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))
}

/// Where this machine has Debian itself from: its backports are at the same place.
fn mirror_of(codename: &str) -> Result<Option<String>> {
    let targets = command::capture(
        Command::new("apt-get")
            .args(["indextargets", "--format", "$(REPO_URI)", "Origin: Debian"])
            .arg(format!("Codename: {codename}")),
    )?;
    Ok(targets.lines().next().map(str::to_owned))
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

#[cfg(test)]
mod tests {
    use super::{candidates, debian_codename};

    #[test]
    fn what_apt_does_not_have_is_looked_for_in_backports_of_debian_alone() {
        let policy =
            "curl:\n  Installed: (none)\n  Candidate: 7.88\nodd:\n  Installed: 1\n  Candidate: (none)\n";
        assert_eq!(candidates(policy), 1);
        let debian = "PRETTY_NAME=\"x\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        assert_eq!(debian_codename(debian), Some("bookworm"));
        assert_eq!(debian_codename("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n"), None);
    }
}
