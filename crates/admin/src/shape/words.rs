//! serde's words for a value of another type than it should have, as people say them.

use std::borrow::Cow;

/// `must be a whole number, not 1.5` for ``invalid type: floating point `1.5`, expected u16``. What is said of other mistakes
/// stays as it is.
pub fn in_words(message: &str) -> Cow<'_, str> {
    let types = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    match types.and_then(|types| types.rsplit_once(", expected ")) {
        Some((found, wanted)) => {
            format!("must be {}, not {}", wanted_in_words(wanted, found), found_in_words(found, wanted))
                .into()
        }
        None => message.into(),
    }
}

fn wanted_in_words<'w>(wanted: &'w str, found: &str) -> &'w str {
    // What a type holds is not what a field may be, so its bounds are not told.
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "i32" | "i64" => match found.strip_prefix("integer `") {
            None => "a whole number",
            Some(number) if !number.starts_with('-') => "a smaller whole number",
            Some(_) if wanted.starts_with('u') => "a whole number that is not negative",
            Some(_) => "a greater whole number",
        },
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        others => others,
    }
}

fn found_in_words<'f>(found: &'f str, wanted: &str) -> &'f str {
    match found {
        "sequence" => "a list",
        "map" => "an object",
        "unit value" => "null",
        // Where a whole list or object should be, a text may well be one of its secrets.
        text if text.starts_with("string ") && matches!(wanted, "a sequence" | "a map") => "a text",
        others => ["integer ", "floating point ", "boolean ", "string "]
            .iter()
            .find_map(|kind| others.strip_prefix(kind))
            .map_or(others, |value| value.trim_matches('`')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_of_the_code_is_named() {
        for (said, meant) in [
            (
                "invalid value: integer `-1`, expected u64",
                "must be a whole number that is not negative, not -1",
            ),
            (
                "invalid value: integer `4294967296`, expected u32",
                "must be a smaller whole number, not 4294967296",
            ),
            (
                "invalid value: integer `-2147483649`, expected i32",
                "must be a greater whole number, not -2147483649",
            ),
            ("invalid type: floating point `1.5`, expected u16", "must be a whole number, not 1.5"),
            ("invalid type: string \"1\", expected u16", "must be a whole number, not \"1\""),
            ("invalid type: string \"s3cret\", expected a sequence", "must be a list, not a text"),
            ("invalid type: string \"s3cret\", expected a map", "must be an object, not a text"),
            (
                r#"invalid type: string "a, expected b", expected a boolean"#,
                r#"must be true or false, not "a, expected b""#,
            ),
            ("invalid type: sequence, expected an object", "must be an object, not a list"),
            ("invalid type: map, expected a sequence", "must be a list, not an object"),
            ("invalid type: null, expected a string", "must be a string, not null"),
            ("invalid type: unit value, expected a string", "must be a string, not null"),
            ("unknown variant `a`, expected `b` or `c`", "unknown variant `a`, expected `b` or `c`"),
            ("must be 1 to 3", "must be 1 to 3"),
        ] {
            assert_eq!(in_words(said), meant);
        }
    }
}
