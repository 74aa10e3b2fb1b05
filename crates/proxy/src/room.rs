//! How much the node takes on: so many connections, and so many requests at once. Beyond that, requests are refused
//! before anything is looked up for them, while what the gateway answers itself goes on.
//!
//! Places for requests are one number for all workers, which each takes some of at once, so that the number travels
//! between their cores only now and then. What a worker has in hand is no more than a small share of all.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::worker::Worker;

/// Connections beyond the bound whose requests are still answered, with a refusal: a part of the bound, and these.
const SURPLUS_PART: usize = 8;
const LEAST_SURPLUS: usize = 16;
/// What a worker has in hand at most, and which part of all.
const MOST_IN_HAND: usize = 64;
const HAND_PART: usize = 64;

/// What the workers share.
pub(crate) struct Room {
    /// Places that no worker has.
    free: AtomicUsize,
    /// What a worker keeps in hand.
    hand: usize,
    most_connections: usize,
    connections: AtomicUsize,
    refused: AtomicU64,
}

/// What people see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomReading {
    pub connections: u64,
    /// Requests that were refused for want of room.
    pub refused: u64,
}

/// Places that one worker has in hand.
#[derive(Default)]
pub(crate) struct Hand(Cell<usize>);

/// A request's place, until this is dropped.
pub(crate) struct RequestPlace<'w> {
    worker: &'w Worker,
}

/// A connection's place, until this is dropped.
pub(crate) struct ConnectionPlace {
    worker: Rc<Worker>,
    pub standing: Standing,
}

/// Whether a connection is within the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Within,
    /// Its requests are refused, but for those that the gateway answers itself.
    Surplus,
}

/// For a client beyond the bound, as others may be waiting for its connection.
const SURPLUS_PATIENCE: Duration = Duration::from_secs(1);

impl Standing {
    /// How long the client is waited for, of how long it usually would be.
    pub fn patience(self, usual: Duration) -> Duration {
        match self {
            Self::Within => usual,
            Self::Surplus => usual.min(SURPLUS_PATIENCE),
        }
    }
}

impl Room {
    /// Unlimited where `None`.
    pub fn new(most_requests: Option<usize>, most_connections: Option<usize>, workers: usize) -> Self {
        let most_requests = most_requests.unwrap_or(usize::MAX);
        Self {
            free: AtomicUsize::new(most_requests),
            hand: (most_requests / HAND_PART / workers.max(1)).min(MOST_IN_HAND),
            most_connections: most_connections.unwrap_or(usize::MAX),
            connections: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub fn read(&self) -> RoomReading {
        RoomReading {
            connections: self.connections.load(Ordering::Relaxed) as u64,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    pub fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self, hand: &Hand) -> bool {
        if let Some(left) = hand.0.get().checked_sub(1) {
            hand.0.set(left);
            return true;
        }
        let wanted = self.hand.max(1);
        let taken = |free: usize| (free > 0).then(|| free.saturating_sub(wanted));
        match self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(free) => {
                hand.0.set(free.min(wanted) - 1);
                true
            }
            Err(_) => false,
        }
    }

    fn give_back(&self, hand: &Hand) {
        let held = hand.0.get() + 1;
        // Half of it stays, so that a request more or less does not come here each time.
        let kept = if held > self.hand { self.hand / 2 } else { held };
        if held > kept {
            self.free.fetch_add(held - kept, Ordering::Relaxed);
        }
        hand.0.set(kept);
    }
}

impl<'w> RequestPlace<'w> {
    /// `None` where the node has all the requests that it may.
    pub fn take(worker: &'w Worker) -> Option<Self> {
        worker.gateway.room.take(&worker.hand).then(|| Self { worker })
    }
}

impl Drop for RequestPlace<'_> {
    fn drop(&mut self) {
        self.worker.gateway.room.give_back(&self.worker.hand);
    }
}

impl ConnectionPlace {
    /// `None` where there are so many that this one is not even told so.
    pub fn take(worker: &Rc<Worker>) -> Option<Self> {
        let room = &worker.gateway.room;
        let before = room.connections.fetch_add(1, Ordering::Relaxed);
        let standing = if before < room.most_connections { Standing::Within } else { Standing::Surplus };
        let place = Self { worker: Rc::clone(worker), standing };
        let surplus = before.saturating_sub(room.most_connections);
        (surplus < room.most_connections / SURPLUS_PART + LEAST_SURPLUS).then_some(place)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.worker.gateway.room.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However workers take and give back: never more than there are, and nothing is lost.
    #[test]
    fn there_are_never_more_requests_than_there_may_be() {
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (most, workers) = (random.usize(1..2_000), random.usize(1..5));
            let room = Room::new(Some(most), None, workers);
            let hands: Vec<_> = (0..workers).map(|_| Hand::default()).collect();
            let mut under_way = vec![0; workers];
            // At times more come than go, at times fewer.
            let mut coming = 0.5;
            for event in 0..6_000 {
                if event % 1_000 == 0 {
                    coming = 0.3 + random.f64() * 0.5;
                }
                let worker = random.usize(..workers);
                if random.f64() < coming {
                    if room.take(&hands[worker]) {
                        under_way[worker] += 1;
                    } else {
                        let unused = most - under_way.iter().sum::<usize>();
                        assert!(unused <= room.hand * workers, "{seed}: {unused} places are kept back");
                    }
                } else if under_way[worker] > 0 {
                    under_way[worker] -= 1;
                    room.give_back(&hands[worker]);
                }
                let in_hands: usize = hands.iter().map(|hand| hand.0.get()).sum();
                let free = room.free.load(Ordering::Relaxed);
                assert_eq!(under_way.iter().sum::<usize>() + in_hands + free, most, "{seed}");
                assert!(hands.iter().all(|hand| hand.0.get() <= room.hand), "{seed}");
            }
        }
    }

    #[test]
    fn small_bounds_are_exact() {
        let room = Room::new(Some(4), None, 2);
        let hands = [Hand::default(), Hand::default()];
        assert!(room.take(&hands[0]) && room.take(&hands[1]) && room.take(&hands[0]) && room.take(&hands[0]));
        assert!(!room.take(&hands[1]));
        room.give_back(&hands[0]);
        assert!(room.take(&hands[1]));
    }

    #[test]
    fn without_a_bound_there_is_always_room() {
        let (room, hand) = (Room::new(None, None, 1), Hand::default());
        assert!((0..1_000).all(|_| room.take(&hand)));
    }
}
