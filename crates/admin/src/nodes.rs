//! The nodes that are fed: which tokens they may present, and what they have said of themselves.

mod state;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::{mpsc, watch};
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::NodeName;
use tollgate_core::resource::DisplayName;
use tollgate_core::sighting::{Ends, SightingReport};
use tollgate_core::snapshot::Snapshot;
use tollgate_store::NodeTokenRecord;
use uuid::Uuid;

use state::{Life, OpenFeed, Reporting, State, Token};
pub use state::{NodeReport, NodeState};

use crate::clock;
use crate::orders::{NodeKey, Told};
use crate::sighted::{NodeLink, SightedNode};
use crate::throttle::{Throttle, TooManyFailures};

/// Orders that may wait for a feed: one that is sent everything takes them after.
const ORDERS_AHEAD: usize = 64;

#[derive(Default)]
pub struct Nodes {
    state: Mutex<State>,
    guesses: Throttle,
}

/// Holds for as long as its token does.
#[derive(Clone)]
pub struct Lease {
    token: Uuid,
    token_name: DisplayName,
    held: watch::Receiver<()>,
}

/// An open feed; the node counts as connected until it is dropped.
pub struct Connected {
    nodes: Arc<Nodes>,
    lease: Lease,
    name: NodeName,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadNodeToken {
    Unknown,
    TooMany(TooManyFailures),
}

impl Nodes {
    pub fn new(tokens: Vec<NodeTokenRecord>) -> Self {
        let nodes = Self::default();
        for token in tokens {
            nodes.admit(&token);
        }
        nodes
    }

    pub fn admit(&self, token: &NodeTokenRecord) {
        let (holds, held) = watch::channel(());
        let lease = Lease { token: token.id, token_name: token.name.clone(), held };
        self.state().tokens.insert(token.hash, Token { lease, _holds: holds });
    }

    /// Ends the feeds that the token has opened. Its nodes serve on with what they have, which somebody has to see.
    pub fn revoke(&self, id: Uuid) {
        let mut state = self.state();
        state.tokens.retain(|_, token| token.lease.token != id);
        for (_, node) in state.nodes.iter_mut().filter(|((token, _), _)| *token == id) {
            node.feeds.clear();
            node.sighted = Arc::default();
            node.life = Life::CutOff;
        }
    }

    /// One hash and one look-up, whatever the token. Guesses are counted by the peer's address; whoever has a
    /// token is not held up by somebody else's.
    pub fn authenticate(&self, token: &KeyHash, peer: Option<IpAddr>) -> Result<Lease, BadNodeToken> {
        let found = self.state().tokens.get(token).map(|token| token.lease.clone());
        match found {
            Some(lease) => Ok(lease),
            None => match self.guesses.fail("", peer, clock::instant()) {
                Ok(()) => Err(BadNodeToken::Unknown),
                Err(too_many) => Err(BadNodeToken::TooMany(too_many)),
            },
        }
    }

    /// With what comes of orders.
    pub fn connect(
        self: &Arc<Self>,
        lease: Lease,
        name: NodeName,
        version: String,
        revision: u64,
    ) -> (Connected, mpsc::Receiver<Bytes>) {
        let (orders, ordered) = mpsc::channel(ORDERS_AHEAD);
        let number = self.state().next_feed();
        self.note(&lease, &name, |node| {
            if node.is_connected() {
                tracing::warn!(node = %name, token = %lease.token_name, "a node has connected whose name is in use: it has begun anew a moment ago, or two nodes have one name");
            }
            node.feeds.push(OpenFeed { number, orders });
            node.life = Life::Running;
            node.report.version = version;
            node.report.revision = revision;
        });
        (Connected { nodes: Arc::clone(self), lease, name, number }, ordered)
    }

