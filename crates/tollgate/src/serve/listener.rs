//! Taking ports, with an error that says what to change.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Setting;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; change {} ({}, {})", .setting.key, .setting.variable(), .setting.flag.unwrap_or("no flag"))]
pub struct ListenError {
    address: SocketAddr,
    setting: &'static Setting,
    reason: String,
}

impl ListenError {
    pub fn new(setting: &'static Setting, address: SocketAddr, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is taken by another program".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            io::ErrorKind::PermissionDenied => "only a privileged user may take this port".to_owned(),
            _ => error.to_string(),
        };
        Self { address, setting, reason }
    }
}

pub async fn bind(setting: &'static Setting, address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|error| ListenError::new(setting, address, &error))
}

/// Finds out whether the port is free for somebody else to take.
pub fn check_free(setting: &'static Setting, address: SocketAddr) -> Result<(), ListenError> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) => Err(ListenError::new(setting, address, &error)),
    }
}
