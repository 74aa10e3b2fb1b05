//! The node as the binary sees it: what was saved is in force when it has opened, and what the control plane
//! sends from then on.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval, interval_at};
use tollgate_core::event::LimitCrossed;
use tollgate_core::feed::{NodeName, Ordered, Position};
use tollgate_core::resource::KeyId;
use tollgate_core::sighting::Sighting;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::usage::KeyUsage;
use tollgate_counters::LocalCounters;

use crate::counts::{self, Counts};
use crate::feed::Follower;
use crate::link::Link;
use crate::orders;
use crate::report::{Progress, Reporter};
use crate::saved::{self, Saver};
use crate::untold::Untold;

const KEEP_EVERY: Duration = Duration::from_secs(3);
const SWEEP_EVERY: Duration = Duration::from_mins(1);

pub struct Settings {
    /// The way to the control plane.
    pub link: Link,
    pub name: NodeName,
    /// The node's version of Tollgate.
    pub version: &'static str,
    /// Where the node keeps what it has; its own, and there already.
    pub directory: PathBuf,
}

/// Done when it ends.
pub type CarryingOut = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the proxy has to do with the control plane.
pub struct Facts {
    /// How keys were used since the last call.
    pub key_usage: Box<dyn Fn() -> Vec<(KeyId, KeyUsage)> + Send + Sync>,
    /// Thresholds of limits that were reached since the last call.
    pub crossings: Box<dyn Fn() -> Vec<LimitCrossed> + Send + Sync>,
    /// What there is to say of services now.
    pub traffic: Box<dyn Fn() -> Sighting + Send + Sync>,
    /// Does what an operator wants done.
    pub carry_out: Box<dyn Fn(Ordered) -> CarryingOut + Send + Sync>,
}

pub struct Node {
    settings: Arc<Settings>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    counters: Arc<LocalCounters>,
    position: Option<Position>,
    saver: Saver,
    counts: Counts,
}

/// What the node had counted when it ended is not all kept.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("what limits have counted last could not be kept, and is lost: the log says why")]
    Counts,
    #[error(
        "what the control plane had not been told could not be kept for the next start, and is lost: {0}"
    )]
    Untold(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the node's {what} cannot be used: {source}")]
    File { what: &'static str, source: io::Error },
}

impl Node {
    /// Puts in force what was saved. What is damaged is left out, and said in the log.
    pub fn open(
        settings: Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<LocalCounters>,
    ) -> Result<Self, OpenError> {
        let saved = saved::load_or_explain(&settings.directory);
        let position = saved.as_ref().map(|saved| saved.position);
        if let Some(saved) = &saved {
            snapshot.store(Arc::clone(&saved.snapshot));
            tracing::info!(
                revision = saved.position.revision,
                keys = saved.snapshot.key_hashes(),
                "what the control plane sent last is in force"
            );
        }
        let saver = Saver::start(&settings.directory, saved.as_ref())
            .map_err(|source| OpenError::File { what: "saved state", source })?;
        let (counts, kept) = Counts::open(&settings.directory)
            .map_err(|source| OpenError::File { what: "counters", source })?;
        counters.restore(kept);
        Ok(Self { settings: Arc::new(settings), snapshot, counters, position, saver, counts })
    }

    /// Follows the control plane, reports to it and keeps what is counted, until `shutdown`; then keeps and
    /// reports once more. A panic in one of these ends the others: a node that follows no more must not pass for one that does.
    pub async fn run(self, facts: Facts, shutdown: impl Future<Output = ()>) -> Result<(), Lost> {
        let Self { settings, snapshot, counters, position, saver, mut counts } = self;
        let progress = watch::Sender::new(Progress { position, full_syncs: 0, changes: 0, feeds: 0 });
        let facts = Arc::new(facts);
        let (orders, done) = orders::channel(Arc::clone(&facts));
        let untold = Untold::take(&settings.directory);
        let mut reporter = Reporter::new(Arc::clone(&settings), progress.subscribe(), facts, done, untold);
        let mut follower = Follower::new(Arc::clone(&settings), snapshot, position, saver, progress, orders);
        let mut following = tokio::spawn(async move {
            follower.follow().await;
        });
        tokio::pin!(shutdown);
        let panicked = tokio::select! {
            biased;
            () = &mut shutdown => None,
            followed = &mut following => followed.err(),
            () = reporter.run() => None,
            () = keep(&mut counts, &counters) => None,
        };
        if panicked.is_none() {
            // The follower goes, and with it the saver, which writes out what it was given.
            following.abort();
            let _cancelled = following.await;
        }
        counts.append(counters.take_changed());
        let told = match reporter.report_last().await {
            Some(untold) => untold
                .keep(&settings.directory)
                .inspect(|()| tracing::info!("it is kept, and told after the next start"))
                .map_err(Lost::Untold),
            None => Ok(()),
        };
        if let Some(Ok(panic)) = panicked.map(JoinError::try_into_panic) {
            resume_unwind(panic);
        }
        told?;
        if counts.are_kept() { Ok(()) } else { Err(Lost::Counts) }
    }
}

async fn keep(counts: &mut Counts, counters: &LocalCounters) {
    let mut keep = interval(KEEP_EVERY);
    let mut sweep = interval_at(tokio::time::Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = keep.tick() => counts.append(counters.take_changed()),
            _ = sweep.tick() => {
                let now = counts::now();
                counters.sweep(now);
                counts.merge(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};
    use tollgate_core::feed::{Frame, Order, OrderId, push_frame};
    use tollgate_core::resource::{BaseUrl, ServiceId};
    use tollgate_core::sighting::Sighting;
    use uuid::Uuid;

    use super::*;
    use crate::link::NodeToken;

    /// Orders something of whoever asks for the feed, and hangs up on everybody else.
    async fn order_of_everybody(control: TcpListener) {
        let order = Order {
            id: OrderId(Uuid::from_u128(1)),
            what: Ordered::ResetCircuits(ServiceId(Uuid::from_u128(2))),
        };
        let mut frame = Vec::new();
        push_frame(&mut frame, &Frame::Order(order)).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * frame.len());
        while let Ok((mut node, _)) = control.accept().await {
            let mut request = [0; 4_096];
            let length = node.read(&mut request).await.unwrap();
            if request[..length].starts_with(b"GET ") {
                node.write_all(head.as_bytes()).await.unwrap();
                node.write_all(&frame).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_node_whose_follower_panics_ends() {
        let folder = tempfile::tempdir().unwrap();
        let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl::parse(&format!("http://{}", control.local_addr().unwrap())).unwrap();
        let serving = tokio::spawn(order_of_everybody(control));
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let settings = Settings {
            link: Link::new(url, NodeToken::parse("tgn_0").unwrap(), Arc::new(ArcSwap::from_pointee(tls))),
            name: NodeName::parse("edge").unwrap(),
            version: "test",
            directory: folder.path().to_owned(),
        };
        let node = Node::open(settings, Arc::default(), Arc::new(LocalCounters::new())).unwrap();
        let facts = Facts {
            key_usage: Box::new(Vec::new),
            crossings: Box::new(Vec::new),
            traffic: Box::new(Sighting::default),
            carry_out: Box::new(|_| panic!("it has to")),
        };
        let running = tokio::spawn(node.run(facts, std::future::pending()));
        let panicked = running.await.unwrap_err();
        assert!(panicked.is_panic());
        serving.abort();
    }
}
