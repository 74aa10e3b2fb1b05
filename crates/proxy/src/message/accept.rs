//! Which form of an error a client asks for, by its `Accept` (RFC 9110 section 12.5.1).

use tollgate_http1::{FieldId, Fields, list_tokens};

/// Whether it asks for problem details (RFC 9457): they are named, and not less wanted than plain JSON where that is
/// named as well. Ranges with a wildcard ask for neither.
pub(super) fn prefers_problem(fields: &Fields) -> bool {
    let weight_of = |wanted: &[u8]| {
        let ranges = fields.all(FieldId::Accept).flat_map(list_tokens);
        ranges.filter_map(|range| weight(range, wanted)).max()
    };
    match weight_of(b"application/problem+json") {
        None | Some(0) => false,
        Some(problem) => weight_of(b"application/json").is_none_or(|json| problem >= json),
    }
}

/// The weight of a range of this media type, in thousandths; `None` where it is of another one.
fn weight(range: &[u8], wanted: &[u8]) -> Option<u16> {
    let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let quality = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    // What is no weight weighs nothing away.
    Some(quality.and_then(thousandths).unwrap_or(1_000))
}

/// RFC 9110 section 12.4.2: at most three digits behind the point, and no more than one.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, fraction) = match text {
        [whole] => (*whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    let mut value = 0;
    for place in 0..3 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (whole, value) {
        (b'0', value) => Some(value),
        (b'1', 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(lines: &[&str]) -> bool {
        let mut fields = Fields::default();
        for value in lines {
            fields.append(b"Accept", value.as_bytes());
        }
        prefers_problem(&fields)
    }

    #[test]
    fn problem_details_are_for_those_who_name_them() {
        for lines in [
            &["application/problem+json"][..],
            &["text/html, Application/Problem+JSON;q=0.9"],
            &["application/json, application/problem+json"],
            &["application/json;q=0.5", "application/problem+json ; q=0.500"],
            &["application/problem+json;q=often"],
            &["application/json;q=0, application/problem+json;q=0.001"],
        ] {
            assert!(prefers(lines), "{lines:?}");
        }
        for lines in [
            &[][..],
            &["*/*, application/*"],
            &["application/problem+json;q=0"],
            &["application/problem+json;Q=0.000"],
            &["application/json, application/problem+json;q=0.9"],
            &["application/json;q=0.502", "application/problem+json;q=0.501"],
            &["application/problem+jsonp", "problem+json"],
        ] {
            assert!(!prefers(lines), "{lines:?}");
        }
    }

    #[test]
    fn weights_are_what_the_rfc_admits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1_000)),
            ("0.", Some(0)),
            ("1.000", Some(1_000)),
            ("0.5", Some(500)),
            ("0.123", Some(123)),
            ("1.001", None),
            ("0.1234", None),
            ("2", None),
            ("-1", None),
            ("0.x", None),
            ("", None),
        ] {
            assert_eq!(thousandths(text.as_bytes()), expected, "{text}");
        }
    }
}
