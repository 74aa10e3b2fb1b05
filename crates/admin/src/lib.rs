//! The control plane: the REST API under `/api` with its `OpenAPI` document, and everything that changes what the
//! proxy runs.
//!
//! There is one way to change anything, [`edit::Edit`]: rows are written and the next snapshot is compiled
//! inside one transaction; both are in force, or neither is. The API and declarative documents
//! ([`document::Document`]) both go that way.

mod api;
mod clock;
mod connection;
mod control_plane;
pub mod document;
mod edit;
mod feed;
mod jobs;
mod key_sets;
mod monitoring;
mod nodes;
mod on_demand;
mod orders;
mod outbound;
mod password;
mod principal;
mod reports;
mod sealing;
mod serving;
pub mod shape;
mod shares;
mod sighted;
mod sign_ins;
mod throttle;
mod token;
mod traffic;
mod webhooks;

pub use connection::{ClientCertificate, Connection};
pub use control_plane::{ControlPlane, FirstStart, MetricsSource, OpenError, Settings};
pub use document::{Applied, ApplyError, Document, Tally};
pub use jobs::{LastUsed, Lost};
pub use monitoring::{MetricKind, begin_metric, push_metric, serve_metrics};
pub use principal::Principal;
pub use sealing::SealingSecret;
pub use serving::ConnectionLimits;
pub use token::NoRandomness;
pub use traffic::{Checking, LiveTraffic};
pub use webhooks::CrossingSource;
