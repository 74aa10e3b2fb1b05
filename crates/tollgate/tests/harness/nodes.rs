//! A control plane alone, and proxy nodes that it feeds.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::admin::Admin;
use super::child::ChildProcess;
use super::client::RawClient;
use super::door::AdminDoor;
use super::gateway::tollgate;
use super::seed::Tenant;
use super::{eventually, eventually_some};

const ADMIN_TOKEN: &str = "test-admin-token";

/// `tollgate control`
pub struct Control {
    process: ChildProcess,
    door: AdminDoor,
    environment: Environment,
    directory: TempDir,
}

/// Settings beyond those that every process of the harness is given.
type Environment = Vec<(&'static str, String)>;

/// `tollgate proxy`
pub struct Node {
    process: ChildProcess,
    proxy: SocketAddr,
    name: String,
    token: String,
    control: String,
    environment: Environment,
    directory: TempDir,
}

impl Control {
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings, as variables.
    #[track_caller]
    pub fn start_with(environment: &[(&'static str, String)]) -> Self {
        Self::start_in(
            tempfile::tempdir().expect("a temporary directory"),
            "127.0.0.1:0",
            environment.to_vec(),
        )
    }

    #[track_caller]
    fn start_in(directory: TempDir, listen: &str, environment: Environment) -> Self {
        let mut command = tollgate();
        command.arg("control").arg("--data-dir").arg(directory.path()).args(["--admin-listen", listen]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = ChildProcess::spawn("control", command.env("TOLLGATE_ADMIN_TOKEN", ADMIN_TOKEN));
        let door = process.await_start(|process| AdminDoor::of(process, None));
        Self { process, door, environment, directory }
    }

    /// Ends it without a word, and gives what starts it again at the same address.
    #[track_caller]
    pub fn kill(mut self) -> impl FnOnce() -> Self {
        self.process.signal("KILL");
        self.process.await_end();
        let Self { directory, door, environment, .. } = self;
        move || Self::start_in(directory, &door.address().to_string(), environment)
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn end(mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.await_end().code(), Some(0), "{}", self.process.said());
    }

    /// Ends it as an operator does, and starts it again at the same address.
    #[track_caller]
    pub fn restart(mut self) -> Self {
        self.process.signal("TERM");
        assert_eq!(self.process.await_end().code(), Some(0), "{}", self.process.said());
        let Self { directory, door, environment, .. } = self;
        Self::start_in(directory, &door.address().to_string(), environment)
    }

    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Asks it to read its files again, and waits until it has.
    #[track_caller]
    pub fn renew(&self) {
        renew(&self.process);
    }

    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    /// What it has printed.
    pub fn said(&self) -> Vec<String> {
        self.process.stdout.all()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn address(&self) -> SocketAddr {
        self.door.address()
    }

    pub fn url(&self) -> String {
        self.door.url()
    }

    pub fn admin(&self) -> Admin {
        Admin::new(self.door.plain(), ADMIN_TOKEN)
    }

    #[track_caller]
    pub fn tenant(&self, slug: &str) -> Tenant {
        Tenant::create(self.admin(), slug)
    }

    /// A new token: its id, and what a node presents.
    #[track_caller]
    pub fn node_token(&self, name: &str) -> (String, String) {
        let made = self.admin().post("/api/node-tokens", &json!({ "name": name })).expect(201);
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        (text("id"), text("token"))
    }

    /// A node with a token of its own, ready to serve.
    #[track_caller]
    pub fn node(&self, name: &str) -> Node {
        let (_, token) = self.node_token(name);
        let node = self.unready_node(name, &token);
        node.await_ready();
        node
    }

    /// The same with these variables.
    #[track_caller]
    pub fn node_with(&self, name: &str, environment: &[(&'static str, &str)]) -> Node {
        let (_, token) = self.node_token(name);
        let environment: Environment =
            environment.iter().map(|&(name, value)| (name, value.to_owned())).collect();
        let node = Node::start_with(&self.url(), name, &token, &environment);
        node.await_ready();
        node
    }

    #[track_caller]
    pub fn unready_node(&self, name: &str, token: &str) -> Node {
        Node::start_with(&self.url(), name, token, &[])
    }

    /// What the control plane says of a node.
    #[track_caller]
    pub fn listed(&self, name: &str) -> Option<Value> {
        let listed = self.admin().get("/api/nodes").expect(200);
        let nodes = listed["items"].as_array().expect("a list");
        nodes.iter().find(|node| node["name"] == name).cloned()
    }

    /// Waits until the node has said that it has everything; gives what it said.
    #[track_caller]
    pub fn await_in_step(&self, name: &str) -> Value {
        eventually_some("the node in step", || {
            self.listed(name).filter(|node| node["lag"] == 0 && node["connected"] == true)
        })
    }
}

impl Node {
    /// Fed by the control plane at this address.
    #[track_caller]
    pub fn start(control: SocketAddr, name: &str, token: &str) -> Self {
        Self::start_with(&format!("http://{control}"), name, token, &[])
    }

    /// Fed by the control plane at this URL, with these settings, as variables.
    #[track_caller]
    pub fn start_with(
        control: &str,
        name: &str,
        token: &str,
        environment: &[(&'static str, String)],
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, control, name, token, environment.to_vec())
    }

    #[track_caller]
    fn start_in(
        directory: TempDir,
        control: &str,
        name: &str,
        token: &str,
        environment: Environment,
    ) -> Self {
        let mut command = tollgate();
        command.arg("proxy").arg("--data-dir").arg(directory.path());
        command.args(["--control-url", control, "--proxy-listen", "127.0.0.1:0"]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.env("TOLLGATE_NODE_TOKEN", token).env("TOLLGATE_CONTROL__NODE_NAME", name);
        let mut process = ChildProcess::spawn(name, command.env("TOLLGATE_ACCESS_LOG", "off"));
        let proxy = process.await_start(|process| listening(process, "proxy"));
        let (name, token, control) = (name.to_owned(), token.to_owned(), control.to_owned());
        Self { process, proxy, name, token, control, environment, directory }
    }

    /// Ends it with the signal, and gives what starts it again on the same data.
    #[track_caller]
    pub fn end(mut self, signal: &str) -> StoppedNode {
        self.process.signal(signal);
        self.process.await_end();
        let Self { name, token, control, environment, directory, .. } = self;
        StoppedNode { name, token, control, environment, directory }
    }

    pub fn freeze(&self) {
        self.process.freeze();
    }

    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// What it has printed.
    pub fn said(&self) -> Vec<String> {
        self.process.stdout.all()
    }

    /// The status of a GET with this key.
    #[track_caller]
    pub fn get(&self, path: &str, key: &str) -> u16 {
        self.client().get(path, &[("X-API-Key", key)]).status
    }

    /// What it says that was used of the key's only limit; `None` where it does not know the key.
    pub fn usage(&self, key: &str) -> Option<u64> {
        let response = self.client().get("/-/usage", &[("X-API-Key", key)]);
        (response.status == 200).then(|| response.json()["limits"][0]["used"].as_u64().expect("a count"))
    }

    pub fn address(&self) -> SocketAddr {
        self.proxy
    }

    pub fn client(&self) -> RawClient {
        RawClient::connect(self.proxy)
    }

    #[track_caller]
    pub fn await_ready(&self) {
        eventually("the node is ready", || self.client().get("/health/ready", &[]).status == 200);
    }

    /// Waits until it says that the counter store is `up` or `down`.
    #[track_caller]
    pub fn await_store(&self, state: &str) {
        let shown = || self.client().get("/health/ready", &[]).expect(200).json();
        eventually(&format!("the store is {state}"), || shown()["counter_store"] == state);
    }

    /// Asks it to read its files again, and waits until it has.
    #[track_caller]
    pub fn renew(&self) {
        renew(&self.process);
    }

    pub fn log(&self) -> Vec<String> {
        self.process.stderr.all()
    }

    #[track_caller]
    pub fn await_logged(&self, text: &str) {
        eventually(text, || self.log().iter().any(|line| line.contains(text)));
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn state_file(&self) -> PathBuf {
        state_file(self.directory.path())
    }
}

pub struct StoppedNode {
    name: String,
    token: String,
    control: String,
    environment: Environment,
    directory: TempDir,
}

impl StoppedNode {
    #[track_caller]
    pub fn start(self) -> Node {
        Node::start_in(self.directory, &self.control, &self.name, &self.token, self.environment)
    }

    /// Changes a byte in the middle of what it has saved.
    #[track_caller]
    pub fn damage(&self) {
        let file = state_file(self.directory.path());
        let mut bytes = fs::read(&file).expect("a saved state");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).expect("writing");
    }
}

#[track_caller]
fn renew(process: &ChildProcess) {
    let times = || process.stderr.all().iter().filter(|line| line.contains("were read again")).count();
    let before = times();
    process.signal("HUP");
    eventually("what is renewed is in force", || times() > before);
}

fn state_file(directory: &Path) -> PathBuf {
    directory.join("node.state")
}

fn listening(process: &ChildProcess, what: &str) -> Option<SocketAddr> {
    let address = process.stdout.after(&format!("{what} listening on http://"))?;
    Some(address.trim().parse().expect("an address"))
}
