//! One name, as all workers know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tollgate_core::balance::Addresses;
use tollgate_core::resource::TenantId;

use super::LookupError;
use super::askers::{Askers, Waiting};

pub(super) struct Name {
    text: Box<str>,
    state: ArcSwap<State>,
    /// Told when there is an answer.
    answered: Notify,
    /// Whose look-up it is.
    askers: Arc<Askers>,
    /// Whether it was needed since this was last looked at.
    is_used: AtomicBool,
}

enum State {
    Awaited,
    Known(Arc<Addresses>),
    /// It had addresses, and has none any more.
    Gone(LookupError),
    /// It has never had any.
    Unresolved(LookupError),
}

impl Name {
    pub fn new(text: &str, tenant: TenantId) -> Self {
        Self {
            text: text.into(),
            state: ArcSwap::from_pointee(State::Awaited),
            answered: Notify::new(),
            askers: Arc::new(Askers::of(tenant)),
            is_used: AtomicBool::new(true),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn askers(&self) -> &Askers {
        &self.askers
    }

    /// The tenant needs it too, and waits for it where that has use, until what is given is dropped.
    pub fn needed_by(&self, tenant: TenantId) -> Option<Waiting> {
        match &**self.state.load() {
            State::Awaited => self.askers.wait(tenant),
            State::Known(_) | State::Gone(_) | State::Unresolved(_) => {
                self.askers.note(tenant);
                None
            }
        }
    }

    /// Its addresses, of which there may be none any more, where it has ever resolved.
    pub fn known(&self) -> Option<Arc<Addresses>> {
        match &**self.state.load() {
            State::Known(addresses) => Some(Arc::clone(addresses)),
            State::Gone(_) => Some(Arc::default()),
            State::Awaited | State::Unresolved(_) => None,
        }
    }

    /// Its addresses, at least one, once it has resolved.
    pub async fn addresses(&self) -> Result<Arc<Addresses>, LookupError> {
        self.note_used();
        loop {
            let answered = self.answered.notified();
            match &**self.state.load() {
                State::Known(addresses) => return Ok(Arc::clone(addresses)),
                State::Gone(error) | State::Unresolved(error) => return Err(error.clone()),
                State::Awaited => {}
            }
            answered.await;
        }
    }

    pub fn is_unresolved(&self) -> bool {
        matches!(&**self.state.load(), State::Unresolved(_))
    }

    pub fn is_gone(&self) -> bool {
        matches!(&**self.state.load(), State::Gone(_))
    }

    pub fn found(&self, addresses: Addresses) {
        self.settle(State::Known(Arc::new(addresses)));
    }

    pub fn gone(&self, error: LookupError) {
        self.settle(State::Gone(error));
    }

    pub fn unresolved(&self, error: LookupError) {
        self.settle(State::Unresolved(error));
    }

    pub fn take_used(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }

    /// Looked at first, so that workers do not write all the time what is so already.
    pub fn note_used(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    fn settle(&self, state: State) {
        self.state.store(Arc::new(state));
        self.answered.notify_waiters();
    }
}
