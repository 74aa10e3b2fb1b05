//! Following the feed: connect, take what comes, put it in force, hand it to the saver; and again, for good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tollgate_core::feed::{
    Assembly, BadFrame, Committed, CommittedAs, FORMAT, Frame, FrameLength, Misfit, Position, decode,
    frame_length,
};
use tollgate_core::snapshot::Snapshot;

use crate::backoff::Backoff;
use crate::link::LinkError;
use crate::node::Settings;
use crate::orders::Orders;
use crate::report::Progress;
use crate::saved::Saver;

/// Some heartbeats long. A control plane that says nothing for so long is not there.
const SILENCE: Duration = Duration::from_secs(10);
/// Everything is asked for no more often than this for the saver's sake.
const EVERYTHING_EVERY: Duration = Duration::from_mins(5);

pub struct Follower {
    settings: Arc<Settings>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Of the snapshot in force; nothing where everything is needed.
    position: Option<Position>,
    saver: Saver,
    progress: watch::Sender<Progress>,
    orders: Orders,
    backoff: Backoff,
    last_full: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("the connection to the control plane broke: {0}")]
    Body(#[from] hyper::Error),
    #[error("the control plane has ended the feed")]
    Over,
    #[error("nothing was heard from the control plane for {} seconds", SILENCE.as_secs())]
    Silence,
    #[error("the feed is damaged: {0}")]
    Frame(#[from] BadFrame),
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("everything is fetched anew, to be saved anew")]
    ToSaveAnew,
}

/// What has come of a commit that is not there yet.
enum Unfinished {
    Changes(Vec<Bytes>),
    Everything,
}

impl Follower {
    pub fn new(
        settings: Arc<Settings>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        position: Option<Position>,
        saver: Saver,
        progress: watch::Sender<Progress>,
        orders: Orders,
    ) -> Self {
        Self {
            settings,
            snapshot,
            position,
            saver,
            progress,
            orders,
            backoff: Backoff::new(),
            last_full: None,
        }
    }

    pub async fn follow(&mut self) -> ! {
        loop {
            let ended = match self.follow_once().await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            self.saver.abandon();
            match &ended {
                Ended::Misfit(_) => {
                    // Something went wrong on the way here: only everything puts it right.
                    self.position = None;
                    tracing::error!(error = %ended, "a change is not in force: everything is fetched anew");
                }
                Ended::ToSaveAnew => {
                    self.position = None;
                    tracing::info!("{ended}");
                }
                Ended::Link(_) | Ended::Body(_) | Ended::Over | Ended::Silence | Ended::Frame(_) => {
                    let revision = self.position.map(|position| position.revision);
                    tracing::warn!(error = %ended, revision, "serving what there is; the feed is tried again");
                }
            }
            sleep(self.backoff.next(fastrand::f64())).await;
        }
    }

    async fn follow_once(&mut self) -> Result<std::convert::Infallible, Ended> {
        let settings = Arc::clone(&self.settings);
        let mut connection = settings.link.open().await?;
        let mut body = connection.get(&self.path()).await?.into_body();
        tracing::info!(control = %settings.link.control(), "the control plane feeds this node");
        self.progress.send_modify(|progress| progress.feeds += 1);
        let mut assembly = Assembly::new(self.snapshot.load_full());
        let mut unfinished = Unfinished::Changes(Vec::new());
        let mut buffer = BytesMut::new();
        loop {
            while let FrameLength::Known(length) = frame_length(&buffer)?
                && buffer.len() >= length
            {
                let raw = buffer.split_to(length).freeze();
                self.take(&mut assembly, &mut unfinished, raw).await?;
            }
            buffer.extend_from_slice(&next_piece(&mut body).await?);
        }
    }

    fn path(&self) -> String {
        let Settings { name, version, .. } = &*self.settings;
        let since =
            self.position.map(|Position { revision, epoch }| format!("&since={revision}&epoch={epoch}"));
        let since = since.unwrap_or_default();
        format!("/api/node/feed?format={FORMAT}&node={name}&version={version}{since}")
    }

