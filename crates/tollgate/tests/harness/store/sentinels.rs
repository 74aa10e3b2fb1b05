//! A master, its replica, and three sentinels that put the replica in its place.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::ports::free_port;
use super::{Security, StoreProgram, StoreServer};
use crate::harness::child::ChildProcess;
use crate::harness::programs::Ran;
use crate::harness::{eventually, eventually_some};

const MASTER: &str = "main";
const SENTINELS: usize = 3;

pub struct Sentinels {
    program: StoreProgram,
    /// As they began.
    pub master: StoreServer,
    pub replica: StoreServer,
    security: Security,
    watchers: Vec<Sentinel>,
}

struct Sentinel {
    port: u16,
    _process: ChildProcess,
    _directory: TempDir,
}

impl Sentinels {
    #[track_caller]
    pub fn start(program: StoreProgram, password: Option<&'static str>) -> Self {
        let security = Security { password, certificate: None };
        let master = StoreServer::start_with(program, security.clone(), &[]);
        let of_master = format!("127.0.0.1 {}", master.port());
        let replica_of = ["--replicaof", &of_master];
        let replica = StoreServer::start_with(program, security.clone(), &replica_of);
        replica.await_info("replication", "master_link_status:up");
        let start = |_| Sentinel::start(program, &master, password);
        let watchers = (0..SENTINELS).map(start).collect();
        let all = Self { program, master, replica, security, watchers };
        for sentinel in &all.watchers {
            let knows = |field: &str, value: &str| {
                let shown = all.ask(sentinel, &["SENTINEL", "MASTER", MASTER]);
                let lines: Vec<&str> = shown.lines().collect();
                lines.windows(2).any(|pair| pair[0] == field && pair[1] == value)
            };
            eventually("the sentinels know each other and the replica", || {
                knows("num-other-sentinels", "2") && knows("num-slaves", "1")
            });
        }
        all
    }

    /// The port of the one that they take for the master.
    #[track_caller]
    pub fn current_master_port(&self) -> u16 {
        eventually_some("a master", || {
            let shown = self.ask(&self.watchers[0], &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
            shown.lines().nth(1)?.parse().ok()
        })
    }

    /// Waits until the replica has taken the master's place, and every sentinel says so.
    #[track_caller]
    pub fn await_failover(&self) {
        let port = self.replica.port().to_string();
        for sentinel in &self.watchers {
            eventually("the replica is the master", || {
                let shown = self.ask(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
                shown.lines().nth(1) == Some(&port)
            });
        }
        self.replica.await_info("replication", "role:master");
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.watchers.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        let credentials = self.security.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis+sentinel://{credentials}{}/{MASTER}/0", hosts.join(","))
    }

    fn ask(&self, sentinel: &Sentinel, command: &[&str]) -> String {
        ask(self.program, sentinel.port, command).text()
    }
}

impl Sentinel {
    #[track_caller]
    fn start(program: StoreProgram, master: &StoreServer, password: Option<&str>) -> Self {
        let (port, directory) = (free_port(), tempfile::tempdir().expect("a temporary directory"));
        let authentication =
            password.map(|password| format!("sentinel auth-pass {MASTER} {password}\n")).unwrap_or_default();
        // Sentinels write into their file what they learn.
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} 2\n{authentication}\
             sentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 3000\n",
            directory.path().display(),
            master.port()
        );
        let file = directory.path().join("sentinel.conf");
        fs::write(&file, configuration).expect("sentinel.conf");
        let mut process =
            ChildProcess::spawn("sentinel", Command::new(program.server()).arg(file).arg("--sentinel"));
        process.await_start(|_| (ask(program, port, &["PING"]).text().trim() == "PONG").then_some(()));
        Self { port, _process: process, _directory: directory }
    }
}

fn ask(program: StoreProgram, port: u16, command: &[&str]) -> Ran {
    Ran::of(Command::new(program.client()).args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(command))
}
