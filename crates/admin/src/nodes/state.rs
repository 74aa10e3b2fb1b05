//! What is known of tokens and of nodes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::body::Bytes;
use tokio::sync::{mpsc, watch};
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::NodeName;
use tollgate_core::resource::DisplayName;
use uuid::Uuid;

use super::Lease;
use crate::clock;
use crate::orders::NodeKey;
use crate::sighted::Sighted;

/// Who holds a token cannot fill the memory with names.
const MOST_NODES_A_TOKEN: usize = 1_000;
/// A node that was away for so long is taken off the list.
const FORGOTTEN_AFTER_SECS: u64 = 7 * 86_400;
/// What a node that is away has said of services is shown for so long.
const SHOWN_AWAY_SECS: u64 = 3_600;

#[derive(Default)]
pub(super) struct State {
    pub(super) tokens: HashMap<KeyHash, Token>,
    pub(super) nodes: BTreeMap<NodeKey, NodeState>,
    /// Numbers feeds.
    next_feed: u64,
}

pub(super) struct Token {
    pub(super) lease: Lease,
    /// Dropped with the token, which is what leases notice.
    pub(super) _holds: watch::Sender<()>,
}

/// What is known of a node.
#[derive(Debug, Clone)]
pub struct NodeState {
    pub name: NodeName,
    /// Name of the token that it presents.
    pub token: DisplayName,
    pub report: NodeReport,
    pub last_seen_secs: u64,
    /// What it has said of services.
    pub(super) sighted: Arc<Sighted>,
    /// Feeds that it has open.
    pub(super) feeds: Vec<OpenFeed>,
    pub(super) life: Life,
}

#[derive(Debug, Clone)]
pub(super) struct OpenFeed {
    pub(super) number: u64,
    pub(super) orders: mpsc::Sender<Bytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// As far as is known.
    Running,
    /// It has said that it ends.
    Ended,
    /// Its token was revoked.
    CutOff,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default)]
pub struct NodeReport {
    pub version: String,
    /// Of this control plane's history, in force there; zero before the first, and while it is another history's.
    pub revision: u64,
    /// How often it was sent everything since it started.
    pub full_syncs: u64,
    /// Changes it was sent one by one since it started.
    pub changes: u64,
}

impl NodeState {
    /// Feeds that it has open.
    pub const fn feeds(&self) -> usize {
        self.feeds.len()
    }

    /// Whether its token was revoked: it is fed no more.
    pub fn is_cut_off(&self) -> bool {
        self.life == Life::CutOff
    }

    /// Whether it listens to the feed.
    pub const fn is_connected(&self) -> bool {
        !self.feeds.is_empty()
    }
}

impl State {
    pub(super) const fn next_feed(&mut self) -> u64 {
        self.next_feed += 1;
        self.next_feed
    }

    /// Takes those off the list that were away for too long.
    pub(super) fn forget(&mut self) {
        let now_secs = clock::now_secs();
        self.nodes
            .retain(|_, node| node.is_connected() || now_secs < node.last_seen_secs + FORGOTTEN_AFTER_SECS);
    }

    /// What the others have said is forgotten.
    pub(super) fn shown(&mut self) -> impl Iterator<Item = (&NodeKey, &NodeState)> {
        let now_secs = clock::now_secs();
        self.nodes.iter_mut().filter_map(move |(key, node)| {
            let is_away = now_secs >= node.last_seen_secs + SHOWN_AWAY_SECS || node.life != Life::Running;
            if is_away && !node.is_connected() {
                node.sighted = Arc::default();
                return None;
            }
            Some((key, &*node))
        })
    }

    /// Forgets the node of the token that was away for longest, where there are too many.
    pub(super) fn make_room(&mut self, token: Uuid) {
        let own = || self.nodes.iter().filter(|((of, _), _)| *of == token);
        if own().count() < MOST_NODES_A_TOKEN {
            return;
        }
        let away = own().filter(|(_, node)| !node.is_connected());
        let oldest = away.min_by_key(|(_, node)| node.last_seen_secs).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest {
            self.nodes.remove(&oldest);
        }
    }
}
