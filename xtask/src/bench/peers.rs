//! What every contender has in common, and `HAProxy`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::client::free_address;
use super::process::Process;
use crate::tools::find_program;

/// Workers or threads of every proxy.
pub const WORKERS: usize = 2;

/// A server that runs until this is dropped.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

/// `HAProxy` as an HTTP proxy with nothing on. It sets two open files aside for each of its `maxconn` and
/// refuses to start where the hard limit is lower, unless its limits are not strict; here few of those
/// connections are ever in use at once, so that one file each is enough.
pub fn haproxy(directory: &Path, upstream: SocketAddr) -> Result<Server> {
    let address = free_address()?;
    let configuration = format!(
        "global
            nbthread {WORKERS}
            maxconn 12000
            no strict-limits
        defaults
            mode http
            http-reuse always
            timeout connect 5s
            timeout client 300s
            timeout server 300s
            timeout http-keep-alive 300s
        frontend front
            bind {address}
            default_backend back
        backend back
            server upstream {upstream}\n"
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, configuration).context("cannot write haproxy.cfg")?;
    let program = find_program("haproxy").context("haproxy is not installed")?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null());
    let mut process = Process::spawn("HAProxy", &mut command, directory)?;
    process.await_listening(address, directory)?;
    Ok(Server { process, address })
}
