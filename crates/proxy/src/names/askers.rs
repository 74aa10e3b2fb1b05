//! Who needs a name. It is looked up in the share of whoever of them has a place first: a tenant whose share is taken up by names that
//! nobody answers for must not keep others waiting for a name that it needs as well.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tollgate_core::resource::TenantId;

use super::places::{Place, Places};

/// Tenants that a name remembers.
const MOST: usize = 16;

pub(super) struct Askers {
    /// Who waits for the name; where nobody does, who needed it last, for whom it is kept current.
    listed: Mutex<Vec<Asker>>,
    /// Told when others are listed.
    changed: Notify,
}

struct Asker {
    tenant: TenantId,
    /// Requests that wait: none of them of all that are listed, or some of each.
    waiting: usize,
}

/// One that waits for the name, until it is dropped.
pub(crate) struct Waiting {
    askers: Arc<Askers>,
    tenant: TenantId,
}

impl Askers {
    pub fn of(tenant: TenantId) -> Self {
        Self { listed: Mutex::new(vec![Asker { tenant, waiting: 0 }]), changed: Notify::new() }
    }

    /// The tenant needs the name, and has it. Of many the last ones are remembered.
    pub fn note(&self, tenant: TenantId) {
        let mut listed = self.listed.lock();
        if listed.iter().any(|asker| asker.waiting > 0 || asker.tenant == tenant) {
            return;
        }
        if listed.len() == MOST {
            listed.remove(0);
        }
        listed.push(Asker { tenant, waiting: 0 });
        drop(listed);
        self.changed.notify_waiters();
    }

    /// The tenant waits for the name; `None` where enough others do.
    pub fn wait(self: &Arc<Self>, tenant: TenantId) -> Option<Waiting> {
        let mut listed = self.listed.lock();
        // Whoever gave up makes room for those who wait.
        listed.retain(|asker| asker.waiting > 0 || asker.tenant == tenant);
        match listed.iter().position(|asker| asker.tenant == tenant) {
            Some(index) => listed[index].waiting += 1,
            None if listed.len() == MOST => return None,
            None => listed.push(Asker { tenant, waiting: 1 }),
        }
        drop(listed);
        self.changed.notify_waiters();
        Some(Waiting { askers: Arc::clone(self), tenant })
    }

    fn leave(&self, tenant: TenantId) {
        let mut listed = self.listed.lock();
        if let Some(asker) = listed.iter_mut().find(|asker| asker.tenant == tenant) {
            asker.waiting -= 1;
        }
        // The last one keeps its turn: it may ask again.
        if listed.len() > 1 {
            listed.retain(|asker| asker.waiting > 0);
        }
        drop(listed);
        self.changed.notify_waiters();
    }

    fn tenants(&self) -> Vec<TenantId> {
        self.listed.lock().iter().map(|asker| asker.tenant).collect()
    }

