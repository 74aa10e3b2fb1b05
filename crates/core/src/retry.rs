//! When a request may be sent again (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1): here over a connection that its
//! server had closed, which is no failure of the target; in [`Retries`] after a failure.

mod again;
mod budget;
mod retries;

pub use again::{Again, Backoff, Elsewhere, Failed, Replay, RetryRules, Sent};
pub use budget::{Budget, BudgetRules, Withdrawal};
pub use retries::Retries;

/// What is known of an attempt that failed before any byte of a final response came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAttempt {
    pub method: Repeatable,
    pub connection: Connection,
    /// Bytes of the request that the kernel took for this attempt.
    pub bytes_sent: u64,
    pub body: BodyRead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeatable {
    Idempotent,
    NotIdempotent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Taken from the pool: the server may have closed it while it was idle.
    Reused,
    Fresh,
}

/// Whether any of the request's body was taken from the client: what was taken is gone, unless it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRead {
    Untouched,
    Begun,
}

/// A request goes out again only where not one byte of it was sent, or where its method is idempotent and its
/// body was not yet read; and only after a reused connection failed, since a fresh one
/// that fails says something about the target, not about the age of the connection.
pub fn may_send_again(attempt: FailedAttempt) -> bool {
    match (attempt.connection, attempt.method, attempt.body) {
        (Connection::Fresh, _, _) => false,
        (Connection::Reused, Repeatable::Idempotent, BodyRead::Untouched) => true,
        (Connection::Reused, _, _) => attempt.bytes_sent == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: FailedAttempt = FailedAttempt {
        method: Repeatable::Idempotent,
        connection: Connection::Reused,
        bytes_sent: 100,
        body: BodyRead::Untouched,
    };

    #[test]
    fn a_get_on_a_stale_connection_goes_out_again() {
        assert!(may_send_again(STALE));
    }

    #[test]
    fn a_post_goes_out_again_only_if_nothing_was_sent() {
        let post = FailedAttempt { method: Repeatable::NotIdempotent, ..STALE };
        assert!(!may_send_again(post));
        assert!(may_send_again(FailedAttempt { bytes_sent: 0, ..post }));
    }

    #[test]
    fn a_body_once_read_goes_out_again_only_if_nothing_was_sent() {
        let begun = FailedAttempt { body: BodyRead::Begun, ..STALE };
        assert!(!may_send_again(begun));
        assert!(may_send_again(FailedAttempt { bytes_sent: 0, ..begun }));
    }

    #[test]
    fn a_fresh_connection_is_not_tried_again() {
        assert!(!may_send_again(FailedAttempt { connection: Connection::Fresh, ..STALE }));
    }
}
