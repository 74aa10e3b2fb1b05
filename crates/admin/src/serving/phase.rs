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
    /// The answer is given, and on its way: not all of it is written. Some of it was last then.
    Sending(Instant),
    /// All of the answer is written.
    Idle(Instant),
}

impl Phase {
    pub const fn is_answering(self) -> bool {
        match self {
            Self::Answering => true,
            Self::Opened(_) | Self::Head(_) | Self::Body | Self::Sending(_) | Self::Idle(_) => false,
        }
    }

    /// When its client last took something of the answer that is being sent.
    pub const fn taken_at(self) -> Option<Instant> {
        match self {
            Self::Sending(at) => Some(at),
            Self::Opened(_) | Self::Head(_) | Self::Body | Self::Answering | Self::Idle(_) => None,
        }
    }

    /// When the connection is to be closed unless something happens.
    pub fn deadline(self, limits: &ConnectionLimits) -> Option<Instant> {
        match self {
            Self::Opened(since) | Self::Head(since) => Some(since + limits.head_within),
            Self::Idle(since) => Some(since + limits.idle_at_most),
            Self::Body | Self::Answering | Self::Sending(_) => None,
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
            Phase::Head(_) | Phase::Body | Phase::Answering | Phase::Sending(_) => false,
        });
    }

    pub fn body(&self) {
        self.0.send_replace(Phase::Body);
    }

    pub fn answering(&self) {
        self.0.send_replace(Phase::Answering);
    }

    pub fn sending(&self) {
        self.0.send_replace(Phase::Sending(Instant::now()));
    }

    /// Some of an answer is written. Nobody waits for that.
    pub fn taken(&self) {
        self.0.send_if_modified(|phase| {
            if let Phase::Sending(at) = phase {
                *at = Instant::now();
            }
            false
        });
    }

    /// All that was given is written.
    pub fn flushed(&self) {
        self.0.send_if_modified(|phase| match phase {
            Phase::Sending(_) => {
                *phase = Phase::Idle(Instant::now());
                true
            }
            Phase::Opened(_) | Phase::Head(_) | Phase::Body | Phase::Answering | Phase::Idle(_) => false,
        });
    }
}
