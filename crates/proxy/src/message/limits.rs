//! The fields that tell a client where it stands.

use std::ops::Range;

use smallvec::SmallVec;
use tollgate_core::time::UnixMicros;

use super::{TimeTexts, push_number};
use crate::admit::Limits;

/// Appends the field lines of the contract for every limit of the caller's own, and `RateLimit-Policy` and
/// `RateLimit` of the IETF draft (draft-ietf-httpapi-ratelimit-headers) for all limits that apply. Nothing where there
/// is no limit.
pub(crate) fn push_limit_lines(out: &mut Vec<u8>, limits: &Limits<'_>, now: UnixMicros, times: &TimeTexts) {
    if limits.is_empty() {
        return;
    }
    let clock_secs = limits.clock(now).secs();
    // Where the numbers stand that are said twice: copying one costs less than making it again.
    let mut said: SmallVec<[Range<usize>; 4]> = SmallVec::new();
    for (slot, (rule, standing)) in limits.callers_own().enumerate() {
        out.extend_from_slice(rule.headers.before_remaining.as_bytes());
        let start = out.len();
        push_number(out, standing.remaining);
        said.push(start..out.len());
        out.extend_from_slice(rule.headers.before_reset.as_bytes());
        out.extend_from_slice(&times.text(slot, standing.reset_secs));
        out.extend_from_slice(b"\r\n");
    }
    push_policies(out, limits);
    for (index, (_, rule, standing)) in limits.rules().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(rule.headers.before_available.as_bytes());
        // The caller's own limits come first in both.
        match said.get(index) {
            Some(number) => out.extend_from_within(number.clone()),
            None => push_number(out, standing.remaining),
        }
        out.extend_from_slice(b";t=");
        // Whoever waits for so long does not come too early.
        push_number(out, standing.reset_secs.saturating_sub(clock_secs).max(1));
    }
    out.extend_from_slice(b"\r\n");
}

/// The line of `RateLimit-Policy`, and the start of that of `RateLimit`.
fn push_policies(out: &mut Vec<u8>, limits: &Limits<'_>) {
    // The usual one is made already.
    if let [only] = limits.demands() {
        out.extend_from_slice(only.limits.policy_line.as_bytes());
        return;
    }
    out.extend_from_slice(b"RateLimit-Policy: ");
    for (index, (_, rule, _)) in limits.rules().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(rule.headers.policy.as_bytes());
    }
    out.extend_from_slice(b"\r\nRateLimit: ");
}
