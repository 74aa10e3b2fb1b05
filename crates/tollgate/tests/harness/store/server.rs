//! One server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use super::StoreProgram;
use super::ports::free_port;
use crate::harness::certificate::Certificate;
use crate::harness::child::ChildProcess;
use crate::harness::programs::Ran;
use crate::harness::{eventually, eventually_some};

/// A server that runs, or has been stopped for a while. It keeps what it has acknowledged over a `kill -9`, as far as
/// its operating system goes on.
pub struct StoreServer {
    program: StoreProgram,
    security: Security,
    arguments: Vec<String>,
    port: u16,
    directory: TempDir,
    process: Option<ChildProcess>,
}

/// What a client needs to be let in.
#[derive(Clone, Default)]
pub struct Security {
    pub password: Option<&'static str>,
    /// It is served over TLS alone then.
    pub certificate: Option<Arc<Certificate>>,
}

impl StoreServer {
    #[track_caller]
    pub fn start(program: StoreProgram) -> Self {
        Self::start_with(program, Security::default(), &[])
    }

    /// With further options of the program's.
    #[track_caller]
    pub fn start_with(program: StoreProgram, security: Security, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self { program, security, arguments, port: free_port(), directory, process: None };
        server.restart();
        server
    }

    /// Starts it again where it was, with what it had.
    #[track_caller]
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let mut command = Command::new(self.program.server());
        let port = self.port.to_string();
        command.arg("--dir").arg(self.directory.path()).args(["--bind", "127.0.0.1"]);
        // What is acknowledged has been written, though not synced: `kill -9` loses nothing of it.
        command.args(["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]);
        // A replica's first copy would be made five seconds later otherwise.
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.arg("--unixsocket").arg(self.socket());
        match &self.security.certificate {
            None => {
                command.args(["--port", &port]);
            }
            Some(certificate) => {
                command.args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no"]);
                command.arg("--tls-cert-file").arg(certificate.certificate_file());
                command.arg("--tls-key-file").arg(certificate.key_file());
                command.arg("--tls-ca-cert-file").arg(certificate.certificate_file());
            }
        }
        if let Some(password) = self.security.password {
            command.args(["--requirepass", password, "--masterauth", password]);
        }
        let mut process = ChildProcess::spawn(self.program.server(), command.args(&self.arguments));
        process.await_start(|_| (self.ask(&["PING"]).text().trim() == "PONG").then_some(()));
        self.process = Some(process);
    }

    /// `kill -9`.
    #[track_caller]
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.signal("KILL");
        process.await_end();
    }

    /// Starts it again without anything that it had.
    #[track_caller]
    pub fn restart_empty(&mut self) {
        let kept = self.directory.path().join("appendonlydir");
        fs::remove_dir_all(kept).expect("the data");
        self.restart();
    }

    /// It takes connections and answers nothing, until [`Self::thaw`].
    pub fn freeze(&self) {
        self.process().freeze();
    }

    pub fn thaw(&self) {
        self.process().thaw();
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("store.sock")
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where Tollgate finds it.
    pub fn url(&self) -> String {
        let scheme = if self.security.certificate.is_some() { "rediss" } else { "redis" };
        let credentials = self.security.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("{scheme}://{credentials}127.0.0.1:{}/0", self.port)
    }

    /// The answer to a command, as the program's own client writes it.
    #[track_caller]
    pub fn call(&self, command: &[&str]) -> String {
        self.ask(command).success().text().trim().to_owned()
    }

    fn ask(&self, command: &[&str]) -> Ran {
        let mut client = Command::new(self.program.client());
        client.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(password) = self.security.password {
            client.args(["--no-auth-warning", "-a", password]);
        }
        if let Some(certificate) = &self.security.certificate {
            client.arg("--tls").arg("--cacert").arg(certificate.certificate_file());
        }
        Ran::of(client.args(command))
    }

    /// Waits until so many nodes have heard of each other.
    #[track_caller]
    pub fn await_acquainted(&self, nodes: usize) {
        // Each says again and again until when its word holds, and hears then who the others are.
        let words = || -> Vec<f64> {
            let members = self.call(&["ZRANGE", "tg:{nodes}:members", "0", "-1", "WITHSCORES"]);
            members.lines().skip(1).step_by(2).map(|score| score.parse().expect("a score")).collect()
        };
        let latest = eventually_some("all nodes have come", || {
            words().into_iter().max_by(f64::total_cmp).filter(|_| words().len() == nodes)
        });
        eventually("all nodes know of all", || words().into_iter().all(|word| word > latest));
    }

    /// Waits until a field of `INFO` has this value.
    #[track_caller]
    pub fn await_info(&self, section: &str, line: &str) {
        eventually(line, || self.call(&["INFO", section]).lines().any(|shown| shown.trim() == line));
    }

    /// Waits until the answer to a command satisfies.
    #[track_caller]
    pub fn await_answer(&self, command: &[&str], is_good: impl Fn(&str) -> bool) {
        eventually(&command.join(" "), || is_good(&self.call(command)));
    }

    fn process(&self) -> &ChildProcess {
        self.process.as_ref().expect("it runs")
    }
}
