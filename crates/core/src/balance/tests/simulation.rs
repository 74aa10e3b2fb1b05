//! Requests that arrive at random and take their time, event by event, on a clock that is only a number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// Requests under way at each target on average, where all are alike.
const UNDER_WAY: f64 = 4.0;
const MEAN_MICROS: f64 = 10_000.0;
const REQUESTS: usize = 60_000;

#[derive(Debug, Clone, Copy)]
enum Picking {
    LeastRequests,
    LowestLatency,
    RoundRobin,
    /// Fewest requests under way of all targets, not of two; a tie goes to any.
    FewestOfAll,
}

/// Exponentially distributed, with this mean.
fn exponential(mean: f64, draws: &mut Draws) -> f64 {
    let uniform = f64::from(u32::try_from(draws.below(1 << 31)).unwrap() + 1) / f64::from(1u32 << 31);
    -uniform.ln() * mean
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(micros: f64) -> u64 {
    micros as u64
}

/// The latency that one in a hundred requests exceeds, in microseconds.
fn p99(picking: Picking, targets: u32, under_way_each: f64, slow: Option<usize>) -> u64 {
    let weights: Vec<_> = (0..targets).map(|_| 1).collect();
    let (shares, loads, mut cursor) = (shares_of(&weights), loads(weights.len()), SmoothWeighted::default());
    let between_arrivals = MEAN_MICROS / (f64::from(targets) * under_way_each);
    let mut draws = Draws::new(20_260_125);
    let mut ends: BinaryHeap<Reverse<(u64, usize, usize)>> = BinaryHeap::new();
    let mut under_way: Vec<Option<(Underway<&Load>, u64)>> = Vec::new();
    let (mut now, mut latencies) = (0.0, Vec::new());
    for request in 0..REQUESTS {
        now += exponential(between_arrivals, &mut draws);
        while let Some(&Reverse((end, place, ended))) = ends.peek()
            && end <= whole(now)
        {
            ends.pop();
            let (_, took) = under_way[ended].take().unwrap();
            loads[place].latency.observe(std::time::Duration::from_micros(took), Uptime(end));
            latencies.push(took);
        }
        let (none, load) = (TargetSet::default(), |place: usize| loads.get(place));
        let place = match picking {
            Picking::LeastRequests => least_requests(&shares, none, load, &mut draws),
            Picking::LowestLatency => lowest_latency(&shares, none, load, Uptime(whole(now)), &mut draws),
            Picking::RoundRobin => cursor.pick(shares.without(none)),
            Picking::FewestOfAll => {
                (0..loads.len()).min_by_key(|&place| (loads[place].in_flight(), draws.next()))
            }
        }
        .unwrap();
        // A base that every request needs, and a tail.
        let mean = if slow == Some(place) { 10.0 * MEAN_MICROS } else { MEAN_MICROS };
        let took = whole(mean / 2.0 + exponential(mean / 2.0, &mut draws));
        under_way.push(Some((Underway::begin(&loads[place]), took)));
        ends.push(Reverse((whole(now) + took, place, request)));
    }
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// How many times longer the slowest percent takes with one target of these ten times slower.
fn growth(picking: Picking, targets: u32, under_way_each: f64) -> f64 {
    let p99 = |slow| u32::try_from(p99(picking, targets, under_way_each, slow)).unwrap();
    f64::from(p99(Some(2))) / f64::from(p99(None))
}

#[test]
fn a_target_ten_times_slower_does_not_double_the_slowest_percent() {
    for under_way_each in [0.5, UNDER_WAY, 16.0] {
        for targets in [3, 6, 10, 20] {
            let growth = growth(Picking::LowestLatency, targets, under_way_each);
            assert!(growth <= 2.0, "{growth} with {targets} targets, {under_way_each} under way at each");
        }
    }
    let growth = growth(Picking::LeastRequests, 20, UNDER_WAY);
    assert!(growth <= 2.0, "{growth}");
}

/// Who counts requests gives every target as many under way, so that one ten times slower still ends a tenth of what
/// another does. With ten targets that is more than one request in a hundred, whoever picks, and however many are
/// looked at: that is why `least_requests` looks at two.
#[test]
fn counting_requests_is_not_enough_with_few_targets_however_many_are_looked_at() {
    for targets in [3, 6, 10] {
        for picking in [Picking::LeastRequests, Picking::FewestOfAll] {
            let growth = growth(picking, targets, UNDER_WAY);
            assert!(growth > 2.0, "{picking:?} of {targets}: {growth}");
        }
    }
}

#[test]
fn round_robin_would_have_doubled_it() {
    let growth = growth(Picking::RoundRobin, 20, UNDER_WAY);
    assert!(growth > 2.0, "{growth}");
}
