//! Tollgate under measurement. Everything that depends on its command line, its configuration, its
//! declarative files and its admin API is in this file.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::client;
use super::load;
use super::peers::{Server, WORKERS};
use super::process::Process;
use crate::command;

const ADMIN_TOKEN: &str = "bench-admin-token";

/// How long a start may take before the run is given up.
const START: Duration = Duration::from_mins(2);

/// How often readiness is asked for.
const POLL: Duration = Duration::from_millis(1);

/// A running `tollgate serve`.
pub struct Tollgate {
    pub server: Server,
    admin: SocketAddr,
    agent: ureq::Agent,
    /// From exec to the last of: both listeners announced, `/health/ready` answering 200.
    pub ready_after: Duration,
}

/// Where a Tollgate keeps its things: starts with the same home find the same data.
pub struct Home {
    directory: PathBuf,
    config: PathBuf,
    pub access_log: PathBuf,
    /// Of the store that counts, where there is one.
    redis_url: Option<String>,
}

impl Home {
    pub fn new(directory: PathBuf) -> Result<Self> {
        let access_log = directory.join("access.log");
        let config = directory.join("tollgate.toml");
        fs::write(&config, format!("access_log = {:?}\n", access_log.display().to_string()))
            .context("cannot write tollgate.toml")?;
        Ok(Self { directory, config, access_log, redis_url: None })
    }

    pub fn counting_in(self, redis_url: String) -> Self {
        Self { redis_url: Some(redis_url), ..self }
    }
}

impl Tollgate {
    pub fn start(binary: &Path, home: &Home) -> Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["serve", "--proxy-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--workers", &WORKERS.to_string()])
            .arg("--data-dir")
            .arg(home.directory.join("data"))
            .arg("--config")
            .arg(&home.config)
            .env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN)
            .envs(home.redis_url.iter().map(|url| ("REDIS_URL", url)))
            .stdout(Stdio::piped());
        let (process, proxy, admin, ready_after) = start_ready(&mut command, home, Announced::ProxyAndAdmin)?;
        let agent = ureq::Agent::config_builder().timeout_global(Some(START)).build().into();
        Ok(Self { server: Server { process, address: proxy }, admin, agent, ready_after })
    }

    pub fn id(&self) -> u32 {
        self.server.process.id()
    }

    /// Applies a declarative file through the command line, as an operator would.
    pub fn apply(&self, binary: &Path, file: &Path) -> Result<()> {
        command::capture(
            Command::new(binary)
                .args(["config", "apply"])
                .arg(file)
                .arg("--admin-url")
                .arg(format!("http://{}", self.admin))
                .env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN),
        )?;
        Ok(())
    }

    /// Adds one key through the admin API: the key as its user would send it.
    pub fn add_key(&self, number: usize) -> Result<String> {
        let url = format!("http://{}/api/keys?tenant=bench", self.admin);
        let body = json!({ "name": format!("added {number}"), "plan": "ample" });
        let answer: Value = self
            .agent
            .post(url)
            .header("Authorization", format!("Bearer {ADMIN_TOKEN}"))
            .send_json(body)
            .context("the admin API did not add a key")?
            .body_mut()
            .read_json()?;
        Ok(answer["key"].as_str().context("the answer holds no key")?.to_owned())
    }

    /// A token for a proxy node.
    pub fn node_token(&self, name: &str) -> Result<String> {
        let answer: Value = self
            .agent
            .post(format!("http://{}/api/node-tokens", self.admin))
            .header("Authorization", format!("Bearer {ADMIN_TOKEN}"))
            .send_json(json!({ "name": name }))
            .context("the admin API did not make a node token")?
            .body_mut()
            .read_json()?;
        Ok(answer["token"].as_str().context("the answer holds no token")?.to_owned())
    }
}

/// Where a node stands, as the control plane knows it.
pub struct Standing {
    /// How often it was sent everything since it started.
    pub full_syncs: u64,
    /// Changes that it was sent one by one since then.
    pub changes: u64,
    /// Revisions that it is behind.
    pub lag: u64,
}

impl Tollgate {
    /// Of the node that presents this token; nothing before it is known.
    pub fn standing(&self, token_name: &str) -> Result<Option<Standing>> {
        let answer: Value = self
            .agent
            .get(format!("http://{}/api/nodes", self.admin))
            .header("Authorization", format!("Bearer {ADMIN_TOKEN}"))
            .call()
            .context("the admin API does not list nodes")?
            .body_mut()
            .read_json()?;
        let nodes = answer["items"].as_array().context("the answer is no list")?;
        let Some(node) = nodes.iter().find(|node| node["token"] == token_name) else { return Ok(None) };
        let number = |field: &str| node[field].as_u64().with_context(|| format!("a node has no {field}"));
        let (full_syncs, changes) = (number("full_syncs")?, number("changes")?);
        Ok(Some(Standing { full_syncs, changes, lag: number("lag")? }))
    }
}

/// A running `tollgate proxy`.
pub struct Node {
    pub server: Server,
    /// From exec until `/health/ready` answers 200.
    pub ready_after: Duration,
}

impl Node {
    pub fn start(binary: &Path, home: &Home, control: &Tollgate, token: &str) -> Result<Self> {
        let mut command = Command::new(binary);
        command
            .args(["proxy", "--proxy-listen", "127.0.0.1:0", "--workers", &WORKERS.to_string()])
            .arg("--control-url")
            .arg(format!("http://{}", control.admin))
            .arg("--data-dir")
            .arg(home.directory.join("data"))
            .arg("--config")
            .arg(&home.config)
            .env("TOLLGATE_NODE_TOKEN", token)
            .stdout(Stdio::piped());
        let (process, proxy, _, ready_after) = start_ready(&mut command, home, Announced::Proxy)?;
        Ok(Self { server: Server { process, address: proxy }, ready_after })
    }
}

