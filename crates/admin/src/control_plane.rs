//! The control plane as the binary sees it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tollgate_core::Problems;
use tollgate_core::address::AllowList;
use tollgate_core::credential::KeyHash;
use tollgate_core::snapshot::Snapshot;
use tollgate_counters::LocalCounters;
use tollgate_store::{Store, StoreError};

use crate::document::{self, Applied, ApplyError, Document};
use crate::jobs::{LastUsed, Unsaved};
use crate::password::Passwords;
use crate::principal::Principal;
use crate::throttle::Throttle;
use crate::token::{NoRandomness, Token, TokenKind};
use crate::{api, clock};

/// Clones share everything.
#[derive(Clone)]
pub struct ControlPlane(pub(crate) Arc<Inner>);

#[derive(Default)]
pub struct Settings {
    /// Loopback and private networks that tenants' own users may name as upstreams.
    pub allow_list: AllowList,
    /// `TOLLGATE_ADMIN_TOKEN`: where set, it is the only admin token.
    pub admin_token: Option<String>,
    /// Where the proxy notes which keys were used.
    pub last_used: Option<Box<dyn LastUsed>>,
}

/// What the operator has to be told once.
pub enum FirstStart {
    /// There was no admin token: this one was made. It is stored hashed only, so it is shown now or never.
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
}

pub(crate) struct Inner {
    pub store: Store,
    /// What the proxy runs.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    pub counters: Arc<LocalCounters>,
    pub allow_list: AllowList,
    pub admin_token: KeyHash,
    pub last_used: Option<Box<dyn LastUsed>>,
    /// Held by whoever writes, from the first row to the published snapshot.
    pub turn: Arc<Mutex<()>>,
    pub passwords: Passwords,
    pub throttle: Throttle,
    pub unsaved: Mutex<Unsaved>,
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
        snapshot.store(Arc::new(load(&store).await?));
        counters.restore(store.read().await?.counters(clock::now()).await?);
        let inner = Inner {
            store,
            snapshot,
            counters,
            allow_list: settings.allow_list,
            admin_token,
            last_used: settings.last_used,
            turn: Arc::default(),
            passwords: Passwords::new(),
            throttle: Throttle::default(),
            unsaved: Mutex::default(),
        };
        Ok((Self(Arc::new(inner)), first_start))
    }

    /// The API, its documentation and the health checks. Serve it with
    /// `into_make_service_with_connect_info::<SocketAddr>()`: sign-ins are throttled by the peer's address.
    pub fn router(&self) -> axum::Router {
        api::router(self.clone())
    }

    /// Makes everything that the document names as it says, or changes nothing. What the document does not
    /// name stays as it is; applying it again changes nothing.
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
    let mut write = store.write(clock::now_secs()).await?;
    if let Some(hash) = write.admin_token_hash().await? {
        return Ok((hash, FirstStart::TokenKnown));
    }
    let token = Token::generate(TokenKind::Admin)?;
    let hash = token.hash();
    write.set_admin_token_hash(&hash).await?;
    write.commit().await?;
    Ok((hash, FirstStart::GeneratedToken(token.reveal())))
}

async fn load(store: &Store) -> Result<Snapshot, OpenError> {
    let mut loading = Ok(Snapshot::default());
    let revision = store
        .load(|batch| {
            let loaded = std::mem::replace(&mut loading, Ok(Snapshot::default()));
            loading = loaded.and_then(|snapshot| snapshot.grown(&batch, 0));
        })
        .await?;
    loading.and_then(|snapshot| snapshot.grown(&[], revision)).map_err(OpenError::Inconsistent)
}
