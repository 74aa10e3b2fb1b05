//! Bytes to and from sockets: streams, buffers, and bodies on their way between two of them.

mod buffers;
mod pump;
mod stream;
mod tunnel;

pub(crate) use buffers::{Buffers, READ_BYTES, SpareBuffers};
pub(crate) use pump::{Pump, PumpError, Side};
pub(crate) use stream::Stream;
pub(crate) use tunnel::{TunnelEnd, tunnel};
