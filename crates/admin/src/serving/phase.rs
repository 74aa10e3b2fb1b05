//! Where a connection stands.

use tokio::sync::watch;
use tokio::time::Instant;

use super::ConnectionLimits;

#[derive(Debug, Clone, Copy)]
pub enum Phase {
    /// Nothing has arrived.
    Opened(Instant),
    /// Part of a head has arrived.
    Head(Instant),
    /// The head has arrived, the body not wholly: see [`super::body`] for how long that may take.
    Body,
    /// The request has arrived, or is answered without its body.
    Answering,
    /// The answer is given.
    Idle(Instant),
}

impl Phase {
    pub const fn is_answering(self) -> bool {
        match self {
            Self::Answering => true,
            Self::Opened(_) | Self::Head(_) | Self::Body | Self::Idle(_) => false,
        }
    }

    /// When the connection is to be closed unless something happens.
    pub fn deadline(self, limits: &ConnectionLimits) -> Option<Instant> {
        match self {
            Self::Opened(since) | Self::Head(since) => Some(since + limits.head_within),
            Self::Idle(since) => Some(since + limits.idle_at_most),
            Self::Body | Self::Answering => None,
        }
    }
}

/// Held by all that take part in a connection.
#[derive(Debug, Clone)]
pub struct Phases(watch::Sender<Phase>);

impl Phases {
    pub fn opened() -> (Self, watch::Receiver<Phase>) {
        let (sender, receiver) = watch::channel(Phase::Opened(Instant::now()));
        (Self(sender), receiver)
    }

    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    /// Bytes have arrived: those of a head, where nothing else is awaited.
    pub fn arrived(&self) {
        self.0.send_if_modified(|phase| match phase {
            Phase::Opened(_) | Phase::Idle(_) => {
                *phase = Phase::Head(Instant::now());
                true
            }
            Phase::Head(_) | Phase::Body | Phase::Answering => false,
        });
    }

    pub fn body(&self) {
        self.0.send_replace(Phase::Body);
    }

    pub fn answering(&self) {
        self.0.send_replace(Phase::Answering);
    }

    pub fn idle(&self) {
        self.0.send_replace(Phase::Idle(Instant::now()));
    }
}
