//! From a request's host, path, method, fields and query to the one route that it is for.
//!
//! A path is canonical ([`path`]) before anything asks what it means, and two paths are compared in one way
//! everywhere ([`plain`]): by routes, by the rules of services, and by what keys may be used for. A route's hosts
//! ([`host`]), paths ([`template`]) and conditions ([`condition`], [`methods`]) are parsed once, as a request's query
//! ([`query`]) is where a condition asks for it; the paths of one host
//! make a radix trie ([`node`]) that is searched without allocating ([`search`]), and that no new route may make dear to search
//! ([`admission`]); the hosts of all tenants make an index ([`hosts`]). What is done with the path that matched is in [`rewrite`], and which service of several in [`split`].

mod admission;
mod condition;
mod ends;
mod host;
mod hosts;
mod key;
mod label;
mod literals;
mod methods;
mod node;
mod path;
mod plain;
mod query;
mod rewrite;
mod rules;
mod search;
mod split;
mod template;
#[cfg(test)]
mod tests;

pub(crate) use admission::MOST_AT_ONE_PATH;
pub use admission::{Admission, Conflict, Crowd, Crowding};
pub use condition::{BadValue, FieldName, HeaderCondition, QueryCondition, Wanted};
pub use host::{BadHost, HostBuffer, HostPattern, read_host};
pub use hosts::{Hosts, InUse};
pub use key::Key;
pub use methods::{BadMethod, Methods};
pub use node::Trie;
pub use path::{BadPath, CanonicalPath, first_segment};
pub(crate) use plain::plain;
pub use rewrite::{BadRewrite, PathChange, PathRewrite, parse_beginning};
pub use search::{Asked, Captures, Matched, Selection};
pub use split::{BadSticky, Split, Sticky, stable_hash};
pub use template::{BadTemplate, PathTemplate};
