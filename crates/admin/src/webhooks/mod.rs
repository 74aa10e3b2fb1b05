//! Events and webhooks: what has happened is kept once and for all ([`keep`]), in the words of a [`message`], beside
//! what is to be sent of it. The outbox is sent from the database ([`lanes`]), so that a restart goes on where it was;
//! every receiver has a lane of its own, so that a dead one holds up no other.

mod attempt;
mod keep;
mod lanes;
mod message;
mod post;

pub use keep::{CrossingSource, Untold};
pub use lanes::{Outbox, send};
pub use message::whole;
