//! Orders from the control plane: each is carried out in a task of its own, so that the feed goes on, and answered with the
//! next report, which comes at once.

use std::sync::Arc;

use tokio::sync::mpsc;
use tollgate_core::feed::Order;

use crate::node::Facts;

/// Orders that were carried out and are not answered yet.
const MOST_UNANSWERED: usize = 64;

pub struct Orders {
    facts: Arc<Facts>,
    done: mpsc::Sender<Order>,
}

/// Where orders go, and where they come out when they are done.
pub fn channel(facts: Arc<Facts>) -> (Orders, mpsc::Receiver<Order>) {
    let (done, carried_out) = mpsc::channel(MOST_UNANSWERED);
    (Orders { facts, done }, carried_out)
}

impl Orders {
    pub fn take(&self, order: Order) {
        tracing::info!(what = ?order.what, "the control plane wants something done");
        let (carried_out, done) = ((self.facts.carry_out)(order.what.clone()), self.done.clone());
        tokio::spawn(async move {
            carried_out.await;
            // With the reporter gone, there is nobody to tell it.
            drop(done.send(order).await);
        });
    }
}
