//! TLS of this process's own listeners, and what it shows of itself to others: files in, what rustls runs on out.
//! All of it can be read again while connections are open: those keep what they began with.

mod client;
mod files;
mod server;

pub use client::ClientTls;
pub use server::ServerTls;
