//! Four gateway processes that count in one store, before an upstream that counts too.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::load::{Load, Tally};
use super::nginx::Nginx;
use super::nodes::{Control, Node};
use super::scenes::exactly;
use super::seed::Tenant;
use super::{RawClient, eventually};

pub const NODES: usize = 4;
pub const CLIENTS: usize = 200;
const PATH: &str = "/acme/api/";

pub struct Fleet {
    pub control: Control,
    pub tenant: Tenant,
    pub nodes: Vec<Node>,
    upstream: Nginx,
    /// How often the upstream was asked what it has counted.
    asked: AtomicUsize,
}

impl Fleet {
    /// With `REDIS_URL`.
    #[track_caller]
    pub fn start(store: &str) -> Self {
        Self::start_with(&[("REDIS_URL", store)])
    }

    #[track_caller]
    pub fn start_with(environment: &[(&str, &str)]) -> Self {
        let answering = "location / { return 200 'hello'; } location = /counted { stub_status; }";
        let (control, upstream) = (Control::start(), Nginx::start(answering));
        let tenant = control.tenant("acme");
        tenant.service("api", &upstream.url());
        let node = |number| control.node_with(&format!("edge-{number}"), environment);
        let nodes: Vec<Node> = (1..=NODES).map(node).collect();
        let fleet = Self { control, tenant, nodes, upstream, asked: AtomicUsize::new(0) };
        for node in &fleet.nodes {
            node.await_store("up");
        }
        fleet
    }

    /// A key on a plan of its own: so many requests in a window that no test sees the end of.
    #[track_caller]
    pub fn key(&self, requests: u64, counting: &str, on_unavailable: &str) -> String {
        let limits = [exactly(requests)];
        let slug = format!("{counting}-{on_unavailable}-{requests}");
        self.key_on(&json!({
            "slug": slug, "limits": limits, "counting": counting, "on_unavailable": on_unavailable,
        }))
    }

    /// A key on this plan, known to every node.
    #[track_caller]
    pub fn key_on(&self, plan: &Value) -> String {
        let slug = plan["slug"].as_str().expect("a slug");
        self.tenant.plan_with(plan);
        let key = self.tenant.key(slug);
        for node in &self.nodes {
            eventually("the key is known", || self.usage(node, &key).is_some());
        }
        key
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Two hundred clients over all nodes.
    pub fn load(&self, key: &str, requests: usize) -> Load {
        self.load_at(PATH, key, requests)
    }

    /// The same at another path.
    pub fn load_at(&self, path: &str, key: &str, requests: usize) -> Load {
        Load::start(&self.addresses(), path, key, CLIENTS, requests)
    }

    pub fn upstream_url(&self) -> String {
        self.upstream.url()
    }

    /// The same, to its end.
    #[track_caller]
    pub fn ask(&self, key: &str, requests: usize) -> Tally {
        self.load(key, requests).finish()
    }

    /// How many requests have come through.
    #[track_caller]
    pub fn admitted(&self) -> usize {
        let shown = RawClient::connect(self.upstream.address()).get("/counted", &[]).expect(200).text();
        // Three numbers below `server accepts handled requests`: this question is one of the requests.
        let numbers = shown.lines().nth(2).expect("the numbers").split_whitespace();
        let requests: usize = numbers.last().and_then(|number| number.parse().ok()).expect("a number");
        // So were those before it.
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        requests - asked
    }

    /// What a node says that was used of the key's only limit.
    pub fn usage(&self, node: &Node, key: &str) -> Option<u64> {
        let response = node.client().get("/-/usage", &[("X-API-Key", key)]);
        (response.status == 200).then(|| response.json()["limits"][0]["used"].as_u64().expect("a count"))
    }
}
