//! Connections of the admin listener, each bounded in time and all of them in number: whoever dawdles is let go, and
//! whoever crowds the listener takes no files from the proxy of the same process.

mod answer;
mod body;
mod carry;
mod limits;
mod phase;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::VecDeque;
use std::future::Future;

use axum::Router;
use axum::serve::Listener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use body::TooSlow;
pub use limits::ConnectionLimits;

use crate::connection::Connection;
use phase::{Phase, Phases};

/// Until `shutdown`, and the end of the requests of then that had arrived whole.
pub async fn serve<L>(
    router: Router,
    mut listener: L,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) where
    L: Listener,
    L::Addr: Into<Connection>,
{
    let (end, ending) = watch::channel(false);
    let mut crowd = Crowd { most: limits.most, tasks: JoinSet::new(), open: VecDeque::new() };
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = crowd.tasks.join_next() => {}
            (stream, address) = listener.accept() => {
                if !crowd.has_room() {
                    tracing::warn!("a connection was refused: as many requests are answered as there may be");
                    continue;
                }
                let (phases, phase) = Phases::opened();
                let carried = carry::carry(stream, address.into(), router.clone(), phases, limits, ending.clone());
                crowd.open.push_back(Open { phase, task: crowd.tasks.spawn(carried) });
            }
        }
    }
    drop(listener);
    end.send_replace(true);
    while crowd.tasks.join_next().await.is_some() {}
}

struct Crowd {
    most: usize,
    tasks: JoinSet<()>,
    /// The oldest first; some have ended.
    open: VecDeque<Open>,
}

struct Open {
    phase: watch::Receiver<Phase>,
    task: AbortHandle,
}

impl Crowd {
    /// Makes room where there is none: the oldest connection without a whole request goes, it had its chance; else the oldest
    /// that does not take its answer.
    fn has_room(&mut self) -> bool {
        if self.open.len() >= self.most {
            self.open.retain(|open| !open.task.is_finished());
        }
        if self.open.len() < self.most {
            return true;
        }
        let oldest_in =
            |is_in: fn(Phase) -> bool| self.open.iter().position(|open| is_in(*open.phase.borrow()));
        let waiting = oldest_in(|phase| !phase.is_answering() && !phase.is_sending());
        let oldest =
            waiting.or_else(|| oldest_in(Phase::is_sending)).and_then(|index| self.open.remove(index));
        if let Some(oldest) = &oldest {
            oldest.task.abort();
        }
        oldest.is_some()
    }
}
