//! Which services something may be known of: a bit for all that share the end of their ids.
//!
//! Most services never fail. That a request finds here, in a kibibyte which stays in the cache, instead of looking
//! for a service's own state in a map of thousands.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::resource::ServiceId;

const WORDS: usize = 128;

pub(super) struct Known(Box<[AtomicU64; WORDS]>);

impl Known {
    pub fn add(&self, service: ServiceId) {
        let (word, bit) = self.place(service);
        word.fetch_or(bit, Ordering::Release);
    }

    /// `false` is certain.
    pub fn may_contain(&self, service: ServiceId) -> bool {
        let (word, bit) = self.place(service);
        word.load(Ordering::Acquire) & bit != 0
    }

    /// The ends of ids are random.
    fn place(&self, service: ServiceId) -> (&AtomicU64, u64) {
        let [.., high, low] = *service.0.as_bytes();
        let end = usize::from(u16::from_be_bytes([high, low]));
        (&self.0[end / 64 % WORDS], 1 << (end % 64))
    }
}

impl Default for Known {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; WORDS]))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let known = Known::default();
        let service = |number: u128| ServiceId(Uuid::from_u128(number));
        let added = || (0..100).map(|number| service(number * 31));
        assert!(added().all(|service| !known.may_contain(service)));
        added().for_each(|service| known.add(service));
        assert!(added().all(|service| known.may_contain(service)));
        let others = (0..100).filter(|number| known.may_contain(service(number * 31 + 7)));
        assert_eq!(others.count(), 0);
    }
}
