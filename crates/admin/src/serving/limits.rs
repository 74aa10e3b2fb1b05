//! How long connections may take, and how many there may be.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections at once.
    pub most: usize,
    /// From the connection to the first byte of a head, and from there to its last.
    pub head_within: Duration,
    /// Between the end of an answer and the next request.
    pub idle_at_most: Duration,
    /// Between two pieces of a body; and for the whole of it, with a second for each KiB that has arrived.
    pub body_within: Duration,
    /// Whoever has taken nothing of its answer for so long gives way where there is no room for another.
    pub taken_within: Duration,
}

impl Default for ConnectionLimits {
    /// As the proxy has them where the operator says nothing; a body has half the time.
    fn default() -> Self {
        Self {
            most: 1_024,
            head_within: Duration::from_secs(10),
            idle_at_most: Duration::from_secs(75),
            body_within: Duration::from_secs(30),
            taken_within: Duration::from_secs(1),
        }
    }
}
