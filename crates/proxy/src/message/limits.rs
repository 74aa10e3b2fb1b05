//! The fields that tell a client where it stands.

use tollgate_core::limit::{LimitRule, Standing};
use tollgate_core::time::UnixMicros;

use super::{TimeTexts, push_number};

/// Appends the field lines of the contract for every limit, and `RateLimit-Policy` and `RateLimit` of the IETF
/// draft (draft-ietf-httpapi-ratelimit-headers). Nothing where there is no limit.
pub(crate) fn push_limit_lines<'s>(
    out: &mut Vec<u8>,
    rules: impl Iterator<Item = (&'s LimitRule, Standing)> + Clone,
    policy_line: &str,
    now: UnixMicros,
    times: &TimeTexts,
) {
    if policy_line.is_empty() {
        return;
    }
    for (slot, (rule, standing)) in rules.clone().enumerate() {
        out.extend_from_slice(rule.headers.before_remaining.as_bytes());
        push_number(out, standing.remaining);
        out.extend_from_slice(rule.headers.before_reset.as_bytes());
        out.extend_from_slice(&times.text(slot, standing.reset_secs));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(policy_line.as_bytes());
    for (index, (rule, standing)) in rules.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(rule.headers.before_available.as_bytes());
        push_number(out, standing.remaining);
        out.extend_from_slice(b";t=");
        // At least a second: a limit that is not whole now is not at once either.
        push_number(out, standing.reset_secs.saturating_sub(now.secs_ceil()).max(1));
    }
    out.extend_from_slice(b"\r\n");
}
