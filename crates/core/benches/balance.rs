//! One pick of each balancer, among few and many targets.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate_core::balance::{
    Load, Rendezvous, Shares, SmoothWeighted, TargetSet, Underway, hash_key, least_requests, lowest_latency,
};
use tollgate_core::draws::Draws;
use tollgate_core::resource::TargetId;
use tollgate_core::uptime::Uptime;
use uuid::Uuid;

const NONE: TargetSet = TargetSet::NONE;

fn picks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for targets in [2u32, 10, 100] {
        let shares = Shares::new((0..targets).map(|_| Shares::WHOLE));
        let loads: Vec<Load> = (0..targets).map(|_| Load::default()).collect();
        for load in &loads {
            load.latency.observe(Duration::from_millis(3), Uptime(0));
            load.mean_latency.observe(Duration::from_millis(3), Uptime(0));
        }
        let _under_way: Vec<_> = loads.iter().map(Underway::begin).collect();
        let load = |place: usize| loads.get(place);
        let mut random = Draws::new(1);
        let mut cursor = SmoothWeighted::default();
        group.bench_function(BenchmarkId::new("round_robin", targets), |bench| {
            bench.iter(|| cursor.pick(shares.without(NONE)));
        });
        group.bench_function(BenchmarkId::new("least_requests", targets), |bench| {
            bench.iter(|| least_requests(&shares, NONE, load, Uptime(1_000), &mut random));
        });
        group.bench_function(BenchmarkId::new("lowest_latency", targets), |bench| {
            bench.iter(|| lowest_latency(&shares, NONE, load, Uptime(1_000), &mut random));
        });
        let ids: Vec<_> = (0..targets).map(|number| (TargetId(Uuid::from_u128(number.into())), 1)).collect();
        let rendezvous = Rendezvous::new(&ids);
        group.bench_function(BenchmarkId::new("hash", targets), |bench| {
            let in_flight = |place: usize| loads[place].in_flight();
            bench.iter(|| rendezvous.pick(hash_key(black_box(b"client-42")), &shares, NONE, in_flight, 125));
        });
    }
    group.finish();
}

criterion_group!(benches, picks);
criterion_main!(benches);
