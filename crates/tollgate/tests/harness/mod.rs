//! What black-box tests stand on: the real binary as a child process, clients and upstreams over real
//! sockets. Nothing has a fixed port, and whatever a test started ends with it.
//!
//! ```ignore
//! mod harness;
//! use harness::{EchoUpstream, Gateway};
//!
//! let gateway = Gateway::start();
//! let upstream = EchoUpstream::start();
//! let key = gateway.tenant("acme").service("api", &upstream.url()).plan("basic", &[(5, "minute")]).key("basic");
//! let response = gateway.client().get("/acme/api/hello", &[("X-API-Key", &key)]);
//! assert_eq!(response.status, 200);
//! ```

// Each file of tests compiles this for itself, and uses only some of it.
#![allow(dead_code, unused_imports)]
// A harness that cannot go on ends the test; clippy's leave for tests covers test functions alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod black_hole;
mod certificate;
mod child;
mod client;
mod dns;
mod door;
mod echo;
mod fleet;
mod gateway;
mod issuer;
mod load;
mod nginx;
mod nodes;
mod patience;
mod programs;
mod relay;
mod scenes;
mod seed;
mod steps;
mod store;
mod tls_upstream;
mod turns;
mod upstream;
mod wire;

pub use admin::{Admin, Answer};
pub use black_hole::BlackHole;
pub use certificate::Certificate;
pub use child::ChildProcess;
pub use client::{BodyEnd, RawClient, Response};
pub use dns::DnsServer;
pub use echo::{EchoUpstream, Echoed};
pub use fleet::{CLIENTS, Fleet, NODES};
pub use gateway::{Builder, Gateway, Refused, tollgate};
pub use issuer::{AUDIENCE, ISSUER, Issuer};
pub use load::{Load, Tally};
pub use nginx::Nginx;
pub use nodes::{Control, Node};
pub use patience::{PATIENCE, eventually, eventually_some};
pub use programs::{PythonServer, Ran, curl, python};
pub use relay::Relay;
pub use scenes::{exactly, overlaid, post, started, started_limited, started_with};
pub use seed::Tenant;
pub use steps::{Gate, Step};
pub use store::{Security, Sentinels, StoreCluster, StoreProgram, StoreServer};
pub use tls_upstream::TlsUpstream;
pub use turns::{at_the_target_and_waiting, await_channel, edit, one_at_a_time, serving};
pub use upstream::{Exchange, Received, ScriptedUpstream};
pub use wire::{Fields, Stopped, header};
