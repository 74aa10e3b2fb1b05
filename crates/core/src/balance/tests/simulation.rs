//! Requests that arrive at random and take their time, event by event, on a clock that is only a number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;

/// Requests under way at each target on average, where all are alike.
const UNDER_WAY: f64 = 4.0;
const MEAN_MICROS: f64 = 10_000.0;
const REQUESTS: u32 = 60_000;

#[derive(Debug, Clone, Copy)]
enum Picking {
    LeastRequests,
    LowestLatency,
    RoundRobin,
    /// Fewest requests under way of all targets, not of two; a tie goes to any.
    FewestOfAll,
    /// Of two, by nothing but the requests under way there.
    FewestOfTwo,
}

/// What requests take.
#[derive(Debug, Clone, Copy)]
enum Work {
    /// Half of it is random.
    Alike,
    /// One in fifty takes fifty times as long as the others.
    Unlike,
    /// All take the same.
    Equal,
    /// A thirtieth of the usual, but one in a hundred waits for a processor.
    Hiccups,
}

impl Work {
    fn micros(self, draws: &mut Draws) -> f64 {
        match self {
            Self::Alike => MEAN_MICROS / 2.0 + exponential(MEAN_MICROS / 2.0, draws),
            Self::Unlike if draws.below(50) == 0 => MEAN_MICROS * 50.0 / 1.98,
            Self::Unlike => MEAN_MICROS / 1.98,
            Self::Equal => MEAN_MICROS,
            Self::Hiccups if draws.below(100) == 0 => MEAN_MICROS / 5.0,
            Self::Hiccups => MEAN_MICROS / 30.0,
        }
    }
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

struct Run {
    /// How many requests each got.
    counts: Vec<u32>,
    /// The latency that one in a hundred requests exceeds, in microseconds.
    p99: u32,
    /// How many requests were under way where the next one went, on average.
    met: f64,
}

fn run(picking: Picking, work: Work, targets: u32, under_way_each: f64, slow: Option<usize>) -> Run {
    let weights: Vec<_> = (0..targets).map(|_| 1).collect();
    run_weighted(picking, work, &weights, f64::from(targets) * under_way_each, slow)
}

fn run_weighted(
    picking: Picking,
    work: Work,
    weights: &[u32],
    under_way_mean: f64,
    slow: Option<usize>,
) -> Run {
    let (shares, loads, mut cursor) = (shares_of(weights), loads(weights.len()), SmoothWeighted::default());
    let mut counts = vec![0; weights.len()];
    let between_arrivals = MEAN_MICROS / under_way_mean;
    let mut draws = Draws::new(20_260_125);
    let mut ends: BinaryHeap<Reverse<(u64, usize, usize)>> = BinaryHeap::new();
    let mut under_way: Vec<Option<(Underway<&Load>, u64)>> = Vec::new();
    let (mut now, mut met, mut latencies) = (0.0, 0.0, Vec::new());
    for request in 0..REQUESTS as usize {
        now += exponential(between_arrivals, &mut draws);
        while let Some(&Reverse((end, place, ended))) = ends.peek()
            && end <= whole(now)
        {
            ends.pop();
            let (_, took) = under_way[ended].take().unwrap();
            let latency = std::time::Duration::from_micros(took);
            loads[place].latency.observe(latency, Uptime(end));
            loads[place].mean_latency.observe(latency, Uptime(end));
            latencies.push(took);
        }
        let (none, load) = (TargetSet::default(), |place: usize| loads.get(place));
        let at = Uptime(whole(now));
        let place = match picking {
            Picking::LeastRequests => least_requests(&shares, none, load, at, &mut draws),
            Picking::LowestLatency => lowest_latency(&shares, none, load, at, &mut draws),
            Picking::RoundRobin => cursor.pick(shares.without(none)),
            Picking::FewestOfAll => {
                (0..loads.len()).min_by_key(|&place| (loads[place].in_flight(), draws.next()))
            }
            Picking::FewestOfTwo => {
                let first = shares.sample(none, &mut draws).unwrap();
                let second = shares.sample(none.with(first), &mut draws).unwrap();
                [first, second].into_iter().min_by_key(|&place| loads[place].in_flight())
            }
        }
        .unwrap();
        counts[place] += 1;
        let slowness = if slow == Some(place) { 10.0 } else { 1.0 };
        let took = whole(slowness * work.micros(&mut draws));
        met += f64::from(loads[place].in_flight());
        under_way.push(Some((Underway::begin(&loads[place]), took)));
        ends.push(Reverse((whole(now) + took, place, request)));
    }
    latencies.sort_unstable();
    let p99 = u32::try_from(latencies[latencies.len() * 99 / 100]).unwrap();
    Run { counts, p99, met: met / f64::from(REQUESTS) }
}

/// How many times longer the slowest percent takes with one target of these ten times slower.
fn growth(picking: Picking, targets: u32, under_way_each: f64) -> f64 {
    let p99 = |slow| f64::from(run(picking, Work::Alike, targets, under_way_each, slow).p99);
    p99(Some(2)) / p99(None)
}

#[test]
fn a_target_ten_times_slower_does_not_double_the_slowest_percent() {
    for picking in [Picking::LeastRequests, Picking::LowestLatency] {
        for under_way_each in [0.5, UNDER_WAY, 16.0] {
            for targets in [3, 6, 10, 20] {
                let growth = growth(picking, targets, under_way_each);
                assert!(growth <= 2.0, "{growth} {picking:?} {targets} targets, {under_way_each} at each");
            }
        }
    }
}

/// Who counts requests gives every target as many under way, so that one ten times slower still ends a tenth of what
/// another does. With ten targets that is more than one request in a hundred, whoever picks, and however many are
/// looked at: that is why `least_requests` looks at how long a target takes as well.
#[test]
fn counting_requests_is_not_enough_with_few_targets_however_many_are_looked_at() {
    for targets in [3, 6, 10] {
        for picking in [Picking::FewestOfTwo, Picking::FewestOfAll] {
            let growth = growth(picking, targets, UNDER_WAY);
            assert!(growth > 2.0, "{picking:?} of {targets}: {growth}");
        }
    }
}

#[test]
fn requests_that_take_unlike_times_go_where_there_are_fewest() {
    for targets in [3, 10] {
        let [by_count, least_requests] = [Picking::FewestOfTwo, Picking::LeastRequests]
            .map(|picking| run(picking, Work::Unlike, targets, UNDER_WAY, None).met);
        assert!((0.98..1.02).contains(&(least_requests / by_count)), "{least_requests} for {by_count}");
    }
}

#[test]
fn round_robin_would_have_doubled_it() {
    let growth = growth(Picking::RoundRobin, 20, UNDER_WAY);
    assert!(growth > 2.0, "{growth}");
}

/// With hardly anything under way there is little to choose by but latencies that differ by chance, and that time has
/// made less of where nobody has looked for long.
#[test]
fn lowest_latency_honours_weights_where_little_is_under_way_and_targets_are_alike() {
    for work in [Work::Equal, Work::Alike, Work::Hiccups] {
        for weights in [[9, 1], [1, 9]] {
            // Two requests a minute, twenty a second, and forty.
            for under_way in [0.000_3, 0.2, 0.4] {
                let run = run_weighted(Picking::LowestLatency, work, &weights, under_way, None);
                assert_within_a_percent(&run.counts, &weights);
            }
        }
    }
}

/// A light target is asked seldom, and what is known of it is old: that makes it no faster.
#[test]
fn least_requests_honours_weights_where_requests_are_few() {
    for work in [Work::Equal, Work::Alike, Work::Hiccups] {
        for weights in [[9, 1], [1, 9]] {
            // Two requests a minute, three, and one a second.
            for under_way in [0.000_3, 0.000_5, 0.01] {
                let run = run_weighted(Picking::LeastRequests, work, &weights, under_way, None);
                assert_within_a_percent(&run.counts, &weights);
            }
        }
    }
}

#[test]
fn lowest_latency_leaves_a_slow_target_alone_however_heavy_it_is() {
    for (weights, slow) in [([1, 1], 0), ([9, 1], 0), ([9, 1], 1)] {
        let run = run_weighted(Picking::LowestLatency, Work::Alike, &weights, 0.2, Some(slow));
        // A heavy one still helps a light one that is busy: a request there counts as many times as it weighs less.
        assert!(run.counts[slow] * 5 < REQUESTS, "{:?} for {weights:?}, {slow} slow", run.counts);
    }
}
