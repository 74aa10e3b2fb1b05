//! A tenant's services by slug: every request asks for one.
//!
//! The table holds pointers alone, so that its slots stay in the cache where there are ten thousand services; the
//! slug that is compared lies with what else a request needs of the service.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;

use super::Service;
use crate::resource::ServiceSlug;

#[derive(Clone, Default)]
pub(super) struct Services {
    table: HashTable<Arc<Service>>,
    hasher: RandomState,
}

impl Services {
    pub fn get(&self, slug: &str) -> Option<&Service> {
        let hash = self.hasher.hash_one(slug);
        self.table.find(hash, |service| service.slug.as_str() == slug).map(Arc::as_ref)
    }

    /// Puts a service in the place of one that had its slug.
    pub fn insert(&mut self, service: Arc<Service>) {
        self.remove(&service.slug);
        let Self { table, hasher } = self;
        let hash = |service: &Arc<Service>| hasher.hash_one(service.slug.as_str());
        table.insert_unique(hash(&service), service, hash);
    }

    pub fn remove(&mut self, slug: &ServiceSlug) {
        let hash = self.hasher.hash_one(slug.as_str());
        if let Ok(found) = self.table.find_entry(hash, |service| service.slug == *slug) {
            found.remove();
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.table.iter().map(Arc::as_ref)
    }
}
