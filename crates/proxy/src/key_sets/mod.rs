//! Public keys of other issuers: fetched in the background, kept for all workers, and used on while an issuer is
//! away, over a restart too.

mod fetch;
mod held;
mod kept;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ahash::RandomState;
use parking_lot::Mutex;
use tollgate_core::resource::{Host, TenantId};
use tollgate_core::snapshot::KeySource;
use tollgate_core::token::KeySet;

use self::held::{Fetching, Held, Step};
use self::kept::KeptKeySets;
use crate::gateway::Gateway;

/// Places that are remembered; more than any gateway has, but for one that is being edited all the time.
const MOST_SOURCES: usize = 4_096;

pub(crate) struct KeySets {
    held: Mutex<HashMap<KeySource, Arc<Held>, RandomState>>,
    kept: KeptKeySets,
}

/// No keys were ever fetched, or none for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// Keys of this place, among them the one that is called `key_id` if there is such a one. Keys that are not there are waited for,
/// no longer than `until`. The tenant is the one whose token it is.
pub(crate) async fn key_set(
    gateway: &Arc<Gateway>,
    source: &KeySource,
    key_id: Option<&str>,
    until: Instant,
    tenant: TenantId,
) -> Result<Arc<KeySet>, Unavailable> {
    let held = gateway.key_sets.held(source);
    let mut ended = held.ended.subscribe();
    let _needed = match held.begin(key_id, Instant::now()) {
        Step::Use(keys) => return Ok(keys),
        Step::UseAndFetch(keys) => {
            spawn_fetch(gateway, source, held, tenant);
            return Ok(keys);
        }
        Step::FetchAndWait => {
            spawn_fetch(gateway, source, Arc::clone(&held), tenant);
            None
        }
        // A fetch needs the name for its tenant; here it may be another's.
        Step::Wait => match &source.endpoint.host {
            Host::Name(name) => gateway.names.need(name.to_look_up(), tenant),
            Host::Address(_) => None,
        },
        Step::Unavailable => return Err(Unavailable),
    };
    // Whether it ended or takes too long: what is there by then is what there is.
    let answered = async { while ended.changed().await.is_ok() && !held.answers(key_id) {} };
    drop(tokio::time::timeout_at(until.into(), answered).await);
    held.present(Instant::now()).ok_or(Unavailable)
}

impl KeySets {
    /// What is fetched is kept in this directory, over a restart; only in memory where there is none.
    pub fn kept_in(directory: Option<PathBuf>) -> Self {
        Self { held: Mutex::default(), kept: KeptKeySets::new(directory) }
    }

    fn held(&self, source: &KeySource) -> Arc<Held> {
        let mut sources = self.held.lock();
        if let Some(held) = sources.get(source) {
            return Arc::clone(held);
        }
        if sources.len() >= MOST_SOURCES {
            sources.clear();
        }
        let held = Arc::new(Held::new());
        sources.insert(source.clone(), Arc::clone(&held));
        held
    }
}

/// Never on a worker: an issuer that is slow must not hold its thread's other requests up.
fn spawn_fetch(gateway: &Arc<Gateway>, source: &KeySource, held: Arc<Held>, tenant: TenantId) {
    let (gateway, source) = (Arc::clone(gateway), source.clone());
    let background = gateway.background.clone();
    background.spawn(async move {
        let fetching = Fetching(held);
        let held = &fetching.0;
        let kept = &gateway.key_sets.kept;
        if held.is_empty()
            && let Some(found) = kept.load(&source).await
        {
            held.restore(found, Instant::now());
        }
        match fetch::fetch(&gateway, &source, tenant).await {
            Ok((keys, answer)) => {
                if keys.is_empty() {
                    tracing::warn!(jwks_url = %source, "an issuer has no key that can verify a signature: its tokens are refused");
                }
                held.end(Some(keys), Instant::now());
                kept.save(&source, answer).await;
            }
            Err(error) => {
                tracing::warn!(jwks_url = %source, reason = %error, "the keys of an issuer cannot be fetched");
                held.end(None, Instant::now());
            }
        }
    });
}
