//! A DNS server that answers what a test says (RFC 1035): addresses of version 4. Those and denials (RFC 2308) have the same
//! time to live.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const TIME_TO_LIVE_SECS: u32 = 1;
const A: u16 = 1;
const NAME_ERROR: u8 = 3;

/// Ends when dropped: nobody answers then.
pub struct DnsServer {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    names: Mutex<HashMap<String, Vec<Ipv4Addr>>>,
    /// Domains of which nothing is said.
    silent: Mutex<Vec<String>>,
    answered: AtomicUsize,
    unanswered: AtomicUsize,
    is_stopping: AtomicBool,
}

impl DnsServer {
    pub fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let (address, state) = (socket.local_addr().expect("an address"), Arc::<State>::default());
        let serving = Arc::clone(&state);
        thread::spawn(move || serving.serve(&socket));
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the name has these addresses.
    pub fn set(&self, name: &str, addresses: &[[u8; 4]]) {
        let addresses = addresses.iter().copied().map(Ipv4Addr::from).collect();
        self.state.names.lock().unwrap().insert(name.to_owned(), addresses);
    }

    /// From now on there is no such name.
    pub fn unset(&self, name: &str) {
        self.state.names.lock().unwrap().remove(name);
    }

    /// From now on no question for a name in this domain is answered.
    pub fn silence(&self, domain: &str) {
        self.state.silent.lock().unwrap().push(format!(".{domain}"));
    }

    /// How many questions were not answered.
    pub fn unanswered(&self) -> usize {
        self.state.unanswered.load(Ordering::SeqCst)
    }

    /// How many questions were answered.
    pub fn answered(&self) -> usize {
        self.state.answered.load(Ordering::SeqCst)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.state.is_stopping.store(true, Ordering::SeqCst);
    }
}

impl State {
    fn serve(&self, socket: &UdpSocket) {
        let mut datagram = [0; 1_024];
        while !self.is_stopping.load(Ordering::SeqCst) {
            let Ok((length, peer)) = socket.recv_from(&mut datagram) else { continue };
            let Some(answer) = self.answer(&datagram[..length]) else {
                self.unanswered.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            let _gone = socket.send_to(&answer, peer);
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Section 4: a header of twelve bytes, the question, the answers; where there are none, for how long that is so. Nothing
    /// where nothing is to be said.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8(query.get(at..at + length)?.to_vec()).ok()?);
            at += length;
        }
        let question = query.get(12..at + 4)?;
        let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
        let name = labels.join(".").to_ascii_lowercase();
        if self.silent.lock().unwrap().iter().any(|domain| name.ends_with(domain)) {
            return None;
        }
        let known = self.names.lock().unwrap().get(&name).cloned();
        let code = if known.is_some() { 0 } else { NAME_ERROR };
        let addresses = known.filter(|_| kind == A).unwrap_or_default();
        let mut answer = query.get(..2)?.to_vec();
        let authorities = u8::from(addresses.is_empty());
        answer.extend([
            0x81,
            0x80 | code,
            0,
            1,
            0,
            u8::try_from(addresses.len()).ok()?,
            0,
            authorities,
            0,
            0,
        ]);
        answer.extend(question);
        if addresses.is_empty() {
            answer.extend(start_of_authority());
        }
        for address in addresses {
            // The name is the question's.
            answer.extend([0xc0, 12, 0, 1, 0, 1]);
            answer.extend(TIME_TO_LIVE_SECS.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }
}

/// Section 3.3.13, of the root.
fn start_of_authority() -> Vec<u8> {
    let mut record = vec![0, 0, 6, 0, 1];
    record.extend(TIME_TO_LIVE_SECS.to_be_bytes());
    // Two names, and five numbers, the last of which is how long a denial is good at most.
    record.extend([0, 22, 0, 0]);
    record.extend([TIME_TO_LIVE_SECS; 5].iter().flat_map(|number| number.to_be_bytes()));
    record
}
