//! A stream of responses, cut where the fuzzer likes, reads as it does whole.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
#[allow(dead_code)]
mod drive;
mod input;

use libfuzzer_sys::fuzz_target;
use tollgate_http1::{HeadLimits, Method};

/// Low enough for the fuzzer to reach them.
const LIMITS: HeadLimits = HeadLimits { request_line_bytes: 200, head_bytes: 1000, fields: 12 };

fuzz_target!(|input: &[u8]| {
    let Some((lengths, stream)) = input::split(input) else { return };
    for method in [Method::Get, Method::Head, Method::Connect] {
        let whole = drive::responses(method, &[stream], &LIMITS);
        assert_eq!(drive::responses(method, &drive::cut(stream, &lengths), &LIMITS), whole);
        assert_eq!(drive::responses(method, &drive::cut(stream, &vec![1; stream.len()]), &LIMITS), whole);
    }
});
