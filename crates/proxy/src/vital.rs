//! What the gateway cannot do without: where it panics, the process has to end, and be started anew, rather than go on without it.

use std::sync::Arc;
use std::thread;

use tokio::sync::Notify;

/// Held by such a task for as long as it works.
pub struct Vital(pub Arc<Notify>);

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_missed_and_one_that_ends_is_not() {
        let failed = Arc::new(Notify::new());
        let task = |panics: bool| {
            let vital = Vital(Arc::clone(&failed));
            async move {
                let _vital = vital;
                tokio::task::yield_now().await;
                assert!(!panics, "it has to");
            }
        };
        tokio::spawn(task(false)).await.unwrap();
        tokio::select! {
            biased;
            () = failed.notified() => panic!("nothing has failed"),
            () = tokio::task::yield_now() => {}
        }
        tokio::spawn(task(true)).await.unwrap_err();
        failed.notified().await;
    }
}
