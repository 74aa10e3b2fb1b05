//! A Redis of a test's own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tollgate_core::resource::CounterStoreUrl;
use tollgate_counters::StoreSettings;

/// Ends with the test.
pub struct Redis {
    pub port: u16,
    folder: TempDir,
    process: Child,
}

impl Redis {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = launch(port, &folder);
        let redis = Self { port, folder, process };
        redis.wait();
        redis
    }

    pub fn settings(&self) -> StoreSettings {
        let url = format!("redis://127.0.0.1:{}", self.port);
        StoreSettings { url: CounterStoreUrl::parse(&url).unwrap(), authorities: None, nodes_file: None }
    }

    /// As if its machine lost power; it keeps nothing.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// At the same place, and empty.
    pub fn start_again(&mut self) {
        self.process = launch(self.port, &self.folder);
        self.wait();
    }

    /// Returns once every thread stands still: one that the signal has not reached yet still answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
        let threads = format!("/proc/{}/task", self.process.id());
        until("redis-server stands still", || {
            fs::read_dir(&threads).unwrap().all(|thread| {
                let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
                status.contains("State:\tT")
            })
        });
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").arg(signal).arg(self.process.id().to_string()).status().unwrap().success()
        );
    }

    pub fn run(&self, command: &[&str]) -> redis::Value {
        let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}", self.port))
            .unwrap()
            .get_connection()
            .unwrap();
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query(&mut connection).unwrap()
    }

    /// How often a command was called.
    pub fn calls(&self, command: &str) -> u64 {
        let text: String = redis::from_redis_value(self.run(&["INFO", "commandstats"])).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    /// The keys of this pattern, with how long they live; all of them end.
    pub fn keys(&self, pattern: &str) -> Vec<(String, Duration)> {
        let keys: Vec<String> = redis::from_redis_value(self.run(&["KEYS", pattern])).unwrap();
        let lives = |key: String| {
            let millis: i64 = redis::from_redis_value(self.run(&["PTTL", &key])).unwrap();
            let lives = Duration::from_millis(u64::try_from(millis).expect("a key that does not end"));
            (key, lives)
        };
        keys.into_iter().map(lives).collect()
    }

    /// Nodes that have said that they are alive.
    pub fn members(&self) -> u64 {
        redis::from_redis_value(self.run(&["ZCARD", "tg:{nodes}:members"])).unwrap()
    }

    fn wait(&self) {
        until("redis-server starts", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by the test.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(10), "waited for ten seconds until {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn launch(port: u16, folder: &TempDir) -> Child {
    let log = File::create(folder.path().join("log")).unwrap();
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
        .current_dir(folder.path())
        .stdout(Stdio::from(log))
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is not installed")
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
