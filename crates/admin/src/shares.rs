//! So many at once for each: whoever comes again and again waits behind nobody but itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clones share everything.
#[derive(Debug, Clone)]
pub struct Shares<K> {
    most: u32,
    taken: Arc<Mutex<HashMap<K, u32>>>,
}

/// One of somebody's, until it is dropped.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    shares: Shares<K>,
    whose: K,
}

impl<K> Shares<K> {
    /// `most`: at once, for each.
    pub fn new(most: u32) -> Self {
        Self { most, taken: Arc::default() }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<K, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// `None` where all are taken.
    pub fn take(&self, whose: K) -> Option<Share<K>> {
        let mut taken = self.taken();
        let count = taken.entry(whose.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Share { shares: self.clone(), whose })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.taken();
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_too_much_waits_behind_nobody_but_itself() {
        let shares = Shares::new(3);
        let mut taken: Vec<_> = (0..3).map(|_| shares.take("one").unwrap()).collect();
        assert!(shares.take("one").is_none());
        drop(shares.take("other").unwrap());
        taken.pop();
        drop(shares.take("one").unwrap());
        drop(taken);
        assert!(shares.taken().is_empty());
    }
}
