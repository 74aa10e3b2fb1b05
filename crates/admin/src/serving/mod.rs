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
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

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
    let mut crowd = Crowd { limits, tasks: JoinSet::new(), open: VecDeque::new() };
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = crowd.tasks.join_next() => {}
            (stream, address) = listener.accept() => {
                if !crowd.has_room() {
                    tracing::warn!("a connection was refused: as many requests are answered, and answers read, as there may be");
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
    limits: ConnectionLimits,
    tasks: JoinSet<()>,
    /// The oldest first; some have ended.
    open: VecDeque<Open>,
}

struct Open {
    phase: watch::Receiver<Phase>,
    task: AbortHandle,
}

impl Crowd {
    /// Makes room where there is none.
    fn has_room(&mut self) -> bool {
        let ConnectionLimits { most, taken_within, .. } = self.limits;
        if self.open.len() >= most {
            self.open.retain(|open| !open.task.is_finished());
        }
        if self.open.len() < most {
            return true;
        }
        let phases: Vec<Phase> = self.open.iter().map(|open| *open.phase.borrow()).collect();
        let index = gives_way(&phases, taken_within, Instant::now());
        let gone = index.and_then(|index| self.open.remove(index));
        if let Some(gone) = &gone {
            gone.task.abort();
        }
        gone.is_some()
    }
}

/// Which of the connections, the oldest first, goes for another: the oldest without a whole request, it had its chance; else the
/// one that has left its answer lying for longest. One that is answered, or reads its answer, stays.
fn gives_way(phases: &[Phase], taken_within: Duration, now: Instant) -> Option<usize> {
    let waiting = phases.iter().position(|phase| !phase.is_answering() && phase.taken_at().is_none());
    let sending = phases.iter().enumerate().filter_map(|(index, phase)| Some((phase.taken_at()?, index)));
    let left_lying =
        sending.filter(|(taken_at, _)| now.saturating_duration_since(*taken_at) >= taken_within).min();
    waiting.or(left_lying.map(|(_, index)| index))
}