/// What a process says that it listens for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Announced {
    Proxy,
    ProxyAndAdmin,
}

/// Starts it and waits until its proxy is ready: the proxy's address, the admin API's (the proxy's again where
/// there is none), and how long it took.
fn start_ready(
    command: &mut Command,
    home: &Home,
    announced: Announced,
) -> Result<(Process, SocketAddr, SocketAddr, Duration)> {
    let started = Instant::now();
    let mut process = Process::spawn("tollgate", command, &home.directory)?;
    let lines = read_lines(process.stdout()?);
    let stderr = || fs::read_to_string(home.directory.join("stderr.log")).unwrap_or_default();
    let (proxy, admin) = listeners(&lines, started, announced)
        .with_context(|| format!("tollgate printed: {}", stderr().trim()))?;
    while client::expect_ok(proxy, b"GET /health/ready HTTP/1.1\r\nHost: bench.test\r\n\r\n").is_err() {
        if process.ended()?.is_some() || started.elapsed() > START {
            bail!("tollgate does not become ready: {}", stderr().trim());
        }
        thread::sleep(POLL);
    }
    Ok((process, proxy, admin, started.elapsed()))
}

/// What a Tollgate is filled with: keys as [`load::key`] names them, services as [`load::path`] does. All
/// services have the same upstream. The limits are never reached.
pub struct Seed {
    pub services: usize,
    pub keys: usize,
    pub upstream: SocketAddr,
    /// Of the plan; of no consequence without a store.
    pub counting: &'static str,
    pub balanced: Option<Balanced>,
}

/// One more service, with two targets, which a route leads all requests of a host to. Breaker, outlier detection and
/// retries are as they are by default.
pub struct Balanced {
    /// With what belongs to it.
    pub algorithm: &'static str,
    /// Beside the upstream.
    pub second: SocketAddr,
}

impl Balanced {
    pub const HOST: &str = "balanced.test";
}

impl Seed {
    /// Writes the declarative file.
    pub fn write(&self, file: &Path) -> Result<()> {
        let mut yaml = BufWriter::new(File::create(file).context("cannot create the declarative file")?);
        writeln!(yaml, "tenants:\n- {{slug: bench, name: Bench}}")?;
        writeln!(
            yaml,
            "plans:\n- {{tenant: bench, slug: ample, name: Ample, limits: [{LIMITS}], counting: {}}}",
            self.counting
        )?;
        writeln!(yaml, "services:")?;
        for number in 0..self.services {
            let url = format!("http://{}", self.upstream);
            writeln!(yaml, "- {{tenant: bench, slug: s{number}, name: Service {number}, url: \"{url}\"}}")?;
        }
        if let Some(Balanced { algorithm, second }) = &self.balanced {
            let (first, host) = (self.upstream, Balanced::HOST);
            let targets = format!("[{{url: \"http://{first}\"}}, {{url: \"http://{second}\"}}]");
            writeln!(
                yaml,
                "- {{tenant: bench, slug: balanced, name: Balanced, targets: {targets}, \
                 balancer: {{algorithm: {algorithm}}}}}"
            )?;
            writeln!(yaml, "routes:\n- {{tenant: bench, name: All, service: balanced, hosts: [{host}]}}")?;
        }
        writeln!(yaml, "keys:")?;
        for number in 0..self.keys {
            let key = load::key(number);
            writeln!(yaml, "- {{tenant: bench, name: Key {number}, plan: ample, key: \"{key}\"}}")?;
        }
        yaml.flush().context("cannot write the declarative file")
    }
}

const LIMITS: &str = "{requests: 1000000000, per: minute}, {requests: 1000000000, per: day}, \
    {requests: 1000000000, per: month}";

/// Starts a Tollgate in a new home and fills it.
pub fn start_filled(binary: &Path, home: &Home, seed: &Seed) -> Result<Tollgate> {
    let tollgate = Tollgate::start(binary, home)?;
    let file = home.directory.join("seed.yaml");
    seed.write(&file)?;
    tollgate.apply(binary, &file)?;
    Ok(tollgate)
}

/// Goes on reading for as long as the process prints, so that its pipe never fills.
fn read_lines(stdout: std::process::ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody listens any more once the addresses are known.
            let _unread = sender.send(line);
        }
    });
    lines
}

/// The addresses of the proxy and of the admin API, from the lines that announce them.
fn listeners(
    lines: &Receiver<String>,
    started: Instant,
    announced: Announced,
) -> Result<(SocketAddr, SocketAddr)> {
    let (mut proxy, mut admin) = (None, None);
    loop {
        match (proxy, admin, announced) {
            (Some(proxy), Some(admin), _) => return Ok((proxy, admin)),
            (Some(proxy), None, Announced::Proxy) => return Ok((proxy, proxy)),
            (Some(_), None, Announced::ProxyAndAdmin) | (None, _, _) => {}
        }
        let line = match lines.recv_timeout(START.saturating_sub(started.elapsed())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => bail!("tollgate does not say where it listens"),
            Err(RecvTimeoutError::Disconnected) => bail!("tollgate ended at start"),
        };
        if let Some(address) = line.strip_prefix("proxy listening on http://") {
            proxy = Some(address.trim().parse().context("bad proxy address")?);
        } else if let Some(address) = line.strip_prefix("admin listening on http://") {
            admin = Some(address.trim().parse().context("bad admin address")?);
        }
    }
}
