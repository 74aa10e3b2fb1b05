//! Clients that send requests steadily, and what they see, second by second.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::KEY;
use crate::bench::client::Connection;

const CLIENTS: usize = 8;
/// Between two requests of a client.
const PACE: Duration = Duration::from_millis(20);
/// About a tenth of what the clients ask where they are answered.
const FEWEST_ANSWERS: u64 = 900;

pub struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    second: Mutex<Second>,
}

#[derive(Default)]
struct Second {
    latencies: Vec<Duration>,
    lost: Vec<String>,
    what: String,
    all_answered: u64,
    all_lost: u64,
}

impl Clients {
    pub fn start(address: SocketAddr) -> Self {
        let shared = Arc::<Shared>::default();
        let client = |number: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send_requests(address, number))
        };
        let mut threads: Vec<_> = (0..CLIENTS).map(client).collect();
        let printing = Arc::clone(&shared);
        threads.push(thread::spawn(move || printing.print_seconds()));
        Self { shared, threads }
    }

    /// What happens now.
    pub fn note(&self, what: &str) {
        what.clone_into(&mut self.shared.second().what);
    }

    /// How many requests were lost, the last of all included: those that take longest. An error where too little was asked
    /// to tell.
    pub fn end(self) -> Result<u64> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // A panic there was printed.
        let panicked = self.threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        if panicked > 0 {
            bail!("{panicked} clients panicked");
        }
        let mut second = self.shared.second();
        second.add_up();
        if second.all_answered < FEWEST_ANSWERS {
            bail!("no more than {} requests were answered, which shows nothing", second.all_answered);
        }
        Ok(second.all_lost)
    }
}

impl Shared {
    fn second(&self) -> std::sync::MutexGuard<'_, Second> {
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn send_requests(&self, address: SocketAddr, client: usize) {
        let mut connection = None;
        let mut number = 0;
        while !self.is_over() {
            let began = Instant::now();
            number += 1;
            let seen = request(&mut connection, address, client * 1_000 + number % 100);
            let took = began.elapsed();
            let mut second = self.second();
            match seen {
                Ok(200) => second.latencies.push(took),
                Ok(status) => second.lost.push(format!("status {status}")),
                Err(error) => {
                    connection = None;
                    second.lost.push(format!("{error:#}"));
                }
            }
            drop(second);
            thread::sleep(PACE.saturating_sub(took));
        }
    }

    fn print_seconds(&self) {
        for second in 1.. {
            thread::sleep(Duration::from_secs(1));
            self.second().print(second);
            if self.is_over() {
                return;
            }
        }
    }
}

impl Second {
    fn print(&mut self, number: u32) {
        self.latencies.sort_unstable();
        let millis = |latency: Option<&Duration>| latency.map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
        let median = millis(self.latencies.get(self.latencies.len() / 2));
        let slowest = millis(self.latencies.last());
        let requests = self.latencies.len() + self.lost.len();
        println!(
            "  {number:>6}  {:<16} {requests:>7} {:>7} {median:>6.1} ms {slowest:>6.1} ms",
            self.what,
            self.lost.len()
        );
        for why in self.lost.iter().take(3) {
            println!("          lost: {why}");
        }
        self.add_up();
    }

    /// To what was seen before.
    fn add_up(&mut self) {
        self.all_answered += self.latencies.len() as u64;
        self.all_lost += self.lost.len() as u64;
        self.latencies.clear();
        self.lost.clear();
    }
}

/// The status of the answer, whose body is whole.
fn request(connection: &mut Option<Connection>, address: SocketAddr, client: usize) -> Result<u16> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(Connection::open(address)?),
    };
    connection.exchange(
        format!(
            "GET /chaos/api/get HTTP/1.1\r\nHost: chaos.test\r\nX-API-Key: {KEY}\r\nX-Client: {client}\r\n\r\n"
        )
        .as_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients that have been answered so often, with one that does this at the end.
    fn answered(times: u64, last: impl FnOnce(&Shared) + Send + 'static) -> Clients {
        let shared = Arc::<Shared>::default();
        shared.second().all_answered = times;
        let client = Arc::clone(&shared);
        let threads = vec![thread::spawn(move || last(&client))];
        Clients { shared, threads }
    }

    #[test]
    fn what_is_lost_after_the_last_second_was_printed_is_lost() {
        let lose = |shared: &Shared| shared.second().lost.push("timed out".into());
        assert_eq!(answered(FEWEST_ANSWERS, lose).end().unwrap(), 1);
        assert_eq!(answered(FEWEST_ANSWERS, |_| ()).end().unwrap(), 0);
    }

    #[test]
    fn a_run_that_shows_nothing_has_not_passed() {
        assert!(answered(FEWEST_ANSWERS - 1, |_| ()).end().is_err());
        assert!(answered(FEWEST_ANSWERS, |_| panic!("as a client may")).end().is_err());
    }
}
