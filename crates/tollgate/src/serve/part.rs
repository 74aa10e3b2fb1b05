//! A part of a server at work.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A task, and the way to tell it to end.
pub struct Part {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Is over once the part is to end.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Part {
    pub fn start<W>(work: impl FnOnce(Stopped) -> W) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(work(Box::pin(async { drop(stopped.await) })));
        Self { task, stop }
    }

    pub async fn end(self) {
        // Nobody hears it where the task has ended by itself.
        let _unheard = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a part of the server failed");
        }
    }
}
