//! Whose check begins next, where more are due than may be under way at once.
//!
//! A tenant begins another check only while it has fewer under way than places are free, and a service only while it has fewer
//! than its tenant may still begin: the dynamic thresholds of Choudhury and Hahne (1998). A service that would have all places
//! has a third of those that it finds free, so that there are some for whoever comes next, however long its targets are silent;
//! and where many have taken theirs, the next that is given back is for whoever has the fewest.
//!
//! Invariants:
//! - *Bounded*: no more are under way than there are places.
//! - *Never stuck*: where nothing is under way and something is due, something begins.
//! - *Most overdue first* within a service; its next turn has whoever has the fewest under way, and of these, whoever has
//!   waited longest since its last.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use ahash::RandomState;

use super::Subject;
use crate::resource::{ServiceId, TargetId, TenantId};
use crate::uptime::Uptime;

#[derive(Debug)]
pub(super) struct Turns {
    places: usize,
    taken: usize,
    /// How many have ever begun.
    begun: u64,
    tenants: Line<TenantId, Line<ServiceId, Overdue>>,
}

/// Targets of one service, since when they are due.
type Overdue = BTreeSet<(Uptime, TargetId)>;

/// In the order in which they have their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Rank {
    under_way: usize,
    last_turn: u64,
}

/// Those that have something waiting or under way.
#[derive(Debug)]
struct Line<K, W> {
    members: HashMap<K, Member<W>, RandomState>,
    /// Those that have something waiting.
    order: BTreeSet<(Rank, K)>,
}

#[derive(Debug, Default)]
struct Member<W> {
    rank: Rank,
    waiting: W,
}

trait Waiting: Default {
    fn is_empty(&self) -> bool;
}

impl Turns {
    pub fn new(places: usize) -> Self {
        Self { places, taken: 0, begun: 0, tenants: Line::default() }
    }

    /// It is due since then, and not under way.
    pub fn wait(&mut self, subject: Subject, since: Uptime) {
        self.change(subject, |_, _, overdue| overdue.insert((since, subject.target)));
    }

    /// It waits no longer.
    pub fn leave(&mut self, subject: Subject, since: Uptime) {
        self.change(subject, |_, _, overdue| overdue.remove(&(since, subject.target)));
    }

    /// One that waits is under way from now on, if any may be.
    pub fn begin(&mut self) -> Option<Subject> {
        let (tenant, service) = self.next()?;
        self.taken += 1;
        self.begun += 1;
        let turn = self.begun;
        self.tenants.change(tenant, |rank, services| {
            rank.began(turn);
            services.change(service, |rank, overdue| {
                rank.began(turn);
                let (_, target) = overdue.pop_first()?;
                Some(Subject { tenant, service, target })
            })
        })
    }

    /// One that was under way is not any more.
    pub fn end(&mut self, subject: Subject) {
        self.taken = self.taken.saturating_sub(1);
        self.change(subject, |of_tenant, of_service, _| {
            of_tenant.under_way = of_tenant.under_way.saturating_sub(1);
            of_service.under_way = of_service.under_way.saturating_sub(1);
        });
    }

    fn next(&self) -> Option<(TenantId, ServiceId)> {
        let free = self.places.saturating_sub(self.taken);
        // Whoever comes behind one with as many under way as places are free has as many too. Whom the second bound keeps
        // from it has half as much under way as there are places free. So few are looked at.
        let mut may_begin = self.tenants.order.iter().take_while(|(rank, _)| rank.under_way < free);
        may_begin.find_map(|(rank, tenant)| {
            let left = free - rank.under_way;
            let services = &self.tenants.members.get(tenant)?.waiting;
            let (first, service) = services.order.first()?;
            (first.under_way < left).then_some((*tenant, *service))
        })
    }

    fn change<R>(
        &mut self,
        subject: Subject,
        change: impl FnOnce(&mut Rank, &mut Rank, &mut Overdue) -> R,
    ) -> R {
        self.tenants.change(subject.tenant, |of_tenant, services| {
            services.change(subject.service, |of_service, overdue| change(of_tenant, of_service, overdue))
        })
    }
}

impl Rank {
    const fn began(&mut self, turn: u64) {
        self.under_way += 1;
        self.last_turn = turn;
    }
}

impl<K: Copy + Eq + Hash + Ord, W: Waiting> Line<K, W> {
    /// Keeps the order, and forgets who has nothing waiting or under way any more.
    fn change<R>(&mut self, key: K, change: impl FnOnce(&mut Rank, &mut W) -> R) -> R {
        let mut member = self.members.remove(&key).unwrap_or_default();
        self.order.remove(&(member.rank, key));
        let result = change(&mut member.rank, &mut member.waiting);
        if !member.waiting.is_empty() {
            self.order.insert((member.rank, key));
        }
        if !member.waiting.is_empty() || member.rank.under_way > 0 {
            self.members.insert(key, member);
        }
        result
    }
}

