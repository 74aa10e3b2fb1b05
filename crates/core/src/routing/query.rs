//! The query of a request, as conditions ask for it.

use std::borrow::Cow;

use smallvec::SmallVec;

/// A name, and its value as it was sent.
type Pair<'a> = (Cow<'a, [u8]>, &'a [u8]);

/// Taken apart once for all conditions of a look-up: a query may have thousands of pairs, and a look-up may have to ask for
/// very many of them.
#[derive(Debug)]
pub(super) struct Query<'a> {
    /// By name, and those of one name in the order in which they were sent. The usual query's take no
    /// memory of their own.
    pairs: SmallVec<[Pair<'a>; 16]>,
}

impl<'a> Query<'a> {
    /// `text` is what stands behind the question mark, itself included or not.
    pub fn read(text: &'a [u8]) -> Self {
        let text = text.strip_prefix(b"?").unwrap_or(text);
        let mut pairs: SmallVec<[Pair<'_>; 16]> = text
            .split(|&byte| byte == b'&')
            .map(|pair| {
                let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
                (name(&pair[..equals]), pair.get(equals + 1..).unwrap_or_default())
            })
            .collect();
        // Stable: the first of a name stays the first.
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self { pairs }
    }

    /// The first value of a name, without its encoding.
    pub fn first(&self, name: &[u8]) -> Option<impl Iterator<Item = u8>> {
        let at = self.pairs.partition_point(|(held, _)| **held < *name);
        self.pairs.get(at).filter(|(held, _)| **held == *name).map(|(_, value)| decoded(value))
    }
}

fn name(written: &[u8]) -> Cow<'_, [u8]> {
    match memchr::memchr2(b'%', b'+', written) {
        Some(_) => decoded(written).collect::<Vec<_>>().into(),
        None => written.into(),
    }
}

/// As `application/x-www-form-urlencoded` is read; a percent sign without two digits stands for itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, tail) = match rest {
            [] => return None,
            [b'%', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (value(*high) << 4 | value(*low), tail)
            }
            [b'+', tail @ ..] => (b' ', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        rest = tail;
        Some(byte)
    })
}

fn value(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_first_value_however_it_is_written() {
        let query = Query::read(b"?b=1&a+b=%32&a=3&b=4&%62=5&a%20b=6&%zz&=7&&");
        let first = |name: &str| query.first(name.as_bytes()).map(Iterator::collect::<Vec<u8>>);
        for (name, expected) in [
            ("b", Some("1")),
            ("a b", Some("2")),
            ("a", Some("3")),
            ("%zz", Some("")),
            ("", Some("7")),
            ("c", None),
        ] {
            assert_eq!(first(name), expected.map(|value| value.as_bytes().to_vec()), "{name}");
        }
    }
}
