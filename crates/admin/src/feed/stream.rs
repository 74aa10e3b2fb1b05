//! One node's feed, from its request until either side goes away.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tollgate_core::feed::{BadFrame, Frame, Position, push_changes, push_frame};
use tollgate_store::StoreError;

use super::Since;
use crate::control_plane::Inner;
use crate::edit::sealed_keys;
use crate::nodes::{Connected, Lease};

/// A node that hears nothing for a few of these takes the connection for dead.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// How long a node may leave what it is sent lying.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// Pieces that may wait for the connection.
const PIECES_AHEAD: usize = 4;

/// What the node is sent, piece by piece.
pub struct FeedStream {
    pieces: mpsc::Receiver<Bytes>,
    lease: Lease,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("it has gone")]
    Gone,
    #[error("it does not take what it is sent")]
    Stalled,
    #[error("its token was revoked")]
    Revoked,
    #[error("the control plane ends")]
    Closed,
    #[error("the database failed: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Frame(#[from] BadFrame),
}

/// Feeds the node from its position on, in a task of its own; from nothing on where it has none.
/// Orders go in between.
pub fn open(
    plane: Arc<Inner>,
    connected: Connected,
    mut orders: mpsc::Receiver<Bytes>,
    since: Option<Position>,
) -> FeedStream {
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let lease = connected.lease().clone();
    tokio::spawn(async move {
        let node = connected.name().clone();
        let feeding = Feeding { plane: &plane, sender: &sender, connected: &connected };
        let ended = feeding.until_ended(since, &mut orders).await;
        match &ended {
            Ended::Store(_) | Ended::Frame(_) => {
                tracing::error!(%node, error = %ended, "a node's feed failed");
            }
            Ended::Gone | Ended::Stalled | Ended::Revoked | Ended::Closed => {
                tracing::info!(%node, reason = %ended, "a node's feed has ended");
            }
        }
    });
    FeedStream { pieces, lease }
}

impl FeedStream {
    /// The next piece; nothing once the feed has ended. What waits to be sent is not sent any more once the
    /// token was revoked.
    pub async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.lease.revoked() => None,
            piece = self.pieces.recv() => piece,
        }
    }
}

/// What a node in step is sent next.
enum Next {
    Changes,
    Order(Bytes),
    Nothing,
}

async fn next(newest: &mut watch::Receiver<Position>, orders: &mut mpsc::Receiver<Bytes>) -> Next {
    tokio::select! {
        biased;
        changed = newest.changed() => if changed.is_ok() { Next::Changes } else { Next::Nothing },
        Some(order) = orders.recv() => Next::Order(order),
    }
}

struct Feeding<'f> {
    plane: &'f Inner,
    sender: &'f mpsc::Sender<Bytes>,
    connected: &'f Connected,
}

impl Feeding<'_> {
    async fn until_ended(&self, since: Option<Position>, orders: &mut mpsc::Receiver<Bytes>) -> Ended {
        let mut lease = self.connected.lease().clone();
        tokio::select! {
            biased;
            () = lease.revoked() => Ended::Revoked,
            () = self.plane.feed.closed() => Ended::Closed,
            () = self.sender.closed() => Ended::Gone,
            ended = self.feed(since, orders) => ended,
        }
    }

    async fn feed(&self, since: Option<Position>, orders: &mut mpsc::Receiver<Bytes>) -> Ended {
        let node = self.connected.name();
        tracing::info!(%node, since = since.map(|position| position.revision), "a node is fed");
        match self.go_on(since, orders).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn go_on(
        &self,
        since: Option<Position>,
        orders: &mut mpsc::Receiver<Bytes>,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut newest = self.plane.feed.newest.subscribe();
        let mut at = since;
        loop {
            // Seen before the log is asked: what comes in between wakes this up once more.
            newest.mark_unchanged();
            at = Some(match at.map(|position| (position, self.plane.feed.since(position))) {
                Some((position, Since::Changes(steps))) => self.send_steps(position, steps).await?,
                Some((_, Since::Unknown)) | None => {
                    let position = self.send_everything().await?;
                    // Changes may have come meanwhile.
                    newest.mark_changed();
                    position
                }
            });
            match self.beat_until(next(&mut newest, orders)).await? {
                Next::Changes => {}
                Next::Order(frame) => self.send(frame).await?,
                Next::Nothing => return Err(Ended::Closed),
            }
        }
    }

    async fn send_steps(&self, mut at: Position, steps: Vec<super::Step>) -> Result<Position, Ended> {
        for step in steps {
            self.send(step.frames).await?;
            at = step.position;
        }
        Ok(at)
    }

    /// Everything, as the database has it at one moment.
    async fn send_everything(&self) -> Result<Position, Ended> {
        let permit = self.beat_until(self.plane.feed.full_feeds.acquire()).await?;
        let _permit = permit.map_err(|_| Ended::Closed)?;
        tracing::info!(node = %self.connected.name(), "a node is sent everything");
        self.send_frame(&Frame::Full).await?;
        let (batches, mut arriving) = mpsc::channel(1);
        let (loaded, sent) = tokio::join!(self.plane.store.load(batches), async move {
            while let Some(batch) = arriving.recv().await {
                let mut frames = Vec::new();
                push_changes(&mut frames, &batch)?;
                self.send(frames.into()).await?;
            }
            Ok::<(), Ended>(())
        });
        sent?;
        let position = loaded?;
        // Read after the rest: what is newer comes once more with its own commit, and changes nothing.
        let mut signing_keys = Vec::new();
        push_changes(&mut signing_keys, &sealed_keys(&self.plane.store, &self.plane.sealing).await?)?;
        self.send(signing_keys.into()).await?;
        self.send_frame(&Frame::Commit(position)).await?;
        Ok(position)
    }

    /// Waits, and lets the node hear that it is not forgotten.
    async fn beat_until<T>(&self, awaited: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::pin!(awaited);
        loop {
            tokio::select! {
                biased;
                output = &mut awaited => return Ok(output),
                () = sleep(HEARTBEAT_EVERY) => self.send_frame(&Frame::Heartbeat).await?,
            }
        }
    }

    async fn send_frame(&self, frame: &Frame) -> Result<(), Ended> {
        let mut bytes = Vec::new();
        push_frame(&mut bytes, frame)?;
        self.send(bytes.into()).await
    }

    async fn send(&self, piece: Bytes) -> Result<(), Ended> {
        match timeout(STALLED_AFTER, self.sender.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Stalled),
        }
    }
}
