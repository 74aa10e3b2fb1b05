//! The nodes that are fed: which tokens they may present, and what they have said of themselves.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::NodeName;
use tollgate_core::resource::DisplayName;
use tollgate_store::NodeTokenRecord;
use uuid::Uuid;

use crate::clock;
use crate::throttle::{Throttle, TooManyFailures};

/// Who holds a token cannot fill the memory with names.
const MOST_NODES_A_TOKEN: usize = 1_000;
/// A node that was away for so long is taken off the list.
const FORGOTTEN_AFTER_SECS: u64 = 7 * 86_400;

#[derive(Default)]
pub struct Nodes {
    state: Mutex<State>,
    guesses: Throttle,
}

#[derive(Default)]
struct State {
    tokens: HashMap<KeyHash, Token>,
    nodes: BTreeMap<(Uuid, NodeName), NodeState>,
}

struct Token {
    lease: Lease,
    /// Dropped with the token, which is what leases notice.
    _holds: watch::Sender<()>,
}

/// Holds for as long as its token does.
#[derive(Clone)]
pub struct Lease {
    token: Uuid,
    token_name: DisplayName,
    held: watch::Receiver<()>,
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct NodeState {
    pub name: NodeName,
    /// Name of the token that it presents.
    pub token: DisplayName,
    pub report: NodeReport,
    pub last_seen_secs: u64,
    /// Feeds that it has open.
    pub feeds: u32,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub struct NodeReport {
    pub version: String,
    /// In force there; zero before the first.
    pub revision: u64,
    /// How often it was sent everything since it started.
    pub full_syncs: u64,
    /// Changes it was sent one by one since it started.
    pub changes: u64,
}

/// An open feed; the node counts as connected until it is dropped.
pub struct Connected {
    nodes: Arc<Nodes>,
    lease: Lease,
    name: NodeName,
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

    /// Ends the feeds that the token has opened.
    pub fn revoke(&self, id: Uuid) {
        let mut state = self.state();
        state.tokens.retain(|_, token| token.lease.token != id);
        state.nodes.retain(|(token, _), _| *token != id);
    }

    /// One hash and one look-up, whatever the token. Guesses are counted by the peer's address; whoever has a
    /// token is not held up by somebody else's.
    pub fn authenticate(&self, token: &KeyHash, peer: Option<IpAddr>) -> Result<Lease, BadNodeToken> {
        let found = self.state().tokens.get(token).map(|token| token.lease.clone());
        match found {
            Some(lease) => Ok(lease),
            None => match self.guesses.attempt("", peer, clock::now_secs()) {
                Ok(()) => Err(BadNodeToken::Unknown),
                Err(too_many) => Err(BadNodeToken::TooMany(too_many)),
            },
        }
    }

    pub fn connect(
        self: &Arc<Self>,
        lease: Lease,
        name: NodeName,
        version: String,
        revision: u64,
    ) -> Connected {
        self.note(&lease, &name, |node| {
            node.feeds += 1;
            node.report.version = version;
            node.report.revision = revision;
        });
        Connected { nodes: Arc::clone(self), lease, name }
    }

    pub fn report(&self, lease: &Lease, name: &NodeName, report: NodeReport) {
        self.note(lease, name, |node| node.report = report);
    }

    /// In the order of their tokens, then of their names.
    pub fn list(&self) -> Vec<NodeState> {
        let now_secs = clock::now_secs();
        let mut state = self.state();
        state.nodes.retain(|_, node| node.feeds > 0 || now_secs < node.last_seen_secs + FORGOTTEN_AFTER_SECS);
        state.nodes.values().cloned().collect()
    }

    fn note(&self, lease: &Lease, name: &NodeName, note: impl FnOnce(&mut NodeState)) {
        let mut state = self.state();
        // A token that was revoked meanwhile has no nodes any more.
        if !state.tokens.values().any(|token| token.lease.token == lease.token) {
            return;
        }
        let key = (lease.token, name.clone());
        if !state.nodes.contains_key(&key) {
            state.make_room(lease.token);
        }
        let node = state.nodes.entry(key).or_insert_with(|| NodeState {
            name: name.clone(),
            token: lease.token_name.clone(),
            report: NodeReport::default(),
            last_seen_secs: 0,
            feeds: 0,
        });
        node.last_seen_secs = clock::now_secs();
        note(node);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets the node of the token that was away for longest, where there are too many.
    fn make_room(&mut self, token: Uuid) {
        let own = || self.nodes.iter().filter(|((of, _), _)| *of == token);
        if own().count() < MOST_NODES_A_TOKEN {
            return;
        }
        let away = own().filter(|(_, node)| node.feeds == 0);
        let oldest = away.min_by_key(|(_, node)| node.last_seen_secs).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.nodes.remove(&oldest);
        }
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
            node.feeds = node.feeds.saturating_sub(1);
        }
    }
}
