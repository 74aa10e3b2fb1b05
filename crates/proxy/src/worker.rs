//! One thread of the data plane: its own runtime, listener, pools and clock. Nothing of a request crosses
//! to another thread.

mod run;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::Cache;
use tollgate_core::resource::{KeyId, ServiceId, TenantId};
use tollgate_core::snapshot::Snapshot;

pub(crate) use run::{Phase, run};

use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::live::LocalService;
use crate::message::TimeTexts;
use crate::room::Hand;
use crate::session::{Session, SessionGuard};
use crate::token::VerifiedTokens;
use crate::wire::{Buffers, SpareBuffers};

/// Log lines leave the worker when this many bytes have gathered, and at every tick.
const LOG_BLOCK_BYTES: usize = 128 * 1_024;
/// Uses of keys leave the worker when so many have gathered, and with the housekeeping: the more at once, the more of
/// them are of the same keys; not so many that a request would notice the pause.
const GATHERED_USES: usize = 16_384;
/// Sessions kept for the next requests; more are freed.
const KEPT_SESSIONS: usize = 64;

pub(crate) struct Worker {
    pub index: usize,
    pub gateway: Arc<Gateway>,
    pub clock: Clock,
    /// Places for requests.
    pub hand: Hand,
    pub times: TimeTexts,
    snapshot: RefCell<CachedSnapshot>,
    #[expect(clippy::vec_box, reason = "a session is large: its box goes back and forth, not its bytes")]
    sessions: RefCell<Vec<Box<Session>>>,
    spare_buffers: Rc<SpareBuffers>,
    log_lines: RefCell<Vec<u8>>,
    services: RefCell<Services>,
    /// The revision that the services were last compared with.
    services_revision: Cell<Option<u64>>,
    /// Uses of keys, one after another: a look-up for each would cost a request two cache misses.
    /// With the second, in four bytes: until 2106.
    key_uses: RefCell<Vec<(KeyId, u32)>>,
    /// Which of them were refused.
    key_rejections: RefCell<Vec<KeyId>>,
    pub verified_tokens: RefCell<VerifiedTokens>,
    random: Cell<u64>,
    /// Whether the worker has ended: what is still under way is cut off.
    pub has_ended: Cell<bool>,
}

type Services = std::collections::HashMap<ServiceId, Rc<LocalService>, ahash::RandomState>;

struct CachedSnapshot {
    source: Cache<Arc<arc_swap::ArcSwap<Snapshot>>, Arc<Snapshot>>,
    current: Rc<HeldSnapshot>,
}

/// Counted within one thread: the shared count of the `Arc` would travel between cores with every request.
pub(crate) struct HeldSnapshot(Arc<Snapshot>);

impl Deref for HeldSnapshot {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Worker {
    pub fn new(index: usize, gateway: Arc<Gateway>) -> Self {
        let source = Cache::new(Arc::clone(&gateway.snapshot));
        let current = Rc::new(HeldSnapshot(gateway.snapshot.load_full()));
        Self {
            index,
            gateway,
            clock: Clock::new(),
            hand: Hand::default(),
            times: TimeTexts::default(),
            snapshot: RefCell::new(CachedSnapshot { source, current }),
            sessions: RefCell::default(),
            spare_buffers: Rc::default(),
            log_lines: RefCell::default(),
            services: RefCell::default(),
            services_revision: Cell::default(),
            key_uses: RefCell::default(),
            key_rejections: RefCell::default(),
            verified_tokens: RefCell::default(),
            random: Cell::new(fastrand::u64(..)),
            has_ended: Cell::new(false),
        }
    }

    /// The snapshot in force now.
    pub fn snapshot(&self) -> Rc<HeldSnapshot> {
        let mut cached = self.snapshot.borrow_mut();
        let CachedSnapshot { source, current } = &mut *cached;
        let newest = source.load();
        if !Arc::ptr_eq(newest, &current.0) {
            *current = Rc::new(HeldSnapshot(Arc::clone(newest)));
        }
        Rc::clone(current)
    }

