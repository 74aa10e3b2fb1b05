//! Where the store is, and whose clock limits go by.

use std::path::PathBuf;

use tollgate_core::resource::CounterStoreUrl;

/// A Redis or Valkey that several nodes count in.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub url: CounterStoreUrl,
    /// PEM certificates to verify an encrypted store against, in place of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Where it is kept over a restart how many nodes there are; `None`: nowhere.
    pub nodes_file: Option<PathBuf>,
}

/// Whose clock limits go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeSource {
    /// The server's: the same for all nodes.
    #[default]
    Server,
    /// The one that each call brings: for tests, which do not wait.
    Caller,
}
