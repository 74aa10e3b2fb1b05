//! How many decisions this process makes in a second, and at how much CPU time each: counted in process, out of slices,
//! and by the store itself.
//!
//!     redis-server --port 6399 --save '' &
//!     cargo run --release -p tollgate-counters --example decisions -- redis://127.0.0.1:6399

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement stops at what it did not expect"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{LocalSet, yield_now};
use tollgate_core::limit::{Calendar, Demand, LevelLimits, Subject};
use tollgate_core::resource::{CounterStoreUrl, Counting, LimitDraft, OnUnavailable};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{Attempt, Counters, Keeper, LocalCounters, Moment, StoreSettings, TimeSource};
use uuid::Uuid;

const WORKERS: u128 = 2;
/// Requests under way at each worker.
const TASKS: u128 = 32;
const SUBJECTS: u128 = 100;
const FOR: Duration = Duration::from_secs(5);

fn main() {
    let url = std::env::args().nth(1).expect("the store's URL, such as redis://127.0.0.1:6399");
    let settings =
        StoreSettings { url: CounterStoreUrl::parse(&url).unwrap(), authorities: None, nodes_file: None };
    let background = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (counters, keeper) = background.block_on(async {
        let (counters, mut keeper) =
            Keeper::start(settings, Arc::new(LocalCounters::new()), TimeSource::Server);
        keeper.first_attempt().await;
        (Arc::new(counters), keeper)
    });
    assert!(counters.store().unwrap().is_up(), "{url} does not answer");
    println!("{WORKERS} workers, {TASKS} requests at once each, {SUBJECTS} subjects of three limits");
    for counting in [Counting::Local, Counting::Leased, Counting::Exact] {
        measure(&counters, counting);
    }
    background.block_on(keeper.close());
}

fn measure(counters: &Arc<Counters>, counting: Counting) {
    let limit = |requests, per: &str| {
        LimitDraft { requests, per: per.into(), ..LimitDraft::default() }.parse().unwrap()
    };
    let limits =
        [limit(1_000_000_000, "minute"), limit(1_000_000_000, "day"), limit(1_000_000_000_000, "month")];
    let limits = Arc::new(LevelLimits::of_plan(&limits, None).counted(counting, OnUnavailable::Deny));
    let decisions = Arc::new(AtomicU64::new(0));
    let (begun, cpu_before) = (Instant::now(), cpu_time());
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (counters, limits, decisions) =
                (Arc::clone(counters), Arc::clone(&limits), Arc::clone(&decisions));
            thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                work(&runtime, &counters, &limits, &decisions, worker, begun + FOR);
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let (count, took, cpu) =
        (decisions.load(Ordering::Relaxed), begun.elapsed(), cpu_time().saturating_sub(cpu_before));
    println!(
        "{:>6}: {:>9.0} decisions/s, {:>7.3} µs of CPU each in this process",
        counting.name(),
        to_f64(count) / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / to_f64(count),
    );
}

fn work(
    runtime: &Runtime,
    counters: &Arc<Counters>,
    limits: &Arc<LevelLimits>,
    decisions: &Arc<AtomicU64>,
    worker: u128,
    until: Instant,
) {
    let tasks = LocalSet::new();
    for task in 0..TASKS {
        let (counters, limits, decisions) = (Arc::clone(counters), Arc::clone(limits), Arc::clone(decisions));
        tasks.spawn_local(async move {
            let mut number = worker * TASKS + task;
            let mut count = 0;
            while Instant::now() < until {
                number = (number + 7) % SUBJECTS;
                let demand = Demand {
                    subject: Subject(Uuid::from_u128(number)),
                    limits: &limits,
                    calendar: Calendar::utc(),
                };
                let decision = match counters.decide(&[demand], 1, now()) {
                    Attempt::Decided(decision) => decision,
                    Attempt::Waiting(undecided) => undecided.wait().await,
                };
                assert!(decision.verdict.is_admitted());
                count += 1;
                if count % 64 == 0 {
                    yield_now().await;
                }
            }
            decisions.fetch_add(count, Ordering::Relaxed);
        });
    }
    runtime.block_on(tasks);
}

fn now() -> Moment {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Moment { wall: UnixMicros(u64::try_from(since_epoch.as_micros()).unwrap()), instant: Instant::now() }
}

/// Of this process, user and system; from the kernel's ticks, of which there are a hundred in a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

#[expect(clippy::cast_precision_loss, reason = "a count in seconds")]
const fn to_f64(count: u64) -> f64 {
    count as f64
}