impl<K, W> Default for Line<K, W> {
    fn default() -> Self {
        Self { members: HashMap::default(), order: BTreeSet::new() }
    }
}

impl<K: Ord, W> Waiting for Line<K, W> {
    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl Waiting for Overdue {
    fn is_empty(&self) -> bool {
        BTreeSet::is_empty(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn subject(tenant: u128, service: u128, target: u128) -> Subject {
        Subject {
            tenant: TenantId(Uuid::from_u128(tenant)),
            service: ServiceId(Uuid::from_u128(service)),
            target: TargetId(Uuid::from_u128(target)),
        }
    }

    /// So many of a service's targets wait, the higher the number the longer.
    fn wait(turns: &mut Turns, tenant: u128, service: u128, targets: u64) {
        for target in 0..targets {
            turns.wait(subject(tenant, service, target.into()), Uptime(1_000 - target));
        }
    }

    fn begin_all(turns: &mut Turns) -> Vec<Subject> {
        std::iter::from_fn(|| turns.begin()).collect()
    }

    fn of_tenant(subjects: &[Subject], tenant: u128) -> usize {
        subjects.iter().filter(|subject| subject.tenant.0.as_u128() == tenant).count()
    }

    #[test]
    fn who_is_longest_overdue_is_first() {
        let mut turns = Turns::new(256);
        wait(&mut turns, 1, 1, 40);
        let began: Vec<_> = begin_all(&mut turns).iter().map(|subject| subject.target.0.as_u128()).collect();
        assert_eq!(began, (0..40).rev().collect::<Vec<_>>());
    }

    #[test]
    fn whoever_comes_finds_places_however_much_others_want() {
        let mut turns = Turns::new(256);
        wait(&mut turns, 1, 1, 1_000);
        assert_eq!(
            begin_all(&mut turns).len(),
            86,
            "a service leaves as much to others, and to other tenants"
        );
        wait(&mut turns, 1, 2, 1_000);
        let of_another = begin_all(&mut turns).len();
        assert!(of_another >= 20, "{of_another} of another service");
        for tenant in 2..9 {
            wait(&mut turns, tenant, tenant, 1_000);
            let began = begin_all(&mut turns);
            assert!(of_tenant(&began, tenant) > 0, "tenant {tenant} finds no place");
        }
        assert!(turns.taken <= 256);
    }

    #[test]
    fn places_that_are_given_back_go_round_all_that_wait() {
        // One that has waited for hours, and one that is just due; both have more than they get.
        let mut turns = Turns::new(12);
        wait(&mut turns, 1, 1, 900);
        let mut under_way = begin_all(&mut turns);
        wait(&mut turns, 2, 2, 900);
        under_way.extend(begin_all(&mut turns));
        let mut began = [0_usize; 2];
        for _ in 0..100 {
            turns.end(under_way.remove(0));
            for subject in begin_all(&mut turns) {
                began[usize::from(subject.tenant.0.as_u128() == 2)] += 1;
                under_way.push(subject);
            }
        }
        assert!(began[0].abs_diff(began[1]) <= 4, "{began:?}");
    }

    /// Going through all tenants each time would take minutes.
    #[test]
    fn where_no_place_is_free_nobody_is_looked_at() {
        let mut turns = Turns::new(1);
        for tenant in 0..20_000 {
            wait(&mut turns, tenant, 1, 1);
        }
        assert_eq!(begin_all(&mut turns).len(), 1);
        for _ in 0..100_000 {
            assert_eq!(turns.begin(), None);
        }
    }

    #[test]
    fn who_waits_no_longer_has_no_turn() {
        let mut turns = Turns::new(4);
        turns.wait(subject(1, 1, 1), Uptime(5));
        turns.leave(subject(1, 1, 1), Uptime(5));
        assert_eq!(turns.begin(), None);
        assert!(turns.tenants.members.is_empty());
    }

    proptest! {
        #[test]
        fn no_more_than_all_places_are_taken_and_all_who_wait_have_their_turn(
            places in 1usize..20,
            waiting in prop::collection::btree_set((0u128..5, 0u128..3, 0u128..9, 0u64..9), 0..60),
            ends in prop::collection::vec(0usize..20, 60),
        ) {
            let mut turns = Turns::new(places);
            let all: HashMap<_, _> = waiting
                .iter()
                .map(|&(tenant, service, target, since)| (subject(tenant, tenant * 10 + service, target), since))
                .collect();
            for (&subject, &since) in &all {
                turns.wait(subject, Uptime(since));
            }
            let (mut under_way, mut ended) = (begin_all(&mut turns), 0);
            for end in ends {
                prop_assert!(under_way.len() <= places && turns.taken == under_way.len());
                if under_way.is_empty() {
                    break;
                }
                turns.end(under_way.swap_remove(end % under_way.len()));
                ended += 1;
                under_way.extend(begin_all(&mut turns));
            }
            prop_assert_eq!(ended, all.len());
            prop_assert!(turns.tenants.members.is_empty() && turns.tenants.order.is_empty());
        }
    }
}
