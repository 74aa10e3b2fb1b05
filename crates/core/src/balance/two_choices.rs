//! The power of two choices (Mitzenmacher 2001): of two targets at random, the one with less to do. Nearly as good
//! as the best of all, without looking at all, and without every worker running to the same one.
//!
//! Both are drawn in proportion to their shares, and a tie goes to the first: where there is nothing to choose by,
//! requests are spread as the weights say.

use super::{Load, Shares, TargetSet};
use crate::draws::Draws;
use crate::uptime::Uptime;

/// From here on the one that takes so many times as long as the other is not merely busy, but slow.
const SLOW: f64 = 3.0;

/// The one with fewer requests under way, each counted against its share.
///
/// Where one of them is slow, a request there counts as many times as it takes longer. Counting alone keeps as many
/// under way at every target, so that one ten times slower still ends a tenth of what another does: with few targets
/// more than one request in a hundred, and the slowest percent are all its own.
pub fn least_requests<'l>(
    shares: &Shares,
    left_out: TargetSet,
    load: impl Fn(usize) -> Option<&'l Load>,
    now: Uptime,
    draws: &mut Draws,
) -> Option<usize> {
    let mean = |place| load(place)?.mean_latency.micros(now);
    let busy = |place| load(place).map_or(f64::MAX, |load| relative(load.in_flight(), place, shares));
    two_choices(shares, left_out, draws, |first, second| match (mean(first), mean(second)) {
        (Some(one), Some(other)) if one > other * SLOW || other > one * SLOW => {
            other * (busy(second) + 1.0) < one * (busy(first) + 1.0)
        }
        _ => busy(second) < busy(first),
    })
}

/// The one that is expected to answer sooner: its latency, times what it has to do already.
pub fn lowest_latency<'l>(
    shares: &Shares,
    left_out: TargetSet,
    load: impl Fn(usize) -> Option<&'l Load>,
    now: Uptime,
    draws: &mut Draws,
) -> Option<usize> {
    let cost = |place| {
        load(place).map_or(f64::MAX, |load| load.latency.cost(relative(load.in_flight(), place, shares), now))
    };
    two_choices(shares, left_out, draws, |first, second| cost(second) < cost(first))
}

/// What a target has to do, as if its share were the heaviest.
fn relative(in_flight: u32, place: usize, shares: &Shares) -> f64 {
    f64::from(in_flight) * f64::from(shares.heaviest()) / f64::from(shares.of(place).max(1))
}

fn two_choices(
    shares: &Shares,
    left_out: TargetSet,
    draws: &mut Draws,
    prefers_second: impl Fn(usize, usize) -> bool,
) -> Option<usize> {
    let first = shares.sample(left_out, draws)?;
    let Some(second) = shares.sample(left_out.with(first), draws) else { return Some(first) };
    if prefers_second(first, second) { Some(second) } else { Some(first) }
}
