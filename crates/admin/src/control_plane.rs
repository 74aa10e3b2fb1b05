//! The control plane as the binary sees it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::serve::Listener;
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsConnector;
use tollgate_core::Problems;
use tollgate_core::address::AllowList;
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::Position;
use tollgate_core::snapshot::{CrowdingRoute, Snapshot};
use tollgate_core::token::Issuing;
use tollgate_counters::LocalCounters;
use tollgate_store::{Store, StoreError};

use crate::connection::Connection;
use crate::document::{self, Applied, ApplyError, Document};
use crate::edit::{self, Edit, EditError};
use crate::feed::Feed;
use crate::jobs::{LastUsed, Unsaved};
use crate::nodes::Nodes;
use crate::on_demand::OnDemand;
use crate::orders::Orders;
use crate::password::Passwords;
use crate::principal::Principal;
use crate::reports::Reports;
use crate::sealing::SealingSecret;
use crate::serving::ConnectionLimits;
use crate::sign_ins::SignIns;
use crate::throttle::Throttle;
use crate::token::{NoRandomness, Token, TokenKind};
use crate::traffic::LiveTraffic;
use crate::webhooks::{CrossingSource, Outbox, Untold};
use crate::{api, clock, serving};

const USUAL_ROTATION: Duration = Duration::from_hours(30 * 24);

/// Clones share everything.
#[derive(Clone)]
pub struct ControlPlane(pub(crate) Arc<Inner>);

pub struct Settings {
    /// Seals what the database must not hold in clear.
    pub sealing: SealingSecret,
    /// How tokens are issued and checked.
    pub issuing: Issuing,
    /// How long a signing key signs.
    pub rotate_signing_keys_every: Duration,
    /// Loopback and private networks that tenants' own users may name as upstreams.
    pub allow_list: AllowList,
    /// `TOLLGATE_ADMIN_TOKEN`: where set, it is the only admin token.
    pub admin_token: Option<String>,
    /// Where the proxy notes which keys were used.
    pub last_used: Option<Box<dyn LastUsed>>,
    /// What `/metrics` says of this process; nothing where `None`.
    pub metrics: Option<MetricsSource>,
    /// The proxy of this process, where there may be one.
    pub traffic: Option<Box<dyn LiveTraffic>>,
    /// Where the proxy notes which thresholds of limits were reached.
    pub crossings: Option<CrossingSource>,
    /// For webhooks at `https` URLs.
    pub webhook_tls: TlsConnector,
    /// For issuers' key sets at `https` URLs.
    pub key_set_tls: TlsConnector,
    /// Of the API's own listener.
    pub connections: ConnectionLimits,
}

/// In five minutes; a browser with a session that is over asks for many things at once.
const FAILED_TOKENS_A_NETWORK: u32 = 100;

/// In Prometheus' text format.
pub type MetricsSource = Box<dyn Fn() -> String + Send + Sync>;

impl Settings {
    /// The usual ones, with one set of authorities for all.
    pub fn new(sealing: SealingSecret, webhook_tls: TlsConnector) -> Self {
        Self {
            sealing,
            issuing: Issuing::default(),
            rotate_signing_keys_every: USUAL_ROTATION,
            allow_list: AllowList::default(),
            admin_token: None,
            last_used: None,
            metrics: None,
            traffic: None,
            crossings: None,
            key_set_tls: webhook_tls.clone(),
            webhook_tls,
            connections: ConnectionLimits::default(),
        }
    }
}

/// What the operator has to be told once.
pub enum FirstStart {
    /// There was no admin token: this one was made. Only a hash of it is stored, so it is shown first, and then kept by
    /// [`ControlPlane::keep_admin_token`]: one that nobody saw would be in force for good.
    GeneratedToken(String),
    /// The operator has a token: one was configured, or was generated at an earlier start.
    TokenKnown,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what the database holds does not fit together: {0}")]
    Inconsistent(Problems),
    #[error("the admin token is empty: set TOLLGATE_ADMIN_TOKEN to a long random text, or leave it unset")]
    EmptyAdminToken,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("no signing key could be made: {0}")]
    SigningKeys(EditError),
}

pub(crate) struct Inner {
    pub store: Store,
    /// What the proxy runs.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<LocalCounters>,
    pub sealing: SealingSecret,
    pub issuing: Issuing,
    pub rotate_signing_keys_every: Duration,
    pub allow_list: AllowList,
    pub admin_token: KeyHash,
    pub last_used: Option<Box<dyn LastUsed>>,
    pub metrics: Option<MetricsSource>,
    pub traffic: Option<Box<dyn LiveTraffic>>,
    pub crossings: Option<CrossingSource>,
    pub webhook_tls: TlsConnector,
    pub key_set_tls: TlsConnector,
    pub connections: ConnectionLimits,
    pub untold: Mutex<Untold>,
    pub outbox: Outbox,
    /// Held by whoever writes, from the first row to the published snapshot.
    pub turn: Arc<Mutex<()>>,
    pub passwords: Passwords,
    pub throttle: Throttle,
    /// Of tokens of the API.
    pub token_guesses: Throttle,
    pub sign_ins: SignIns,
    pub unsaved: Mutex<Unsaved>,
    pub feed: Feed,
    pub nodes: Arc<Nodes>,
    pub reports: Reports,
    pub orders: Orders,
    pub on_demand: OnDemand,
}

