//! What a worker's thread does: it accepts connections until it is told to end, and keeps house.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Worker;
use crate::connection;
use crate::gateway::Gateway;
use crate::vital::Vital;

const LOG_TICK: Duration = Duration::from_millis(50);
const LOG_TICKS_PER_HOUSEKEEPING: u32 = 20;

/// What a worker is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    /// Accepts no more connections; what has begun goes on.
    Draining,
    Stopped,
}

/// Runs a worker on the calling thread until it is told to stop; calls `started` once it takes connections, and fails
/// before that or not at all.
pub(crate) fn run(
    index: usize,
    gateway: Arc<Gateway>,
    listener: std::net::TcpListener,
    mut phase: watch::Receiver<Phase>,
    started: impl FnOnce(),
) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Rc::new(Worker::new(index, gateway));
        let listener = TcpListener::from_std(listener)?;
        started();
        tokio::task::spawn_local(keep_house(Rc::clone(&worker)));
        accept(&worker, listener, &mut phase).await;
        // The sender lives as long as the proxy; were it gone, there would be nothing left to serve.
        drop(phase.wait_for(|phase| *phase == Phase::Stopped).await);
        worker.housekeeping();
        worker.has_ended.set(true);
        Ok(())
    })
}

pub(super) async fn accept(worker: &Rc<Worker>, listener: TcpListener, phase: &mut watch::Receiver<Phase>) {
    loop {
        tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase != Phase::Serving) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => connection::spawn(worker, stream, peer),
                Err(error) => pause_after(&error).await,
            },
        }
    }
    worker.hand_over_uses();
    worker.gateway.worker_drains(worker.index);
    if let Err(error) = accept_waiting(worker, listener) {
        tracing::error!(%error, "connections that were waiting to be accepted are lost");
    }
}

/// Who has connected already is served; the kernel turns away whoever comes later. It is the kernel that is
/// asked: tokio knows only who had come when it last looked.
fn accept_waiting(worker: &Rc<Worker>, listener: TcpListener) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                connection::spawn(worker, TcpStream::from_std(stream)?, peer);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_gone_already(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A connection that ended before it was accepted is nothing to wait for; running out of files is.
async fn pause_after(error: &std::io::Error) {
    if !is_gone_already(error) {
        tracing::error!(%error, "cannot accept connections; is the limit of open files too low?");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_gone_already(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

async fn keep_house(worker: Rc<Worker>) {
    let _vital = Vital(Arc::clone(&worker.gateway.failed));
    let mut ticks = tokio::time::interval(LOG_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0u32;
    loop {
        ticks.tick().await;
        worker.flush_log();
        count = count.wrapping_add(1);
        if count.is_multiple_of(LOG_TICKS_PER_HOUSEKEEPING) {
            worker.housekeeping();
        }
    }
}
