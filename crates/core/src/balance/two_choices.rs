//! The power of two choices (Mitzenmacher 2001): of two targets at random, the one with less to do. Nearly as good
//! as the best of all, without looking at all, and without every worker running to the same one.
//!
//! Both are drawn in proportion to their shares, and a tie goes to the first: where there is nothing to choose by,
//! requests are spread as the weights say.

use super::{Load, Shares, TargetSet};
use crate::draws::Draws;
use crate::uptime::Uptime;

/// The one with fewer requests under way, each counted against its share.
pub fn least_requests<'l>(
    shares: &Shares,
    left_out: TargetSet,
    load: impl Fn(usize) -> Option<&'l Load>,
    draws: &mut Draws,
) -> Option<usize> {
    two_choices(shares, left_out, draws, |place| {
        load(place).map_or(f64::MAX, |load| relative(load.in_flight(), place, shares))
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
    two_choices(shares, left_out, draws, |place| {
        load(place).map_or(f64::MAX, |load| load.latency.cost(relative(load.in_flight(), place, shares), now))
    })
}

/// What a target has to do, as if its share were the heaviest.
fn relative(in_flight: u32, place: usize, shares: &Shares) -> f64 {
    f64::from(in_flight) * f64::from(shares.heaviest()) / f64::from(shares.of(place).max(1))
}

fn two_choices(
    shares: &Shares,
    left_out: TargetSet,
    draws: &mut Draws,
    cost: impl Fn(usize) -> f64,
) -> Option<usize> {
    let first = shares.sample(left_out, draws)?;
    let Some(second) = shares.sample(left_out.with(first), draws) else { return Some(first) };
    if cost(second) < cost(first) { Some(second) } else { Some(first) }
}
