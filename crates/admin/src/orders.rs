//! Having something done on every node: an order goes to those that listen now, and whoever gave it waits a moment for their
//! answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;
use tollgate_core::feed::{Frame, NodeName, Order, OrderId, Ordered, push_frame};
use uuid::Uuid;

use crate::nodes::Nodes;

/// How long an answer of the API waits for the nodes'. A check that finds nobody takes about as long.
const PATIENCE: Duration = Duration::from_secs(3);

/// A node, by its token.
pub type NodeKey = (Uuid, NodeName);

/// Orders that somebody waits for.
#[derive(Default)]
pub struct Orders(Mutex<HashMap<OrderId, Missing>>);

/// Those that have not said that it is done.
type Missing = watch::Sender<BTreeSet<NodeKey>>;

/// What became of an order on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Done,
    /// It was sent, and is not answered yet.
    Sent,
    /// It does not listen, and will not hear of it later.
    Away,
}

impl Orders {
    /// By name; nothing where there are no nodes.
    pub async fn give(&self, nodes: &Nodes, what: Ordered) -> Vec<(NodeName, Told)> {
        let id = OrderId(Uuid::now_v7());
        let mut frame = Vec::new();
        if push_frame(&mut frame, &Frame::Order(Order { id, what })).is_err() {
            // Ids and numbers always encode.
            return Vec::new();
        }
        let (sent, mut left) = self.send(nodes, id, &Bytes::from(frame));
        let awaited = Awaited { orders: self, id };
        // Whoever does not answer in time is left in it.
        drop(timeout(PATIENCE, left.wait_for(BTreeSet::is_empty)).await);
        let left = left.borrow().clone();
        drop(awaited);
        let outcome = |(key, told): (NodeKey, Told)| {
            let told = match told {
                Told::Sent if !left.contains(&key) => Told::Done,
                Told::Sent | Told::Done | Told::Away => told,
            };
            (key.1, told)
        };
        sent.into_iter().map(outcome).collect()
    }

    /// No answer is looked at before it is known who has to answer.
    fn send(
        &self,
        nodes: &Nodes,
        id: OrderId,
        frame: &Bytes,
    ) -> (BTreeMap<NodeKey, Told>, watch::Receiver<BTreeSet<NodeKey>>) {
        let mut waiting = self.waiting();
        let sent = nodes.send(frame);
        let reached = sent.iter().filter(|(_, told)| **told == Told::Sent).map(|(node, _)| node.clone());
        let (missing, left) = watch::channel(reached.collect());
        waiting.insert(id, missing);
        (sent, left)
    }

    /// The node has done these.
    pub fn note_done(&self, node: &NodeKey, done: &[OrderId]) {
        if done.is_empty() {
            return;
        }
        let waiting = self.waiting();
        for id in done {
            if let Some(missing) = waiting.get(id) {
                missing.send_modify(|missing| {
                    missing.remove(node);
                });
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<OrderId, Missing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgotten when nobody waits any more, be it that the caller has left.
struct Awaited<'o> {
    orders: &'o Orders,
    id: OrderId,
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.orders.waiting().remove(&self.id);
    }
}
