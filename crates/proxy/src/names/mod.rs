//! What the names of targets resolve to. A name is looked up when it is first needed, and then again and again in the
//! background, as its records' time to live says, for as long as requests come for it: no request waits for that, and
//! where an answer fails to come the addresses before stay in use.

mod name;
mod resolver;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tollgate_core::balance::Addresses;

use name::Name;
use resolver::{Answer, Resolver};

/// However short a time to live is, and however long.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// For so long a name that was not found is not asked for again.
const NEGATIVE: Duration = Duration::from_secs(2);
/// Between attempts to look up a name anew, doubling.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A name that no request has needed for so long is not looked up any more.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);
/// Names that are looked up in the background, each by a task. More are looked up for every connection.
const MOST_NAMES: usize = 10_000;

/// The name does not resolve, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct LookupError(Arc<str>);

impl LookupError {
    /// The answer names nothing.
    pub fn nothing() -> Self {
        Self("the answer has no address".into())
    }
}

pub(crate) struct Names {
    resolver: Resolver,
    background: Handle,
    known: Mutex<HashMap<Box<str>, Arc<Name>, RandomState>>,
    changes: AtomicU64,
}

impl Names {
    /// `servers` are asked instead of the system's, where there are any.
    pub fn new(servers: &[SocketAddr], background: Handle) -> Arc<Self> {
        Arc::new(Self {
            resolver: Resolver::new(servers.into()),
            background,
            known: Mutex::default(),
            changes: AtomicU64::new(0),
        })
    }

    /// The name's addresses. Waits where the name has not resolved yet; time is the caller's to limit.
    pub async fn addresses(self: &Arc<Self>, text: &str) -> Result<Arc<Addresses>, LookupError> {
        if let Some(name) = self.name(text) {
            return name.addresses().await;
        }
        let Answer { ips, .. } = self.resolver.look_up(text, &[]).await?;
        Ok(Arc::new(Addresses::new(ips, None)))
    }

    /// A connection to it was used.
    pub fn note_used(&self, text: &str) {
        if let Some(name) = self.known.lock().get(text) {
            name.note_used();
        }
    }

    /// Counted up whenever what [`Names::known`] says of a name may have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The name's addresses; `None` where it has not resolved, or nobody has asked for it for long.
    pub fn known(&self, text: &str) -> Option<Arc<Addresses>> {
        let name = self.known.lock().get(text).cloned()?;
        name.known()
    }

    /// The name, which is looked up from now on; `None` where there are too many already.
    fn name(self: &Arc<Self>, text: &str) -> Option<Arc<Name>> {
        let mut known = self.known.lock();
        if let Some(name) = known.get(text) {
            return Some(Arc::clone(name));
        }
        if known.len() >= MOST_NAMES {
            return None;
        }
        let name = Arc::new(Name::new(text));
        known.insert(text.into(), Arc::clone(&name));
        self.background.spawn(keep_current(Arc::downgrade(self), Arc::clone(&name)));
        Some(name)
    }

    fn forget(&self, name: &Name) {
        self.known.lock().remove(name.text());
        self.note_change();
    }

    /// Looks the name up once; says when that has to be done again. `None`: it was not found, nor ever before.
    async fn look_up(&self, name: &Name, retry: &mut Duration) -> Option<Duration> {
        let (text, before) = (name.text(), name.known());
        let ips_before: Vec<_> = before.iter().flat_map(|before| before.iter()).collect();
        match self.resolver.look_up(text, &ips_before).await {
            Ok(Answer { ips, time_to_live }) => {
                if ips.len() > Addresses::MOST {
                    let (addresses, most) = (ips.len(), Addresses::MOST);
                    tracing::warn!(name = text, addresses, most, "a name has more addresses than are used");
                }
                *retry = FIRST_RETRY;
                self.found(name, Addresses::new(ips, before.as_deref()), before.as_deref());
                Some(time_to_live.clamp(SHORTEST, LONGEST))
            }
            Err(error) if before.is_some() => {
                if *retry == FIRST_RETRY {
                    tracing::warn!(name = text, %error, "a name does not resolve any more: its addresses stay in use");
                }
                let wait = *retry;
                *retry = (wait * 2).min(LONGEST_RETRY);
                Some(wait)
            }
            Err(error) => {
                tracing::warn!(name = text, %error, "a name does not resolve");
                name.failed(error);
                None
            }
        }
    }

    /// Where the addresses are those of before, what is known of each stays in one place.
    fn found(&self, name: &Name, addresses: Addresses, before: Option<&Addresses>) {
        if before.is_some_and(|before| before.iter().eq(addresses.iter())) {
            return;
        }
        if before.is_some() {
            let (name, addresses) = (name.text(), addresses.iter().len());
            tracing::info!(name, addresses, "a name has other addresses");
        }
        name.found(addresses);
        self.note_change();
    }

    fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// Looks a name up for as long as it is needed.
async fn keep_current(names: Weak<Names>, name: Arc<Name>) {
    let (mut retry, mut unused) = (FIRST_RETRY, Duration::ZERO);
    while unused < FORGOTTEN_AFTER {
        let Some(held) = names.upgrade() else { return };
        let next = held.look_up(&name, &mut retry).await;
        drop(held);
        tokio::time::sleep(next.unwrap_or(NEGATIVE)).await;
        let Some(wait) = next else { break };
        unused = if name.take_used() { Duration::ZERO } else { unused + wait };
    }
    if let Some(names) = names.upgrade() {
        names.forget(&name);
    }
}
