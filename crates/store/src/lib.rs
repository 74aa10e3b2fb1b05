//! The only SQL: what operators wrote, who may sign in, and what limits have counted, kept in `SQLite`.
//!
//! [`Store`] opens the database and brings its schema up to date. [`Read`] sees one consistent state;
//! [`Write`] is the one writer at a time, sees what it has written, and leaves nothing behind unless it is
//! committed. [`Store::load`] turns everything into the changes that a snapshot is built from.
//!
//! Rows hold ids of 16 bytes and instants in seconds; a row that does not parse back into the core's types is
//! [`StoreError::Corrupt`], never a guess. The one exception are batches of what limits have counted: a damaged one is passed
//! over and logged, as [`Read::counters`] says why.

mod consumers;
mod counters;
mod deliveries;
mod error;
mod events;
mod feed_log;
mod keys;
mod limits;
mod load;
mod migrations;
mod node_reports;
mod node_tokens;
mod page;
mod plans;
mod platform;
mod routes;
mod row;
mod services;
mod sessions;
mod signing_keys;
mod store;
mod stored;
mod tenants;
mod users;
mod webhooks;

pub use consumers::ConsumerRecord;
pub use deliveries::{Attempt, DeliveryRecord, DeliveryState};
pub use error::{Dependent, OpenError, StoreError, Unique};
pub use events::{EventRecord, Kept};
pub use feed_log::SealedStep;
pub use keys::KeyRecord;
pub use node_reports::Heard;
pub use node_tokens::NodeTokenRecord;
pub use page::{Page, Paged};
pub use routes::RouteRecord;
pub use sessions::SessionRecord;
pub use signing_keys::SealedKey;
pub use store::{Read, Store, Write};
pub use stored::Stored;
pub use users::UserRecord;
pub use webhooks::WebhookRecord;
