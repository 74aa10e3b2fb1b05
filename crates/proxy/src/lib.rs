//! The data plane. The files are listed in the order in which a request meets them; `exchange` is the whole
//! way on one page.

mod proxy;
mod settings;

mod admit;
mod arrival;
mod authenticate;
mod caller;
mod connection;
mod exchange;
mod forward;
mod forwarded;
mod permit;
mod record;
mod request;
mod reserved;
mod room;
mod route;
mod token;
mod usage;
mod worker;
mod workers;

mod access_log;
mod ask;
mod client;
mod clock;
mod crossings;
mod decisions;
mod failures;
mod gateway;
mod health;
mod identity;
mod key_sets;
mod linger;
mod live;
mod message;
mod names;
mod rejection;
mod session;
mod vital;
mod watchdog;
mod wire;

pub use decisions::DecisionCounts;
pub use forward::{RootsError, roots};
pub use live::{ChangeCounts, CheckCounts, CircuitCounts, EjectionCounts};
pub use proxy::{Proxy, Shared, StartError};
pub use room::RoomReading;
pub use settings::{AccessLog, Limits, Settings, Timeouts};