impl ControlPlane {
    /// Loads and compiles everything, publishes the snapshot, and gives the limits their counts back.
    pub async fn open(
        store: Store,
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<LocalCounters>,
        settings: Settings,
    ) -> Result<(Self, FirstStart), OpenError> {
        let (admin_token, first_start) = admin_token(&store, settings.admin_token).await?;
        let (loaded, position) = load(&store, &settings.sealing).await?;
        snapshot.store(Arc::new(loaded));
        counters.restore(store.read().await?.counters().await?);
        let node_tokens = store.read().await?.all_node_tokens().await?;
        let feed = Feed::open(&store, &settings.sealing, position).await?;
        let inner = Inner {
            store,
            snapshot,
            counters,
            sealing: settings.sealing,
            issuing: settings.issuing,
            rotate_signing_keys_every: settings.rotate_signing_keys_every,
            allow_list: settings.allow_list,
            admin_token,
            last_used: settings.last_used,
            metrics: settings.metrics,
            traffic: settings.traffic,
            crossings: settings.crossings,
            webhook_tls: settings.webhook_tls,
            key_set_tls: settings.key_set_tls,
            connections: settings.connections,
            untold: Mutex::default(),
            outbox: Outbox::default(),
            turn: Arc::default(),
            passwords: Passwords::new(),
            throttle: Throttle::default(),
            token_guesses: Throttle::allowing(FAILED_TOKENS_A_NETWORK),
            sign_ins: SignIns::new(),
            unsaved: Mutex::default(),
            feed,
            nodes: Arc::new(Nodes::new(node_tokens)),
            reports: Reports::default(),
            orders: Orders::default(),
            on_demand: OnDemand::new(),
        };
        let plane = Self(Arc::new(inner));
        plane.warn_of_own_issuer();
        plane.rotate_signing_keys().await.map_err(OpenError::SigningKeys)?;
        Ok((plane, first_start))
    }

    /// A service of an earlier start may have an external issuer of the name that Tollgate has now: new ones are refused.
    fn warn_of_own_issuer(&self) {
        let (own, snapshot) = (&self.0.issuing.issuer, self.0.snapshot.load());
        for tenant in snapshot.tenants() {
            for service in tenant.services() {
                if service.issuers().is_none_or(|issuers| issuers.of(own).is_none()) {
                    continue;
                }
                tracing::warn!(
                    tenant = %tenant.slug,
                    service = %service.slug,
                    issuer = %own,
                    "a service takes tokens of an issuer that has the name which Tollgate has in its own (tokens.issuer): \
                     Tollgate's are refused there. Give one of the two another name"
                );
            }
        }
    }

    /// Keeps the admin token that this start made and has shown, for the starts to come.
    pub async fn keep_admin_token(&self) -> Result<(), StoreError> {
        let mut write = self.0.store.write(clock::now_secs()).await?;
        write.set_admin_token_hash(&self.0.admin_token).await?;
        write.commit().await
    }

    /// Serves the API, its documentation and the health checks, until `shutdown` and the end of the requests of then.
    pub async fn serve<L>(&self, listener: L, shutdown: impl Future<Output = ()> + Send)
    where
        L: Listener,
        L::Addr: Into<Connection>,
    {
        serving::serve(api::router(self.clone()), listener, self.0.connections, shutdown).await;
    }

    /// Does what is due: the first start makes the first key.
    pub(crate) async fn rotate_signing_keys(&self) -> Result<(), EditError> {
        let mut edit = Edit::begin(self).await?;
        edit.rotate_signing_keys().await?;
        edit.commit().await
    }

    /// Says that it is not ready any more, and ends the feeds of all nodes, which would else keep the API's connections open
    /// for good.
    pub fn start_draining(&self) {
        self.0.feed.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.feed.is_closed()
    }

    /// Makes everything that the document names as it says, or changes nothing. Resources that it does not name stay
    /// as they are; those that it names become as they are written, with defaults for what is left out. Applying it
    /// again changes nothing.
    pub async fn apply(&self, principal: &Principal, document: &Document) -> Result<Applied, ApplyError> {
        document::apply(self, principal, document).await
    }

    /// What [`ControlPlane::apply`] would do, without doing it.
    pub async fn validate(&self, principal: &Principal, document: &Document) -> Result<Applied, ApplyError> {
        document::validate(self, principal, document).await
    }
}

/// The token's hash, and whether it was made just now.
async fn admin_token(store: &Store, configured: Option<String>) -> Result<(KeyHash, FirstStart), OpenError> {
    if let Some(token) = configured {
        if token.trim().is_empty() {
            return Err(OpenError::EmptyAdminToken);
        }
        return Ok((KeyHash::of(token.as_bytes()), FirstStart::TokenKnown));
    }
    if let Some(hash) = store.read().await?.admin_token_hash().await? {
        return Ok((hash, FirstStart::TokenKnown));
    }
    let token = Token::generate(TokenKind::Admin)?;
    Ok((token.hash(), FirstStart::GeneratedToken(token.reveal())))
}

async fn load(store: &Store, sealing: &SealingSecret) -> Result<(Snapshot, Position), OpenError> {
    let (batches, mut arriving) = mpsc::channel(1);
    let (loaded, grown) = tokio::join!(store.load(batches), async move {
        let mut snapshot = Snapshot::default();
        while let Some(batch) = arriving.recv().await {
            let crowding;
            (snapshot, crowding) = snapshot.restored(&batch, 0)?;
            for CrowdingRoute { tenant, id, name, problem } in crowding {
                tracing::warn!(%tenant, route = %id.0, %name, field = %problem.field, "a route makes look-ups dearer than a new one may: it {}", problem.message);
            }
        }
        Ok(snapshot)
    });
    // What does not compile ends the loading, which would else be all that there is to say.
    let snapshot = grown.map_err(OpenError::Inconsistent)?;
    let position = loaded?;
    let signing_keys = edit::sealed_keys(store, sealing).await?;
    let snapshot = snapshot.grown(&signing_keys, position.revision).map_err(OpenError::Inconsistent)?;
    Ok((snapshot, position))
}
