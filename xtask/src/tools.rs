//! The programs that tests and benchmarks call: one table, and how each is come by.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::{apt, command};

pub struct Tool {
    pub presence: Presence,
    pub source: Source,
    pub why: &'static str,
}

/// How it shows that a tool is installed.
#[derive(Clone, Copy)]
pub enum Presence {
    Program(&'static str),
    File(&'static str),
}

/// Where a tool comes from.
#[derive(Clone, Copy)]
pub enum Source {
    Debian(&'static str),
    Crate(&'static str),
}

const NGINX: Tool = Tool::package("nginx", "a real upstream in tests, the upstream and a peer in benchmarks");
const WRK: Tool = Tool::package("wrk", "generates load");
const CURL: Tool = Tool::package("curl", "a real client in tests");
const PYTHON: Tool =
    Tool::package("python3", "http.client and http.server as a real client and a real upstream in tests");
const OPENSSL: Tool = Tool::package("openssl", "makes certificates for TLS upstreams in tests");
const REDIS: Tool = Tool::package(
    "redis-server",
    "a counter store in benchmarks, and in tests: alone, as a cluster, and with sentinels",
);
const VALKEY: Tool =
    Tool::package("valkey-server", "the other counter store in tests; Debian 12 has it in its backports");
const HAPROXY: Tool = Tool::package("haproxy", "a peer in benchmarks");
const NGINX_LUA: Tool = Tool {
    presence: Presence::File(NGINX_LUA_MODULE),
    source: Source::Debian("libnginx-mod-http-lua"),
    why: "a peer in benchmarks: what people script a gateway with",
};
const LLVM: Tool = Tool {
    presence: Presence::Program(PROFDATA),
    source: Source::Debian("llvm-19"),
    why: "reads the profile that the shipped binary is optimised by",
};
const NEXTEST: Tool = Tool::of_crate("cargo-nextest", "runs the tests");
const FUZZ: Tool = Tool::of_crate("cargo-fuzz", "runs the fuzz targets of the long profile");

/// Reads raw profiles of the compiler's version and writes what it reads.
pub const PROFDATA: &str = "llvm-profdata-19";

/// Debian's place for the Lua module of its nginx.
pub const NGINX_LUA_MODULE: &str = "/usr/lib/nginx/modules/ngx_http_lua_module.so";

pub const FOR_TESTS: &[Tool] = &[NGINX, WRK, CURL, PYTHON, OPENSSL, REDIS, VALKEY, NEXTEST];
pub const FOR_FUZZING: &[Tool] = &[FUZZ];
pub const FOR_BENCHMARKS: &[Tool] = &[NGINX, NGINX_LUA, HAPROXY, WRK, REDIS];
pub const FOR_TRAINING: &[Tool] = &[NGINX, WRK, LLVM];

impl Tool {
    /// A program of the Debian package that has its name.
    const fn package(name: &'static str, why: &'static str) -> Self {
        Self { presence: Presence::Program(name), source: Source::Debian(name), why }
    }

    /// A program of the crate that has its name.
    const fn of_crate(name: &'static str, why: &'static str) -> Self {
        Self { presence: Presence::Program(name), source: Source::Crate(name), why }
    }

    fn is_present(&self) -> bool {
        match self.presence {
            Presence::Program(name) => find_program(name).is_some(),
            Presence::File(path) => Path::new(path).exists(),
        }
    }

    fn name(&self) -> &'static str {
        match self.presence {
            Presence::Program(name) => name,
            Presence::File(path) => path,
        }
    }
}

/// Installs those of the tools that are missing, or says what to install by hand and fails.
pub fn ensure(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_present()).collect();
    let packages = debian_packages(&missing);
    if !packages.is_empty() && !apt::usable() {
        bail!(by_hand(&missing));
    }
    if !packages.is_empty() {
        apt::install(&packages)?;
    }
    for name in missing.iter().filter_map(|tool| crate_name(tool)) {
        command::run(command::cargo().args(["install", "--locked", name]))?;
    }
    let still: Vec<&Tool> = missing.into_iter().filter(|tool| !tool.is_present()).collect();
    if !still.is_empty() {
        bail!(by_hand(&still));
    }
    Ok(())
}

/// The program's path: in `PATH`, or where Debian and cargo put programs that a user's `PATH` may lack.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

fn debian_packages(tools: &[&Tool]) -> Vec<&'static str> {
    let package = |tool: &&Tool| match tool.source {
        Source::Debian(package) => Some(package),
        Source::Crate(_) => None,
    };
    tools.iter().filter_map(package).collect()
}

fn crate_name(tool: &Tool) -> Option<&'static str> {
    match tool.source {
        Source::Crate(name) => Some(name),
        Source::Debian(_) => None,
    }
}

/// What to type, and why each is needed.
fn by_hand(missing: &[&Tool]) -> String {
    let mut lines = vec!["these are missing and cannot be installed from here:".to_owned()];
    lines.extend(missing.iter().map(|tool| format!("  {} ({})", tool.name(), tool.why)));
    lines.push("Install them, then run this again:".to_owned());
    let packages = debian_packages(missing);
    if !packages.is_empty() {
        lines.push(format!("  sudo apt-get update && sudo apt-get install {}", packages.join(" ")));
    }
    let crates = missing.iter().filter_map(|tool| crate_name(tool));
    lines.extend(crates.map(|name| format!("  cargo install --locked {name}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{FOR_BENCHMARKS, HAPROXY, NEXTEST, by_hand};

    #[test]
    fn benchmarks_ask_for_every_program_that_they_call() {
        for program in ["nginx", "haproxy", "wrk", "redis-server"] {
            assert!(FOR_BENCHMARKS.iter().any(|tool| tool.name() == program), "{program}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let said = by_hand(&[&HAPROXY, &NEXTEST]);
        assert!(said.contains("haproxy (a peer in benchmarks)"), "{said}");
        assert!(said.contains("sudo apt-get update && sudo apt-get install haproxy\n"), "{said}");
        assert!(said.ends_with("cargo install --locked cargo-nextest"), "{said}");
    }
}
