//! Ports for programs that take no port 0.

use std::net::TcpListener;

/// A port that nobody listens on. It is below those that connections get by themselves: one that a server has left for
/// a moment must not go to a client of the same test.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(20_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
