//! A way to a server on which answers get lost when a test says so: what the server did stays done, and whoever asked
//! learns nothing of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// Ends when dropped, with all that goes over it.
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    server: SocketAddr,
    /// Only answers to requests that begin like this get lost.
    request: &'static [u8],
    to_lose: AtomicUsize,
    lost: AtomicUsize,
    is_stopping: AtomicBool,
}

impl Relay {
    pub fn to(server: SocketAddr, request: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            server,
            request: request.as_bytes(),
            to_lose: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.is_stopping.load(Ordering::SeqCst) {
                    return;
                }
                // A server that is not there is one that closes at once.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(accepting.server)) {
                    accepting.carry(client, server);
                }
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next so many answers get lost, and their connections with them.
    pub fn lose(&self, answers: usize) {
        self.state.to_lose.store(answers, Ordering::SeqCst);
    }

    /// How many were lost.
    pub fn lost(&self) -> usize {
        self.state.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _refused = TcpStream::connect(self.address);
    }
}

impl State {
    fn carry(self: &Arc<Self>, client: TcpStream, server: TcpStream) {
        let is_asked = Arc::new(AtomicBool::new(false));
        let (mut from_client, mut to_server) =
            (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
        let (state, asked) = (Arc::clone(self), Arc::clone(&is_asked));
        thread::spawn(move || {
            pass(&mut from_client, &mut to_server, |bytes| {
                if bytes.starts_with(state.request) {
                    asked.store(true, Ordering::SeqCst);
                }
                true
            });
        });
        let (state, mut from_server, mut to_client) = (Arc::clone(self), server, client);
        thread::spawn(move || {
            pass(&mut from_server, &mut to_client, |_| {
                let is_answer = is_asked.swap(false, Ordering::SeqCst);
                let is_lost = is_answer
                    && state
                        .to_lose
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok();
                if is_lost {
                    state.lost.fetch_add(1, Ordering::SeqCst);
                }
                !is_lost
            });
        });
    }
}

/// Until one of the two has closed, or `may_pass` says no.
fn pass(from: &mut TcpStream, to: &mut TcpStream, mut may_pass: impl FnMut(&[u8]) -> bool) {
    let mut bytes = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let bytes = &bytes[..length];
        if !may_pass(bytes) || to.write_all(bytes).is_err() {
            break;
        }
    }
    for side in [from, to] {
        let _gone = side.shutdown(Shutdown::Both);
    }
}