    /// Of any of them, those included that come meanwhile. Those that stay keep their turns, whoever comes and leaves.
    pub async fn place<'p>(&self, places: &'p Places) -> Place<'p> {
        let mut sought = Vec::new();
        let own = loop {
            let changed = self.changed.notified();
            let tenants = self.tenants();
            sought.retain(|(tenant, _)| tenants.contains(tenant));
            for tenant in tenants {
                if sought.iter().all(|(other, _)| *other != tenant) {
                    sought.push((tenant, Box::pin(places.own(tenant))));
                }
            }
            let first = poll_fn(|cx| {
                let mut owns = sought.iter_mut().map(|(_, own)| own.as_mut().poll(cx));
                owns.find(Poll::is_ready).unwrap_or(Poll::Pending)
            });
            tokio::select! {
                biased;
                () = changed => {}
                own = first => break own,
            }
        };
        // One is enough: what the others might hold as well is for other names of theirs.
        drop(sought);
        own.among_all().await
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.askers.leave(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Waker};

    use uuid::Uuid;

    use super::*;
    use crate::names::places::OwnPlace;

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    fn askers() -> Arc<Askers> {
        Arc::new(Askers::of(tenant(1)))
    }

    /// All that there is of the tenant's own.
    fn take_all(places: &Places, number: u128) -> Vec<OwnPlace<'_>> {
        let cx = &mut Context::from_waker(Waker::noop());
        let take = || match pin!(places.own(tenant(number))).poll(cx) {
            Poll::Ready(own) => Some(own),
            Poll::Pending => None,
        };
        std::iter::from_fn(take).collect()
    }

    fn has<'p>(place: Pin<&mut impl Future<Output = Place<'p>>>) -> bool {
        place.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_look_up_that_waits_is_whoever_s_has_a_place_for_it() {
        let (places, askers) = (Places::default(), askers());
        let _held = take_all(&places, 1);
        let mut place = pin!(askers.place(&places));
        assert!(!has(place.as_mut()));
        let _first = askers.wait(tenant(1));
        assert!(!has(place.as_mut()));
        let _second = askers.wait(tenant(2));
        assert!(has(place.as_mut()));
    }

    #[test]
    fn who_gives_up_makes_room_for_those_who_wait() {
        let (places, askers) = (Places::default(), askers());
        let _held: Vec<_> = (1..=MOST as u128).map(|number| take_all(&places, number)).collect();
        let mut place = pin!(askers.place(&places));
        let mut waiting: Vec<_> =
            (1..=MOST as u128).filter_map(|number| askers.wait(tenant(number))).collect();
        assert!(askers.wait(tenant(99)).is_none());
        assert!(!has(place.as_mut()));
        waiting.pop();
        let _last = askers.wait(tenant(99));
        assert!(has(place.as_mut()));
    }

    #[test]
    fn who_gives_up_is_looked_up_for_no_more_where_others_wait() {
        let (places, askers) = (Places::default(), askers());
        let [mut first, second] = [1, 2].map(|number| take_all(&places, number));
        let mut place = pin!(askers.place(&places));
        let gives_up = askers.wait(tenant(1));
        let _stays = askers.wait(tenant(2));
        assert!(!has(place.as_mut()));
        drop(gives_up);
        first.pop();
        assert!(!has(place.as_mut()), "it is not its look-up any more");
        drop(second);
        assert!(has(place.as_mut()));
    }

    #[test]
    fn who_stays_keeps_its_turn_whoever_comes_and_leaves() {
        let (places, askers) = (Places::default(), askers());
        let [mut first, _second] = [1, 2].map(|number| take_all(&places, number));
        let mut place = pin!(askers.place(&places));
        let _stays = askers.wait(tenant(1));
        assert!(!has(place.as_mut()));
        let mut behind = pin!(places.own(tenant(1)));
        assert!(behind.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(askers.wait(tenant(2)));
        assert!(!has(place.as_mut()));
        first.pop();
        assert!(has(place.as_mut()));
    }

    #[test]
    fn the_last_who_gives_up_keeps_its_turn() {
        let (places, askers) = (Places::default(), askers());
        let mut held = take_all(&places, 1);
        let mut place = pin!(askers.place(&places));
        drop(askers.wait(tenant(1)));
        assert!(!has(place.as_mut()));
        held.pop();
        assert!(has(place.as_mut()));
    }

    #[test]
    fn a_look_up_that_waits_for_a_place_of_all_holds_that_of_one_tenant() {
        let (places, askers) = (Places::default(), askers());
        let cx = &mut Context::from_waker(Waker::noop());
        let mut held = Vec::new();
        for own in (100..).map(|number| places.own(tenant(number))) {
            let Poll::Ready(own) = pin!(own).poll(cx) else { panic!("its own place is free") };
            let Poll::Ready(place) = pin!(own.among_all()).poll(cx) else { break };
            held.push(place);
        }
        let [first, second] = [1, 2].map(|number| take_all(&places, number));
        let (most, mut place) = (first.len(), pin!(askers.place(&places)));
        let _waiting = [1, 2].map(|number| askers.wait(tenant(number)));
        assert!(!has(place.as_mut()));
        drop((first, second));
        assert!(!has(place.as_mut()));
        let free = [1, 2].map(|number| take_all(&places, number).len());
        assert_eq!(free, [most - 1, most]);
    }

    #[test]
    fn a_name_is_kept_current_for_those_who_needed_it_last() {
        let (places, askers) = (Places::default(), askers());
        let _held: Vec<_> = (1..=MOST as u128).map(|number| take_all(&places, number)).collect();
        (1..=MOST as u128).for_each(|number| askers.note(tenant(number)));
        let mut place = pin!(askers.place(&places));
        assert!(!has(place.as_mut()));
        askers.note(tenant(99));
        assert!(has(place.as_mut()));
    }
}
