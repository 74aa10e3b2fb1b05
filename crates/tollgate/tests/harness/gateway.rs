//! The real `tollgate` binary, serving.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::admin::Admin;
use super::certificate::Certificate;
use super::child::ChildProcess;
use super::client::RawClient;
use super::door::AdminDoor;
use super::programs::Ran;
use super::seed::Tenant;
use super::{eventually, eventually_some};

const ADMIN_TOKEN: &str = "test-admin-token";

/// A gateway that runs; killed when dropped.
pub struct Gateway {
    process: ChildProcess,
    builder: Builder,
    proxy: SocketAddr,
    admin: AdminDoor,
}

/// How a gateway is to be started.
#[derive(Clone)]
pub struct Builder {
    subcommand: String,
    config: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Arc<TempDir>,
    shown: Option<Arc<Certificate>>,
    /// What the shell says before it becomes the gateway.
    before: Option<String>,
}

/// A gateway that ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

const BINARY: &str = env!("CARGO_BIN_EXE_tollgate");

/// The binary with nothing of the test's environment that it would listen to.
pub fn tollgate() -> Command {
    with_no_environment(Command::new(BINARY))
}

fn with_no_environment(mut command: Command) -> Command {
    command.env_clear();
    command.envs(
        std::env::vars().filter(|(name, _)| ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE"].contains(&&**name)),
    );
    command
}

impl Builder {
    /// `quickstart` instead of `serve`, say.
    pub fn subcommand(mut self, name: &str) -> Self {
        name.clone_into(&mut self.subcommand);
        self
    }

    /// The contents of `tollgate.toml`. Without an `access_log` of its own, it goes to a file that
    /// [`Gateway::access_log`] reads.
    pub fn config(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.config);
        self
    }

    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(own, _)| own != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.environment.retain(|(own, _)| own != name);
        self
    }

    /// Its limits of open files: the one that holds at first, and the one that it may raise that to.
    pub fn open_files(mut self, soft: usize, hard: usize) -> Self {
        self.before = Some(format!("ulimit -S -n {soft} && ulimit -H -n {hard}"));
        self
    }

    /// How many KiB a file may have that it writes.
    pub fn file_size(mut self, kib: usize) -> Self {
        self.before = Some(format!("ulimit -f {kib}"));
        self
    }

    /// Where its standard error goes, instead of to the test.
    pub fn stderr(mut self, file: &Path) -> Self {
        self.before = Some(format!("exec 2>'{}'", file.display()));
        self
    }

    /// What the test itself shows to an admin listener that asks for certificates.
    pub fn showing(mut self, certificate: Certificate) -> Self {
        self.shown = Some(Arc::new(certificate));
        self
    }

    /// Starts it and waits until it listens and is ready.
    #[track_caller]
    pub fn start(self) -> Gateway {
        self.try_start().unwrap_or_else(|refused| panic!("tollgate does not start: {refused:?}"))
    }

    #[track_caller]
    pub fn try_start(self) -> Result<Gateway, Refused> {
        let directory = self.directory.path();
        let mut config = self.config.clone();
        if !config.contains("access_log") {
            config.insert_str(0, &format!("access_log = \"{}\"\n", access_log_file(directory).display()));
        }
        let config_file = directory.join("tollgate.toml");
        fs::write(&config_file, config).expect("tollgate.toml");
        let mut command = match &self.before {
            None => tollgate(),
            Some(before) => {
                let mut shell = with_no_environment(Command::new("sh"));
                shell.args(["-c", &format!("{before} && exec \"$0\" \"$@\""), BINARY]);
                shell
            }
        };
        command.arg(&self.subcommand);
        command.arg("--data-dir").arg(directory.join("data")).arg("--config").arg(config_file);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));

        let mut process = ChildProcess::spawn("tollgate", &mut command);
        let addresses = eventually_some("tollgate listens or ends", || {
            let proxy = process.stdout.after("proxy listening on http://");
            match (proxy, AdminDoor::of(&process, self.shown.as_deref()), process.ended()) {
                (Some(proxy), Some(admin), _) => Some(Ok((address(&proxy), admin))),
                (_, _, Some(status)) => Some(Err(status)),
                _ => None,
            }
        });
        let (proxy, admin) = match addresses {
            Ok(addresses) => addresses,
            Err(status) => {
                process.await_end();
                let stdout = process.stdout.all().join("\n");
                return Err(Refused { status, stdout, stderr: process.stderr.all().join("\n") });
            }
        };
        eventually("tollgate is ready", || RawClient::connect(proxy).get("/health/ready", &[]).status == 200);
        Ok(Gateway { process, builder: self, proxy, admin })
    }
}