    /// `session` is the process's own.
    pub fn report(&self, lease: &Lease, name: &NodeName, session: Uuid, report: NodeReport) {
        self.note(lease, name, |node| {
            node.report = report;
            if node.reporting.heard(session) {
                tracing::warn!(node = %name, token = %lease.token_name, "several nodes that run at the same time have one name, and are shown as one, now as the one, now as the other: give each its own (control.node_name)");
            }
        });
    }

    /// What it says of services; the report was checked.
    pub fn sight(&self, lease: &Lease, name: &NodeName, report: SightingReport, snapshot: &Snapshot) {
        self.note(lease, name, |node| match report.ends {
            Ends::ForGood => node.life = Life::Ended,
            Ends::Complete | Ends::Cut => {
                node.life = Life::Running;
                Arc::make_mut(&mut node.sighted).take(report, snapshot, clock::instant());
            }
        });
    }

    /// All that are connected, or were not long ago and have not ended since.
    pub fn sighted(&self) -> Vec<SightedNode> {
        let mut state = self.state();
        let shown = state.shown().map(|(_, node)| SightedNode {
            name: node.name.to_string(),
            link: if node.is_connected() { NodeLink::Connected } else { NodeLink::Away },
            sighted: Arc::clone(&node.sighted),
        });
        shown.collect()
    }

    /// Sends an order to those of [`Nodes::sighted`] that listen.
    pub fn send(&self, order: &Bytes) -> BTreeMap<NodeKey, Told> {
        let mut state = self.state();
        let send = |feed: &OpenFeed| feed.orders.try_send(order.clone()).is_ok();
        let sent = state.shown().map(|(key, node)| {
            // A node that has begun anew may not have lost the feed before: it hears it twice rather than never.
            let reached = node.feeds.iter().filter(|feed| send(feed)).count();
            (key.clone(), if reached > 0 { Told::Sent } else { Told::Away })
        });
        sent.collect()
    }

    /// At most `limit` of those after `after`, in the order of their tokens, then of their names.
    pub fn list(&self, after: Option<&NodeKey>, limit: usize) -> Vec<(NodeKey, NodeState)> {
        let mut state = self.state();
        state.forget();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = state.nodes.range((from, Bound::Unbounded)).take(limit);
        page.map(|(key, node)| (key.clone(), node.clone())).collect()
    }

    /// How many are fed.
    pub fn connected(&self) -> u64 {
        self.state().nodes.values().filter(|node| node.is_connected()).count() as u64
    }

    fn note(&self, lease: &Lease, name: &NodeName, note: impl FnOnce(&mut NodeState)) {
        let mut state = self.state();
        // A token that was revoked meanwhile has no say any more.
        if !state.tokens.values().any(|token| token.lease.token == lease.token) {
            return;
        }
        let key = (lease.token, name.clone());
        if !state.nodes.contains_key(&key) {
            // Where it was cut off it has another token now.
            state.nodes.retain(|(_, other), node| node.life != Life::CutOff || other != name);
            state.make_room(lease.token);
        }
        let node = state.nodes.entry(key).or_insert_with(|| NodeState {
            name: name.clone(),
            token: lease.token_name.clone(),
            report: NodeReport::default(),
            last_seen_secs: 0,
            sighted: Arc::default(),
            feeds: Vec::new(),
            life: Life::Running,
            reporting: Reporting::default(),
        });
        node.last_seen_secs = clock::now_secs();
        note(node);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    pub const fn token(&self) -> Uuid {
        self.token
    }

    /// Returns once the token is no longer good.
    pub async fn revoked(&mut self) {
        while self.held.changed().await.is_ok() {}
    }
}

impl Connected {
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    pub const fn name(&self) -> &NodeName {
        &self.name
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        let key = (self.lease.token, self.name.clone());
        if let Some(node) = self.nodes.state().nodes.get_mut(&key) {
            node.feeds.retain(|feed| feed.number != self.number);
            if node.feeds.len() <= 1 {
                // As far as is known one is left.
                node.reporting = Reporting::default();
            }
        }
    }
}
