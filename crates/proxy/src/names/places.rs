//! How many look-ups there may be at once, and for whom. Names that nobody answers for hold their places for seconds: those of
//! one tenant must not keep the names of others waiting.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tollgate_core::resource::TenantId;

/// Look-ups at once; more wait.
const MOST: usize = 128;
/// Of these for one tenant.
const MOST_FOR_ONE: usize = 16;

pub(super) struct Places {
    all: Semaphore,
    /// Of those that have a look-up under way or waiting.
    shares: Mutex<HashMap<TenantId, Arc<Semaphore>, RandomState>>,
}

/// Of one look-up, until it is dropped. The permits are `None` only where their semaphores were closed, which they never are.
pub(super) struct Place<'p> {
    _of_all: Option<SemaphorePermit<'p>>,
    _own: OwnPlace<'p>,
}

/// In its tenant's share, until it is dropped.
pub(super) struct OwnPlace<'p> {
    _of_share: Option<OwnedSemaphorePermit>,
    share: Share<'p>,
}

struct Share<'p> {
    places: &'p Places,
    tenant: TenantId,
    semaphore: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Semaphore::new(MOST), shares: Mutex::default() }
    }
}

impl Places {
    /// That of its own comes first: who waits for it holds nothing of what there is for all.
    pub async fn own(&self, tenant: TenantId) -> OwnPlace<'_> {
        let share = Share::of(self, tenant);
        let of_share = Arc::clone(&share.semaphore).acquire_owned().await.ok();
        OwnPlace { _of_share: of_share, share }
    }
}

impl<'p> OwnPlace<'p> {
    pub async fn among_all(self) -> Place<'p> {
        let of_all = self.share.places.all.acquire().await.ok();
        Place { _of_all: of_all, _own: self }
    }
}

impl<'p> Share<'p> {
    fn of(places: &'p Places, tenant: TenantId) -> Self {
        let mut shares = places.shares.lock();
        let semaphore = shares.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(MOST_FOR_ONE)));
        Self { places, tenant, semaphore: Arc::clone(semaphore) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut shares = self.places.shares.lock();
        // The map's and this one: others are made under the lock alone.
        if Arc::strong_count(&self.semaphore) == 2 {
            shares.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    /// A place, where there is one at once.
    fn take(places: &Places, tenant: TenantId) -> Option<Place<'_>> {
        let taken = async { places.own(tenant).await.among_all().await };
        match pin!(taken).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_tenant_s_look_ups_leave_places_for_others() {
        let places = Places::default();
        let mut held: Vec<_> = std::iter::from_fn(|| take(&places, tenant(1))).collect();
        assert_eq!(held.len(), MOST_FOR_ONE);
        assert!(take(&places, tenant(2)).is_some());
        held.pop();
        assert!(take(&places, tenant(1)).is_some(), "what comes back is its own again");
    }

    #[test]
    fn all_together_have_no_more_than_there_are() {
        let places = Places::default();
        let held: Vec<_> = (0..100)
            .flat_map(|number| std::iter::from_fn(|| take(&places, tenant(number))).collect::<Vec<_>>())
            .collect();
        assert_eq!(held.len(), MOST);
        drop(held);
        assert!(places.shares.lock().is_empty(), "nothing is kept of who looks nothing up");
    }
}
