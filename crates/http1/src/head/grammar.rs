//! The lexical rules of RFC 9110 5.6 and RFC 9112 that more than one part needs.

/// A method or field name: `token` (RFC 9110 5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// A field value as it is stored: visible characters, spaces, tabs and bytes from 0x80, with no
/// white space at either end (RFC 9110 5.5). May be empty.
pub fn is_field_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| is_text_byte(byte)) && trim_blanks(bytes) == bytes
}

/// The elements of a comma-separated list of tokens, such as `Connection`; empty ones are skipped
/// (RFC 9110 5.6.1.2). Not for lists whose elements may be quoted.
pub fn list_tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim_blanks).filter(|token| !token.is_empty())
}

/// Whether a recipient behind CGI, WSGI or PHP takes both field names for the same: there, case and the
/// difference between hyphens and underscores are lost (RFC 3875 section 4.1.18).
pub fn is_same_variable(name: &[u8], other: &[u8]) -> bool {
    let folded = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.iter().zip(other).all(|(&one, &two)| folded(one) == folded(two))
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// What a field value, a reason phrase or a chunk extension may hold (RFC 9110 5.5).
pub(crate) fn is_text_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether a request target holds visible ASCII alone, without a fragment. Wider than RFC 3986 by the
/// characters browsers leave unencoded (`{`, `|` and the like).
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    // Not `all`: without an exit inside the loop, it runs on many bytes at a time.
    let found_refused =
        bytes.iter().fold(0, |found, &byte| found | u8::from(!byte.is_ascii_graphic() || byte == b'#'));
    found_refused == 0
}

const TOKEN_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Takes off optional white space (RFC 9110 5.6.3).
fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