    /// Memory for one exchange; returns here when the guard goes.
    pub fn session(self: &Rc<Self>) -> SessionGuard {
        let session = self.sessions.borrow_mut().pop().unwrap_or_else(|| Box::new(self.new_session()));
        SessionGuard::new(Rc::clone(self), session)
    }

    pub fn new_session(&self) -> Session {
        Session::new(&self.spare_buffers)
    }

    pub fn new_buffers(&self) -> Buffers {
        Buffers::new(&self.spare_buffers)
    }

    pub fn take_back(&self, mut session: Box<Session>) {
        let mut sessions = self.sessions.borrow_mut();
        if sessions.len() < KEPT_SESSIONS {
            session.clear();
            sessions.push(session);
        }
    }

    /// What is known of a service.
    pub fn live(&self, tenant: TenantId, service: ServiceId) -> Rc<LocalService> {
        let mut services = self.services.borrow_mut();
        let live = services
            .entry(service)
            .or_insert_with(|| Rc::new(LocalService::new(self.gateway.live.service(tenant, service))));
        Rc::clone(live)
    }

    pub fn note_use(&self, key: KeyId, now_secs: u64) {
        let mut uses = self.key_uses.borrow_mut();
        uses.push((key, u32::try_from(now_secs).unwrap_or(u32::MAX)));
        let gathered = uses.len();
        drop(uses);
        self.hand_over_uses_at(gathered);
    }

    /// Of a request whose use of the key was noted.
    pub fn note_rejection(&self, key: KeyId) {
        let mut rejections = self.key_rejections.borrow_mut();
        rejections.push(key);
        let gathered = rejections.len();
        drop(rejections);
        self.hand_over_uses_at(gathered);
    }

    /// At the end one by one: they are kept once nothing is in flight any more.
    fn hand_over_uses_at(&self, gathered: usize) {
        if gathered >= GATHERED_USES || self.gateway.is_draining() {
            self.hand_over_uses();
        }
    }

    fn hand_over_uses(&self) {
        self.gateway.note_key_uses(&mut self.key_uses.borrow_mut(), &mut self.key_rejections.borrow_mut());
    }

    /// 64 random bits for request ids: unique, not secret (xorshift64*, Vigna 2016).
    pub fn random(&self) -> u64 {
        let mut state = self.random.get() | 1;
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Appends one line to the access log.
    pub fn log(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.gateway.access_log.is_on() {
            return;
        }
        let mut lines = self.log_lines.borrow_mut();
        write(&mut lines);
        if lines.len() >= LOG_BLOCK_BYTES {
            self.gateway.access_log.write(&mut lines);
        }
    }

    fn flush_log(&self) {
        let mut lines = self.log_lines.borrow_mut();
        if !lines.is_empty() {
            self.gateway.access_log.write(&mut lines);
        }
    }

    fn housekeeping(&self) {
        self.clock.synchronise();
        let now = self.clock.now().instant;
        let most = self.gateway.settings.timeouts.upstream_idle;
        self.gateway.pools.purge(self.index, now, most);
        self.forget_services();
        self.hand_over_uses();
    }

    /// Drops what is known of services that are gone.
    fn forget_services(&self) {
        let snapshot = self.snapshot();
        if self.services_revision.replace(Some(snapshot.revision())) != Some(snapshot.revision()) {
            self.services.borrow_mut().retain(|&service, live| {
                snapshot.tenant_by_id(live.shared.tenant).is_some_and(|tenant| tenant.has_service(service))
            });
            self.gateway.live.forget(&self.gateway.snapshot);
        }
    }
}

/// Requests that the end of the runtime cancels leave their lines behind: the last of them is written here.
impl Drop for Worker {
    fn drop(&mut self) {
        self.flush_log();
    }
}

#[cfg(test)]
pub(crate) mod tests;
