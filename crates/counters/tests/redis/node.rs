//! One node of several, and what it is asked.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tollgate_core::limit::{Calendar, Demand, LevelLimits, Subject};
use tollgate_core::resource::{Counting, LimitDraft, OnUnavailable};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{
    Attempt, Counters, Decision, Keeper, LocalCounters, Moment, StoreSettings, StoreState, TimeSource,
};
use uuid::Uuid;

pub struct Node {
    pub local: Arc<LocalCounters>,
    pub counters: Counters,
    pub keeper: Keeper,
}

impl Node {
    pub async fn start(settings: StoreSettings) -> Self {
        Self::start_by(settings, TimeSource::Server).await
    }

    pub async fn start_by(settings: StoreSettings, time: TimeSource) -> Self {
        let local = Arc::new(LocalCounters::new());
        let (counters, mut keeper) = Keeper::start(settings, Arc::clone(&local), time);
        keeper.first_attempt().await;
        Self { local, counters, keeper }
    }

    pub async fn decide(&self, demands: &[Demand<'_>], cost: u64, now: Moment) -> Decision<'_> {
        match self.counters.decide(demands, cost, now) {
            Attempt::Decided(decision) => decision,
            Attempt::Waiting(undecided) => undecided.wait().await,
        }
    }

    pub async fn admits(&self, demands: &[Demand<'_>]) -> bool {
        self.decide(demands, 1, now()).await.verdict.is_admitted()
    }

    /// How many of so many requests are let through, one after another.
    pub async fn admitted(&self, demand: &Demand<'_>, requests: u64) -> u64 {
        let mut admitted = 0;
        for _ in 0..requests {
            admitted += u64::from(self.admits(std::slice::from_ref(demand)).await);
        }
        admitted
    }

    pub async fn remaining(&self, demand: &Demand<'_>) -> u64 {
        let demands = std::slice::from_ref(demand);
        self.counters.look(demands, now()).await;
        self.counters.inspect(demands, now())[0].remaining
    }

    pub fn state(&self) -> StoreState {
        self.counters.store().unwrap().state()
    }

    pub async fn until(&self, state: StoreState) {
        eventually(|| self.state() == state).await;
    }
}

/// Plays a scene with one subject after another, until no node has lost the store meanwhile; gives the last subject too. Where
/// the machine stands still for longer than the store may take, requests go without it: that is another test's matter.
pub async fn undisturbed<T>(nodes: &[Node], scene: impl AsyncFn(Subject) -> T) -> (Subject, T) {
    let losses = || nodes.iter().map(|node| node.counters.store().unwrap().losses()).collect::<Vec<_>>();
    for number in 1..=20 {
        let before = losses();
        let outcome = scene(subject(number)).await;
        if losses() == before {
            return (subject(number), outcome);
        }
        for node in nodes {
            node.until(StoreState::Up).await;
        }
    }
    panic!("the store is lost every time");
}

pub async fn eventually(mut is_so: impl FnMut() -> bool) {
    eventually_async(async || is_so()).await;
}

pub async fn eventually_async(mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn now() -> Moment {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Moment { wall: UnixMicros(u64::try_from(since_epoch.as_micros()).unwrap()), instant: Instant::now() }
}

pub fn limit(requests: u64, per: &str, algorithm: &str) -> LimitDraft {
    LimitDraft { requests, per: per.into(), algorithm: Some(algorithm.into()), ..LimitDraft::default() }
}

pub fn plan(limits: &[LimitDraft], counting: Counting, on_unavailable: OnUnavailable) -> LevelLimits {
    let limits: Vec<_> = limits.iter().map(|limit| limit.parse().unwrap()).collect();
    LevelLimits::of_plan(&limits, None).counted(counting, on_unavailable)
}

pub fn monthly(requests: u64, counting: Counting) -> LevelLimits {
    plan(&[limit(requests, "month", "fixed_window")], counting, OnUnavailable::Local)
}

pub fn subject(number: u128) -> Subject {
    Subject(Uuid::from_u128(number))
}

pub fn demand(subject: Subject, limits: &LevelLimits) -> Demand<'_> {
    Demand { subject, limits, calendar: Calendar::utc() }
}
