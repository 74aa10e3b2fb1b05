//! Deadlines without a timer operation per request.
//!
//! A connection has one timer. It is armed for some deadline, and re-armed only when it fires or when the
//! deadline comes nearer; a deadline that moves away, as it does with every request, costs a comparison.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::unconstrained;
use tokio::time::Sleep;

/// A timer that fires so late tells of a process that stood still: it was stopped, or the machine was too busy.
const LATE: Duration = Duration::from_secs(1);
/// What has come meanwhile is heard within so much: several turns of the reactor.
const HEARING: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Watchdog {
    timer: Option<Pin<Box<Sleep>>>,
    /// The deadline, where its timer was late and is armed for the end of the hearing.
    heard_out: Option<tokio::time::Instant>,
}

impl Watchdog {
    /// Ready once `deadline` has passed; wakes the task then. Where the process stood still, timers fire before it is known
    /// which sockets are ready: what came in time must not be taken for late.
    pub fn poll_past(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let deadline = tokio::time::Instant::from_std(deadline);
        self.heard_out = self.heard_out.filter(|&heard_out| heard_out == deadline);
        let is_hearing = self.heard_out.is_some();
        let timer = match &mut self.timer {
            // It was polled when it was armed, by the one task that there is, and wakes it when it fires.
            Some(timer) if (is_hearing || timer.deadline() <= deadline) && !timer.is_elapsed() => {
                return Poll::Pending;
            }
            Some(timer) => {
                if deadline < timer.deadline() && !is_hearing {
                    timer.as_mut().reset(deadline);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(deadline))),
        };
        // Unconstrained: when the sockets have used tokio's budget up, a timer says that it is pending without
        // having looked at the time, and without being armed.
        while pin!(unconstrained(timer.as_mut())).poll(cx).is_ready() {
            if timer.deadline() < deadline {
                timer.as_mut().reset(deadline);
                continue;
            }
            let now = tokio::time::Instant::now();
            if self.heard_out.is_some() || now.saturating_duration_since(deadline) < LATE {
                return Poll::Ready(());
            }
            self.heard_out = Some(deadline);
            timer.as_mut().reset(now + HEARING);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use tokio::net::UnixStream;
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

    #[tokio::test]
    async fn what_came_while_the_process_stood_still_is_heard_before_the_deadline() {
        let (mut far, near) = std::os::unix::net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let near = UnixStream::from_std(near).unwrap();
        far.write_all(b"in time").unwrap();
        let mut watchdog = Watchdog::default();
        let past = Instant::now().checked_sub(2 * LATE).unwrap();
        let is_heard = poll_fn(|cx| match near.poll_read_ready(cx) {
            Poll::Ready(readable) => Poll::Ready(readable.is_ok()),
            Poll::Pending => watchdog.poll_past(cx, past).map(|()| false),
        });
        assert!(is_heard.await);
    }

    #[tokio::test]
    async fn a_late_deadline_is_reported_however_often_it_is_asked_for() {
        let mut watchdog = Watchdog::default();
        let past = Instant::now().checked_sub(2 * LATE).unwrap();
        let reported = poll_fn(|cx| {
            cx.waker().wake_by_ref();
            watchdog.poll_past(cx, past)
        });
        assert!(tokio::time::timeout(Duration::from_secs(20), reported).await.is_ok(), "it never fired");
        let again = poll_fn(|cx| Poll::Ready(watchdog.poll_past(cx, past)));
        assert!(again.await.is_ready(), "and stays so");
    }
}
