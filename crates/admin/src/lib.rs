//! The control plane: the REST API under `/api` with its `OpenAPI` document, and everything that changes what the
//! proxy runs.
//!
//! There is one way to change anything, [`edit::Edit`]: rows are written and the next snapshot is compiled
//! inside one transaction; both are in force, or neither is. The API and declarative documents
//! ([`document::Document`]) both go that way.

mod api;
mod clock;
mod control_plane;
pub mod document;
mod edit;
mod feed;
mod jobs;
mod nodes;
mod password;
mod principal;
mod sealing;
mod throttle;
mod token;
mod webhooks;

pub use control_plane::{ControlPlane, FirstStart, OpenError, Settings};
pub use document::{Applied, ApplyError, Document, Tally};
pub use jobs::LastUsed;
pub use principal::Principal;
pub use sealing::SealingSecret;
pub use token::NoRandomness;
pub use webhooks::CrossingSource;
