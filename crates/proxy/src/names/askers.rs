//! Who needs a name. It is looked up in the share of whoever of them has a place first: a tenant whose share is taken up by names that
//! nobody answers for must not keep others waiting for a name that it needs as well.

use std::future::poll_fn;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tollgate_core::resource::TenantId;

use super::places::{Place, Places};

/// Tenants that a name remembers, the first ones: each that comes has the others wait anew, so that many who take turns would
/// keep a look-up from ever having its place.
const MOST: usize = 16;

pub(super) struct Askers {
    tenants: Mutex<Vec<TenantId>>,
    /// Told when there is one more.
    more: Notify,
}

impl Askers {
    pub fn of(tenant: TenantId) -> Self {
        Self { tenants: Mutex::new(vec![tenant]), more: Notify::new() }
    }

    pub fn add(&self, tenant: TenantId) {
        let mut tenants = self.tenants.lock();
        if tenants.len() == MOST || tenants.contains(&tenant) {
            return;
        }
        tenants.push(tenant);
        drop(tenants);
        self.more.notify_waiters();
    }

    /// Of any of them, those included that come meanwhile.
    pub async fn place<'p>(&self, places: &'p Places) -> Place<'p> {
        loop {
            let more = self.more.notified();
            let mut waiting: Vec<_> =
                self.tenants.lock().iter().map(|&tenant| Box::pin(places.take(tenant))).collect();
            let first = poll_fn(|cx| {
                let mut places = waiting.iter_mut().map(|place| place.as_mut().poll(cx));
                places.find(Poll::is_ready).unwrap_or(Poll::Pending)
            });
            tokio::select! {
                biased;
                place = first => return place,
                () = more => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn a_look_up_that_waits_is_whoever_s_has_a_place_for_it() {
        let (places, askers) = (Places::default(), Askers::of(tenant(1)));
        let cx = &mut Context::from_waker(Waker::noop());
        let mut held = Vec::new();
        while let Poll::Ready(place) = pin!(places.take(tenant(1))).poll(cx) {
            held.push(place);
        }
        let mut place = pin!(askers.place(&places));
        assert!(place.as_mut().poll(cx).is_pending());
        askers.add(tenant(1));
        assert!(place.as_mut().poll(cx).is_pending());
        askers.add(tenant(2));
        assert!(place.as_mut().poll(cx).is_ready());
    }

    #[test]
    fn many_who_take_turns_have_nobody_wait_anew() {
        let askers = Askers::of(tenant(0));
        (1..MOST as u128).for_each(|number| askers.add(tenant(number)));
        let mut told = pin!(askers.more.notified());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(told.as_mut().poll(cx).is_pending());
        (0..40).for_each(|number| askers.add(tenant(number)));
        assert!(told.as_mut().poll(cx).is_pending());
        assert_eq!(askers.tenants.lock().len(), MOST);
    }
}