    async fn take(
        &mut self,
        assembly: &mut Assembly,
        unfinished: &mut Unfinished,
        raw: Bytes,
    ) -> Result<(), Ended> {
        let frame = decode(&raw)?;
        match frame {
            Frame::Heartbeat => {
                // Who is in step has nothing to wait for. Who is not may hear no more than this, each time that it tries.
                if self.position.is_some() {
                    self.backoff.reset();
                }
                return self.check_saver();
            }
            Frame::Order(order) => {
                // No part of the state, and not kept.
                self.orders.take(order);
                return Ok(());
            }
            Frame::Full => {
                self.saver.begin().await;
                *unfinished = Unfinished::Everything;
            }
            Frame::Changes(_) | Frame::Commit(_) => {}
        }
        let committed = assembly.take(frame)?;
        if let Some(committed) = &committed {
            // In force first: the disk may be slow, and a revoked key should not wait for it.
            self.put_in_force(committed);
            self.backoff.reset();
        }
        match (unfinished, committed) {
            (Unfinished::Everything, None) => self.saver.add(raw).await,
            (Unfinished::Changes(pieces), None) => pieces.push(raw),
            (unfinished @ Unfinished::Everything, Some(_)) => {
                self.saver.finish(raw).await;
                *unfinished = Unfinished::Changes(Vec::new());
            }
            (Unfinished::Changes(pieces), Some(_)) => {
                pieces.push(raw);
                self.saver.append(std::mem::take(pieces));
            }
        }
        Ok(())
    }

    fn put_in_force(&mut self, committed: &Committed) {
        let Committed { snapshot, position, how } = committed;
        self.snapshot.store(Arc::clone(snapshot));
        self.position = Some(*position);
        self.progress.send_modify(|progress| {
            progress.position = Some(*position);
            match how {
                CommittedAs::Everything => progress.full_syncs += 1,
                CommittedAs::Changes(count) => {
                    progress.changes += u64::try_from(*count).unwrap_or(u64::MAX);
                }
            }
        });
        match how {
            CommittedAs::Everything => {
                self.last_full = Some(Instant::now());
                tracing::info!(
                    revision = position.revision,
                    keys = snapshot.key_hashes(),
                    "everything was fetched from the control plane and is in force"
                );
            }
            CommittedAs::Changes(count) => {
                tracing::debug!(revision = position.revision, count, "changes are in force");
            }
        }
    }

    fn check_saver(&self) -> Result<(), Ended> {
        let is_due = self.last_full.is_none_or(|at| at.elapsed() > EVERYTHING_EVERY);
        if self.saver.wants_everything() && is_due { Err(Ended::ToSaveAnew) } else { Ok(()) }
    }
}

async fn next_piece(body: &mut Incoming) -> Result<Bytes, Ended> {
    loop {
        let frame = timeout(SILENCE, body.frame()).await.map_err(|_| Ended::Silence)?;
        let frame = frame.ok_or(Ended::Over)??;
        // Trailers mean nothing here.
        if let Ok(data) = frame.into_data() {
            return Ok(data);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tollgate_core::feed::{Epoch, NodeName, push_frame};
    use tollgate_core::resource::BaseUrl;
    use tollgate_core::sighting::Sighting;
    use uuid::Uuid;

    use super::*;
    use crate::link::{Link, NodeToken};
    use crate::node::Facts;
    use crate::orders;

    fn follower(directory: &std::path::Path) -> Follower {
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let control = BaseUrl::parse("http://127.0.0.1:1").unwrap();
        let token = NodeToken::parse("tgn_0").unwrap();
        let settings = Settings {
            link: Link::new(control, token, Arc::new(ArcSwap::from_pointee(tls))),
            name: NodeName::parse("edge").unwrap(),
            version: "test",
            directory: directory.to_owned(),
        };
        let facts = Facts {
            key_usage: Box::new(Vec::new),
            crossings: Box::new(Vec::new),
            traffic: Box::new(Sighting::default),
            carry_out: Box::new(|_| Box::pin(async {})),
        };
        let (orders, _done) = orders::channel(Arc::new(facts));
        let progress = Progress { position: None, full_syncs: 0, changes: 0, feeds: 0 };
        Follower::new(
            Arc::new(settings),
            Arc::default(),
            None,
            Saver::start(directory, None).unwrap(),
            watch::Sender::new(progress),
            orders,
        )
    }

    #[tokio::test]
    async fn a_feed_that_brings_nothing_whole_is_tried_again_after_growing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let mut follower = follower(folder.path());
        let (mut assembly, mut unfinished) = (Assembly::new(Arc::default()), Unfinished::Changes(Vec::new()));
        let mut wait_after = async |frame| {
            let mut raw = Vec::new();
            push_frame(&mut raw, &frame).unwrap();
            follower.take(&mut assembly, &mut unfinished, raw.into()).await.unwrap();
            follower.backoff.next(1.0).as_millis()
        };
        let position = Position { revision: 5, epoch: Epoch(Uuid::from_u128(1)) };
        assert_eq!(wait_after(Frame::Heartbeat).await, 100);
        assert_eq!(wait_after(Frame::Full).await, 200);
        assert_eq!(wait_after(Frame::Commit(position)).await, 100);
        assert_eq!(wait_after(Frame::Heartbeat).await, 100);
    }
}
