//! What travels from the control plane to the nodes: resources, as the changes that lead to them.
//!
//! The feed is a run of frames ([`frame`]). `Full` says that everything follows; `Changes` carry it; `Commit`
//! says that what has come is now a whole, at a [`Position`]. From then on every change is its own `Changes` and
//! `Commit`. A node keeps the same frames on its disk. An [`Order`] is no resource: it is for whoever listens when it is given,
//! and is kept nowhere. [`Assembly`] turns frames into snapshots.
//!
//! Changes are encoded by postcard: a key is some 130 bytes, a third of its JSON, and neither side spends its
//! time on hexadecimal. Postcard says nothing of the shape of what it encodes, so the shape has a number,
//! [`FORMAT`], and both sides refuse a number that is not theirs.

mod assembly;
mod frame;
mod order;
mod position;

pub use assembly::{Assembly, Committed, CommittedAs, Misfit};
pub use frame::{BadFrame, Frame, FrameLength, HEADER_BYTES, decode, frame_length, push_changes, push_frame};
pub use order::{Order, OrderId, Ordered};
pub use position::{BadNodeName, Epoch, NodeName, Position};

/// The shape of frames and of the resources in them. Whatever changes the bytes of a resource raises it.
pub const FORMAT: u32 = 6;

#[cfg(test)]
mod tests;
