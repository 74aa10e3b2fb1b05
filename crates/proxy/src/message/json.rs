//! The little JSON that is written on the hot path.

/// Appends `text` as a JSON string (RFC 8259 section 7). Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    // Without an exit on the way, many bytes are looked at in one step.
    if text.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
        out.extend_from_slice(text);
    } else {
        for character in String::from_utf8_lossy(text).chars() {
            push_escaped(out, character);
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        control if control.is_control() => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
        }
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends, behind a key and its colon, a string that needs no escaping (a slug, an id, an address), or `null`.
#[inline]
pub(crate) fn push_plain(out: &mut Vec<u8>, key: &'static [u8], value: Option<impl AsRef<[u8]>>) {
    out.extend_from_slice(key);
    match value {
        Some(value) => {
            out.push(b'"');
            out.extend_from_slice(value.as_ref());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        push_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json(b"/plain path"), "\"/plain path\"");
        assert_eq!(json(b"a\"b\\c\n\x01"), r#""a\"b\\c\n\u0001""#);
        assert_eq!(json("é".as_bytes()), "\"é\"");
        assert_eq!(json(b"\xff"), "\"\u{fffd}\"");
    }
}
