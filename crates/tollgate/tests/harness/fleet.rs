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
const FEW_CLIENTS: usize = 5 * NODES;
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
    pub fn start_with(environment: &[(&'static str, &str)]) -> Self {
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
    pub fn key(&self, requests: usize, counting: &str, on_unavailable: &str) -> String {
        let limits = [exactly(requests.try_into().expect("a number"))];
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
            eventually("the key is known", || node.usage(&key).is_some());
        }
        key
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Node::address).collect()
    }

    /// Two hundred clients over all nodes.
    pub fn load(&self, key: &str, requests: usize) -> Load {
        Load::start(&self.addresses(), PATH, key, CLIENTS, requests)
    }

    /// A few clients over all nodes, to the end of their requests.
    #[track_caller]
    pub fn ask(&self, key: &str, requests: usize) -> Tally {
        self.ask_at(PATH, key, requests)
    }

    /// The same at another path.
    #[track_caller]
    pub fn ask_at(&self, path: &str, key: &str, requests: usize) -> Tally {
        Load::start(&self.addresses(), path, key, FEW_CLIENTS, requests).finish()
    }

    pub fn upstream_url(&self) -> String {
        self.upstream.url()
    }

    /// The same, where everybody who is told that the store is away asks again: a busy machine may take it for that.
    #[track_caller]
    pub fn ask_again(&self, key: &str, requests: usize) -> Tally {
        let mut all = self.ask(key, requests);
        eventually("the store has answered everybody", || {
            let again = all.by_status.remove(&503).unwrap_or_default();
            if again > 0 {
                all.add(&self.ask(key, again));
            }
            all.of(503) == 0
        });
        all
    }

    /// Asks until so many requests in all have come through; fails where one more does.
    #[track_caller]
    pub fn use_up(&self, key: &str, requests: usize) {
        // What idle nodes hold comes back within a while. A busy machine may take the store for away.
        eventually("what nodes hold is let through", || {
            self.ask(key, 200).only(&[200, 429, 503]);
            self.admitted() >= requests
        });
        assert_eq!(self.ask(key, 400).of(200), 0);
        assert_eq!(self.admitted(), requests);
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
}
