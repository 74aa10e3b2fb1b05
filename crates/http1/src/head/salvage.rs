//! What can be said of a request that is refused: whoever answers and logs it still wants to know what was asked.

use memchr::memchr2;

use super::limits::HeadLimits;
use super::method::{Method, Version};
use super::request::RequestHead;

/// Leaves in `head` the method of the request that `input` starts with, and its target where that has a valid form. A line
/// that is too long counts up to its limit.
pub(super) fn request_line(input: &[u8], limits: &HeadLimits, head: &mut RequestHead) {
    head.clear();
    let input = &input[..input.len().min(limits.request_line_bytes)];
    let line = &input[..memchr2(b'\r', b'\n', input).unwrap_or(input.len())];
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (Some(method_name), Some(target)) = (words.next(), words.next()) else { return };
    let version = if words.next() == Some(b"HTTP/1.0") { Version::Http10 } else { Version::Http11 };
    if head.set(method_name, target, version).is_err() {
        head.method = Method::of(method_name);
        head.version = version;
    }
}