fn address(text: &str) -> SocketAddr {
    text.trim().trim_end_matches('/').parse().unwrap_or_else(|_| panic!("no address: {text:?}"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn access_log_file(directory: &Path) -> PathBuf {
    directory.join("access.log")
}

impl Gateway {
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    pub fn builder() -> Builder {
        let builder = Builder {
            subcommand: "serve".to_owned(),
            config: String::new(),
            arguments: Vec::new(),
            environment: vec![("TOLLGATE_ADMIN_TOKEN".to_owned(), ADMIN_TOKEN.to_owned())],
            directory: Arc::new(tempfile::tempdir().expect("a temporary directory")),
            shown: None,
            before: None,
        };
        // Free ports go by the environment, so that a test's own `--proxy-listen` has the last word.
        let listeners = ["TOLLGATE_PROXY__LISTEN", "TOLLGATE_ADMIN__LISTEN", "TOLLGATE_DEMO__LISTEN"];
        listeners.into_iter().fold(builder, |builder, listener| builder.env(listener, "127.0.0.1:0"))
    }

    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The proxy's URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy)
    }

    /// A new connection to the proxy.
    pub fn client(&self) -> RawClient {
        RawClient::connect(self.proxy)
    }

    /// The admin API as the platform's administrator.
    pub fn admin(&self) -> Admin {
        self.admin_with(ADMIN_TOKEN)
    }

    pub fn admin_with(&self, token: &str) -> Admin {
        Admin::new(self.admin.plain(), token)
    }

    /// A new connection to the admin API.
    pub fn admin_connection(&self) -> RawClient {
        RawClient::connect(self.admin.plain())
    }

    /// Creates a tenant to seed.
    #[track_caller]
    pub fn tenant(&self, slug: &str) -> Tenant {
        Tenant::create(self.admin(), slug)
    }

    /// A tenant `acme` with a service `api` at this URL: gives a key for it that has no limits.
    #[track_caller]
    pub fn expose(&self, url: &str) -> String {
        self.tenant("acme").service("api", url).unlimited_key()
    }

    /// Runs a command of the command line against this gateway's admin API.
    pub fn command(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.prepared(arguments))
    }

    /// The same, not run yet.
    pub fn prepared(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate();
        command.env("TOLLGATE_ADMIN_URL", self.admin.url()).env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN);
        command.args(arguments);
        command
    }

    pub fn directory(&self) -> &Path {
        self.builder.directory.path()
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that it ever occupied.
    pub fn peak_resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kib * 1024
    }

    /// Asks it to read its files again, and waits until it has.
    #[track_caller]
    pub fn renew(&self) {
        let times = || self.stderr().iter().filter(|line| line.contains("were read again")).count();
        let before = times();
        self.signal("HUP");
        eventually("what is renewed is in force", || times() > before);
    }

    /// `TERM`, `INT`, `HUP`, `KILL`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        self.process.await_end()
    }

    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Ends it as an operator does; what it said and wrote can be read from then on.
    #[track_caller]
    pub fn end(&mut self) {
        self.signal("TERM");
        assert_eq!(self.await_end().code(), Some(0), "{}", self.process.said());
    }

    /// How another is started on the same data, on other ports, once this one has ended.
    pub fn again(&self) -> Builder {
        self.builder.clone()
    }

    /// Ends it with the signal and starts another on the same data: what is asked from then on is the other.
    #[track_caller]
    pub fn restart_after(mut self, signal: &str) -> Self {
        self.signal(signal);
        self.await_end();
        self.again().start()
    }

    pub fn stdout(&self) -> Vec<String> {
        self.process.stdout.all()
    }

    pub fn stderr(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// The files of its directory, data and logs alike, in which this text stands.
    pub fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let holds_text = |file: &PathBuf| {
            let bytes = fs::read(file).expect("a file");
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        files_below(self.directory()).into_iter().filter(holds_text).collect()
    }

    /// The access log's lines so far. They are written a moment after their requests.
    pub fn access_log(&self) -> Vec<Value> {
        let text = fs::read_to_string(access_log_file(self.directory())).unwrap_or_default();
        let whole_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines).lines();
        whole_lines.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Waits for the first line of the access log for which this is true.
    #[track_caller]
    pub fn await_logged(&self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        eventually_some("a line in the access log", || self.access_log().into_iter().find(&is_wanted))
    }
}
