//! One name, as all workers know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tollgate_core::balance::Addresses;

use super::LookupError;

pub(super) struct Name {
    text: Box<str>,
    answer: ArcSwap<Answer>,
    /// Told when there is an answer.
    answered: Notify,
    /// Whether it was needed since this was last looked at.
    is_used: AtomicBool,
}

enum Answer {
    Awaited,
    Known(Arc<Addresses>),
    Failed(LookupError),
}

impl Name {
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            answer: ArcSwap::from_pointee(Answer::Awaited),
            answered: Notify::new(),
            is_used: AtomicBool::new(true),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its addresses, where it has resolved.
    pub fn known(&self) -> Option<Arc<Addresses>> {
        match &**self.answer.load() {
            Answer::Known(addresses) => Some(Arc::clone(addresses)),
            Answer::Awaited | Answer::Failed(_) => None,
        }
    }

    /// Its addresses, once it has resolved.
    pub async fn addresses(&self) -> Result<Arc<Addresses>, LookupError> {
        self.note_used();
        loop {
            let answered = self.answered.notified();
            match &**self.answer.load() {
                Answer::Known(addresses) => return Ok(Arc::clone(addresses)),
                Answer::Failed(error) => return Err(error.clone()),
                Answer::Awaited => {}
            }
            answered.await;
        }
    }

    pub fn found(&self, addresses: Addresses) {
        self.settle(Answer::Known(Arc::new(addresses)));
    }

    pub fn failed(&self, error: LookupError) {
        self.settle(Answer::Failed(error));
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

    fn settle(&self, answer: Answer) {
        self.answer.store(Arc::new(answer));
        self.answered.notify_waiters();
    }
}
