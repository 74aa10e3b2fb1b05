//! The fields that tell a client where it stands.

use tollgate_core::limit::{LimitRule, Standing};
use tollgate_core::time::rfc3339;

/// Gives `append` the contract's fields of every limit, and `RateLimit-Policy` and `RateLimit` of the IETF
/// draft (draft-ietf-httpapi-ratelimit-headers). Nothing where there is no limit.
pub(crate) fn append_limits<'s>(
    rules: impl Iterator<Item = (&'s LimitRule, Standing)>,
    policy: &str,
    now_secs: u64,
    mut append: impl FnMut(&[u8], &[u8]),
) {
    let mut ratelimit = [0u8; 512];
    let mut ratelimit = Text { bytes: &mut ratelimit, length: 0 };
    for (rule, standing) in rules {
        let mut number = itoa::Buffer::new();
        let remaining = number.format(standing.remaining).as_bytes();
        append(rule.headers.limit.as_bytes(), rule.headers.limit_value.as_bytes());
        append(rule.headers.remaining.as_bytes(), remaining);
        append(rule.headers.reset.as_bytes(), &rfc3339(standing.reset_secs));
        ratelimit.push(if ratelimit.length == 0 { b"\"" } else { b", \"" });
        ratelimit.push(rule.name.as_bytes());
        ratelimit.push(b"\";r=");
        ratelimit.push(remaining);
        ratelimit.push(b";t=");
        let secs = standing.reset_secs.saturating_sub(now_secs);
        ratelimit.push(itoa::Buffer::new().format(secs).as_bytes());
    }
    if ratelimit.length > 0 {
        append(b"RateLimit-Policy", policy.as_bytes());
        append(b"RateLimit", &ratelimit.bytes[..ratelimit.length]);
    }
}

/// Text on the stack. A plan has at most 8 limits of at most 60 bytes each; what does not fit is left out.
struct Text<'b> {
    bytes: &'b mut [u8],
    length: usize,
}

impl Text<'_> {
    fn push(&mut self, part: &[u8]) {
        let end = self.length + part.len();
        if let Some(space) = self.bytes.get_mut(self.length..end) {
            space.copy_from_slice(part);
            self.length = end;
        }
    }
}
