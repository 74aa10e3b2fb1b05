//! Real counter stores: Redis and Valkey, alone, as a cluster, and with sentinels.

mod cluster;
mod ports;
mod sentinels;
mod server;

pub use cluster::StoreCluster;
pub use sentinels::Sentinels;
pub use server::{Security, StoreServer};

/// Which program: they are to be the same to Tollgate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreProgram {
    Redis,
    Valkey,
}

impl StoreProgram {
    const fn server(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
        }
    }

    const fn client(self) -> &'static str {
        match self {
            Self::Redis => "redis-cli",
            Self::Valkey => "valkey-cli",
        }
    }
}
