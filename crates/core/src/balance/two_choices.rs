//! The power of two choices (Mitzenmacher 2001): of two targets at random, the one with less to do. Nearly as good
//! as the best of all, without looking at all, and without every worker running to the same one.
//!
//! Both are drawn in proportion to their shares, and a tie goes to the first: where there is nothing to choose by,
//! requests are spread as the weights say.

use super::latency::Expected;
use super::{Load, Shares, TargetSet};
use crate::draws::Draws;
use crate::uptime::Uptime;

/// The one with fewer requests under way, each counted against its share.
///
/// Where one of them is slow, a request there counts as many times as it takes longer. Counting alone keeps as many
/// under way at every target, so that one ten times slower still ends a tenth of what another does: with few targets
/// more than one request in a hundred, and the slowest percent are all its own. Who was not asked for long is not fast
/// by that: where requests are few it would have every second one, however light it is.
pub fn least_requests<'l>(
    shares: &Shares,
    left_out: TargetSet,
    load: impl Fn(usize) -> Option<&'l Load>,
    now: Uptime,
    draws: &mut Draws,
) -> Option<usize> {
    let expected = |place| load(place)?.mean_latency.expected(now);
    let busy = |place| load(place).map_or(f64::MAX, |load| relative(load.in_flight(), place, shares));
    two_choices(shares, left_out, draws, |first, second| {
        let by_latency = expected(first).zip(expected(second)).and_then(|(one, other)| {
            prefers_second_where_one_is_slow((one, busy(first)), (other, busy(second)))
        });
        by_latency.unwrap_or(busy(second) < busy(first))
    })
}

/// The one that is expected to answer sooner: its latency, times what it has to do.
///
/// Unless one of them is slow, latencies alone decide nothing: those of targets that are alike differ by chance, and by
/// how often each was looked at, so the weights decide. The first is then left only where the second has less to do for
/// its share both before and after it takes the request. Before it alone, a light target that does nothing would go
/// before a heavy one that does hardly anything; after it alone, light ones would never have their turn.
pub fn lowest_latency<'l>(
    shares: &Shares,
    left_out: TargetSet,
    load: impl Fn(usize) -> Option<&'l Load>,
    now: Uptime,
    draws: &mut Draws,
) -> Option<usize> {
    let expected = |place| load(place)?.latency.expected(now);
    let in_flight = |place| load(place).map_or(u32::MAX, Load::in_flight);
    let busy = |place| relative(in_flight(place), place, shares);
    let busy_with_it = |place| relative(in_flight(place).saturating_add(1), place, shares);
    two_choices(shares, left_out, draws, |first, second| match (expected(first), expected(second)) {
        (Some(one), Some(other)) => {
            prefers_second_where_one_is_slow((one, busy(first)), (other, busy(second))).unwrap_or_else(|| {
                other.observed * busy(second) < one.observed * busy(first)
                    && other.observed * busy_with_it(second) < one.observed * busy_with_it(first)
            })
        }
        // Who has not answered yet goes first, but with one request at a time.
        (None, Some(_)) => in_flight(first) > 0,
        (Some(_), None) => in_flight(second) == 0,
        (None, None) => busy(second) < busy(first),
    })
}

/// Of two targets with what each has to do: a request counts as many times as it takes longer. Nothing where neither is
/// slow beside the other.
fn prefers_second_where_one_is_slow(first: (Expected, f64), second: (Expected, f64)) -> Option<bool> {
    let ((one, busy_one), (other, busy_other)) = (first, second);
    let (one, other) = if one.is_slow_beside(other) {
        (one.forgiven, other.observed)
    } else if other.is_slow_beside(one) {
        (one.observed, other.forgiven)
    } else {
        return None;
    };
    Some(other * (busy_other + 1.0) < one * (busy_one + 1.0))
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
