//! From a request's path to a tenant's service.

mod path;

pub use path::{BadPath, CanonicalPath, ServicePath};
