//! Deadlines without a timer operation per request.
//!
//! A connection has one timer. It is armed for some deadline, and re-armed only when it fires or when the
//! deadline comes nearer; a deadline that moves away, as it does with every request, costs a comparison.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::task::unconstrained;
use tokio::time::Sleep;

#[derive(Default)]
pub(crate) struct Watchdog {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watchdog {
    /// Ready once `deadline` has passed; wakes the task then.
    pub fn poll_past(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(deadline);
        let timer = match &mut self.timer {
            // It was polled when it was armed, by the one task that there is, and wakes it when it fires.
            Some(timer) if timer.deadline() <= deadline && !timer.is_elapsed() => return Poll::Pending,
            Some(timer) => {
                if deadline < timer.deadline() {
                    timer.as_mut().reset(deadline);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        // Unconstrained: when the sockets have used tokio's budget up, a timer says that it is pending without
        // having looked at the time, and without being armed.
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::task::coop::{consume_budget, has_budget_remaining};

    use super::*;

    /// As sockets do that are always ready.
    fn use_budget_up(cx: &mut Context<'_>) {
        while has_budget_remaining() {
            let _spent = pin!(consume_budget()).poll(cx);
        }
    }

    #[tokio::test]
    async fn a_timer_that_is_armed_in_a_busy_moment_fires() {
        let mut watchdog = Watchdog::default();
        let deadline = Instant::now() + Duration::from_millis(20);
        let mut polls = 0;
        let past = poll_fn(|cx| {
            polls += 1;
            if polls == 1 {
                use_budget_up(cx);
            }
            watchdog.poll_past(cx, deadline)
        });
        assert!(tokio::time::timeout(Duration::from_secs(20), past).await.is_ok(), "it never fired");
    }

    #[tokio::test]
    async fn a_deadline_that_has_passed_is_reported_in_a_busy_moment() {
        let mut watchdog = Watchdog::default();
        let past = Instant::now() + Duration::from_millis(5);
        poll_fn(|cx| {
            assert!(watchdog.poll_past(cx, past).is_pending());
            Poll::Ready(())
        })
        .await;
        // A later timer has fired, so the earlier one has too.
        tokio::time::sleep_until((past + Duration::from_millis(5)).into()).await;
        poll_fn(|cx| {
            use_budget_up(cx);
            assert!(watchdog.poll_past(cx, past).is_ready());
            Poll::Ready(())
        })
        .await;
    }
}
