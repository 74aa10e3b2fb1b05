//! A part of a server at work.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// A task, and the way to tell it to end.
pub struct Part<T = ()> {
    name: &'static str,
    task: JoinHandle<T>,
    stop: oneshot::Sender<()>,
    /// Nothing comes of it but its end.
    works: oneshot::Receiver<Infallible>,
}

/// What a server cannot do without has ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} has failed, so the server ended: its log says why")]
pub struct Failed(pub &'static str);

/// Held for as long as the part does what it is there for.
pub struct Working(#[expect(dead_code, reason = "what counts is when it goes")] oneshot::Sender<Infallible>);

/// Is over once the part is to end.
pub type Stopped = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<T: Send + 'static> Part<T> {
    pub fn start<W>(name: &'static str, work: impl FnOnce(Stopped) -> W) -> Self
    where
        W: Future<Output = T> + Send + 'static,
    {
        Self::start_telling(name, |stopped, working| {
            let work = work(stopped);
            async move {
                let outcome = work.await;
                drop(working);
                outcome
            }
        })
    }

    /// The same of what goes on until it is told to end, where it has failed too: it says so by letting go of its [`Working`].
    pub fn start_telling<W>(name: &'static str, work: impl FnOnce(Stopped, Working) -> W) -> Self
    where
        W: Future<Output = T> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let (working, works) = oneshot::channel();
        let task = tokio::spawn(work(Box::pin(async { drop(stopped.await) }), Working(working)));
        Self { name, task, stop, works }
    }

    /// Until it has ended without being told to.
    pub async fn failed(&mut self) -> Failed {
        let _ended = (&mut self.works).await;
        Failed(self.name)
    }

    /// What came of it. That it failed by itself is logged.
    pub async fn end(self) -> Result<T, JoinError> {
        // Nobody hears it where the task has ended by itself.
        let _unheard = self.stop.send(());
        self.task.await.inspect_err(|error| tracing::error!(%error, "{} failed", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_says_so_and_can_still_be_ended() {
        let mut part: Part = Part::start("what panics", |_stopped| async { panic!("it has to") });
        assert_eq!(part.failed().await, Failed("what panics"));
        assert!(part.end().await.is_err());
    }

    #[tokio::test]
    async fn a_part_that_has_failed_can_go_on_until_it_is_told_to_end() {
        let mut part = Part::start_telling("what fails", |stopped, working| async {
            drop(working);
            stopped.await;
            "its last act"
        });
        assert_eq!(part.failed().await, Failed("what fails"));
        assert_eq!(part.end().await.unwrap(), "its last act");
    }

    #[tokio::test]
    async fn a_part_that_is_told_to_end_has_not_failed_before() {
        let mut part = Part::start("what works", |stopped| stopped);
        tokio::select! {
            biased;
            failed = part.failed() => panic!("{failed}"),
            () = tokio::task::yield_now() => {}
        }
        assert!(part.end().await.is_ok());
    }
}
