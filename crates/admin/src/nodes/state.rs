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

/// As many processes that have reported under one name are remembered.
const MOST_SESSIONS: usize = 8;
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
    pub(super) reporting: Reporting,
}

/// Which processes report under the name, by their sessions, the newest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Reporting {
    sessions: Vec<Uuid>,
    /// One that another had followed has come back: they were not started one after the other.
    in_turns: bool,
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

    /// Whether several processes report under its name, each over what the others have said.
    pub const fn is_shared(&self) -> bool {
        self.reporting.in_turns
    }

    /// Whether it listens to the feed.
    pub const fn is_connected(&self) -> bool {
        !self.feeds.is_empty()
    }
}

impl Reporting {
    /// Whether this is what tells that there are several.
    pub(super) fn heard(&mut self, session: Uuid) -> bool {
        if self.sessions.last() == Some(&session) {
            return false;
        }
        let is_back = self.sessions.contains(&session);
        self.sessions.retain(|held| *held != session);
        if self.sessions.len() == MOST_SESSIONS {
            self.sessions.remove(0);
        }
        self.sessions.push(session);
        is_back && !std::mem::replace(&mut self.in_turns, true)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_back_after_another_was_not_started_anew() {
        let heard = |sessions: &[u128]| {
            let mut reporting = Reporting::default();
            let told = sessions.iter().filter(|session| reporting.heard(Uuid::from_u128(**session))).count();
            (told, reporting.in_turns)
        };
        assert_eq!(heard(&[1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]), (0, false));
        assert_eq!(heard(&[1, 2, 1, 2, 1]), (1, true));
        assert_eq!(heard(&[1, 2, 3, 1, 2, 3]), (1, true));
    }
}
