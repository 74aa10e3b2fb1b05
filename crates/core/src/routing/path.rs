//! The one path that is routed, authorised and forwarded. Nothing is rewritten and nothing guessed: a path
//! that two servers could read differently is refused.

/// A path in origin form that means the same to every server (RFC 3986 section 3.3, 6.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanonicalPath<'a>(&'a str);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path does not start with a slash")]
    NoSlash,
    #[error("the path has a dot segment")]
    DotSegment,
    #[error("the path has an encoded slash, backslash, dot segment or NUL")]
    EncodedDelimiter,
    #[error("the path has an invalid percent-encoding")]
    BadEncoding,
    #[error("the path has a byte that must be percent-encoded")]
    BadByte,
}

impl<'a> CanonicalPath<'a> {
    /// Checks a path without its query.
    pub fn parse(path: &'a [u8]) -> Result<Self, BadPath> {
        if path.first() != Some(&b'/') {
            return Err(BadPath::NoSlash);
        }
        // Without an exit on the way, many bytes are looked at in one step.
        let is_bad = |byte: u8| matches!(byte, b'\\' | b'?' | b'#' | 0..=b' ' | 0x7f..);
        if path.iter().fold(false, |bad, &byte| bad | is_bad(byte)) {
            return Err(BadPath::BadByte);
        }
        let has_dot_or_percent = path.iter().fold(false, |found, &byte| found | matches!(byte, b'.' | b'%'));
        let text = std::str::from_utf8(path).map_err(|_| BadPath::BadByte)?;
        if has_dot_or_percent {
            for segment in text[1..].split('/') {
                check_segment(segment.as_bytes())?;
            }
        }
        Ok(Self(text))
    }

    pub const fn as_str(&self) -> &'a str {
        self.0
    }
}

/// The first segment of a path, and what follows it: empty or starting with a slash. `None` where there is none.
pub fn first_segment(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    let end = memchr::memchr(b'/', path.as_bytes()).unwrap_or(path.len());
    (end > 0).then(|| path.split_at(end))
}

/// Refuses what decoding would turn into a delimiter, and what any server would take for a dot segment: some
/// cut path parameters off before they resolve dots, so that `..;x` is `..` to them.
fn check_segment(segment: &[u8]) -> Result<(), BadPath> {
    let mut name = Name::Dots { count: 0, any_encoded: false };
    let mut rest = segment;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, is_encoded) = match (byte, tail) {
            (b'%', [high, low, ..]) => (hex(*high)? << 4 | hex(*low)?, true),
            (b'%', [] | [_]) => return Err(BadPath::BadEncoding),
            (byte, _) => (byte, false),
        };
        if is_encoded && matches!(byte, b'/' | b'\\' | 0) {
            return Err(BadPath::EncodedDelimiter);
        }
        name = name.followed_by(byte, is_encoded);
        rest = if is_encoded { &tail[2..] } else { tail };
    }
    match name {
        Name::Dots { count: 1 | 2, any_encoded } | Name::Ended { count: 1 | 2, any_encoded } => {
            Err(if any_encoded { BadPath::EncodedDelimiter } else { BadPath::DotSegment })
        }
        Name::Dots { .. } | Name::Ended { .. } | Name::Other => Ok(()),
    }
}

/// What a segment's name, the part before its parameters, has been so far.
#[derive(Clone, Copy)]
enum Name {
    Dots {
        count: usize,
        any_encoded: bool,
    },
    /// Nothing but dots, and then parameters.
    Ended {
        count: usize,
        any_encoded: bool,
    },
    Other,
}

impl Name {
    const fn followed_by(self, byte: u8, is_encoded: bool) -> Self {
        match (self, byte) {
            (Self::Dots { count, any_encoded }, b'.') => {
                Self::Dots { count: count + 1, any_encoded: any_encoded || is_encoded }
            }
            (Self::Dots { count, any_encoded }, b';') => Self::Ended { count, any_encoded },
            (Self::Ended { .. }, _) => self,
            (Self::Dots { .. } | Self::Other, _) => Self::Other,
        }
    }
}

fn hex(digit: u8) -> Result<u8, BadPath> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BadPath::BadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(path: &str) -> Result<(), BadPath> {
        CanonicalPath::parse(path.as_bytes()).map(|_| ())
    }

    #[test]
    fn plain_paths_pass_untouched() {
        for path in
            ["/", "/a/b", "/a//b/", "/a/...", "/a/..b", "/a/.b;c", "/a/%20/%C3%A9", "/a;b/~u/*@:$&'()+,=!"]
        {
            assert_eq!(CanonicalPath::parse(path.as_bytes()).unwrap().as_str(), path);
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for (path, expected) in [
            ("a", BadPath::NoSlash),
            ("/a/../b", BadPath::DotSegment),
            ("/a/.", BadPath::DotSegment),
            ("/./a", BadPath::DotSegment),
            ("/..", BadPath::DotSegment),
            ("/..;x/a", BadPath::DotSegment),
            ("/a/.;/b", BadPath::DotSegment),
            ("/%2e%2E/a", BadPath::EncodedDelimiter),
            ("/.%2e/a", BadPath::EncodedDelimiter),
            ("/%2e%3bx/a", BadPath::EncodedDelimiter),
            ("/a%2fb", BadPath::EncodedDelimiter),
            ("/a%2Fb", BadPath::EncodedDelimiter),
            ("/a%5cb", BadPath::EncodedDelimiter),
            ("/a%00", BadPath::EncodedDelimiter),
            ("/a%", BadPath::BadEncoding),
            ("/a%4", BadPath::BadEncoding),
            ("/a%zz", BadPath::BadEncoding),
            ("/a%+1", BadPath::BadEncoding),
            ("/a\\b", BadPath::BadByte),
            ("/a b", BadPath::BadByte),
            ("/\u{e9}", BadPath::BadByte),
        ] {
            assert_eq!(parse(path), Err(expected), "{path}");
        }
    }

    #[test]
    fn a_first_segment_is_not_empty() {
        assert_eq!(first_segment("/t"), Some(("t", "")));
        assert_eq!(first_segment("/t/"), Some(("t", "/")));
        assert_eq!(first_segment("/t/s/a//b"), Some(("t", "/s/a//b")));
        for path in ["", "/", "//s", "t"] {
            assert_eq!(first_segment(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_has_no_dot_segment_after_decoding(path in "/[a./%;25eEfF3bB]{0,12}") {
            if CanonicalPath::parse(path.as_bytes()).is_ok() {
                let mut decoded = path.clone();
                for (from, to) in [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%3b", ";"), ("%3B", ";")] {
                    decoded = decoded.replace(from, to);
                }
                for segment in decoded.split('/') {
                    let name = segment.split(';').next().unwrap_or("");
                    prop_assert!(name != "." && name != "..", "{}", path);
                }
            }
        }
    }
}
