//! The one comparison of paths: without percent-encoding, and with one slash for several, because servers take those
//! for the same. Whoever writes `//%6frders` means `/orders` and gets no other route, rule or permission for it.

use smallvec::SmallVec;

/// The bytes that a canonical path stands for.
pub fn plain(path: &str) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (byte, next) = next(path.as_bytes(), at)?;
        at = next;
        Some(byte)
    })
}

/// A canonical path that is read from the front. Places in it are offsets of the path as it came.
pub trait PathText: Copy {
    /// What the segment behind the slash at this place stands for.
    fn segment<R>(self, at: usize, read: impl FnOnce(&[u8]) -> R) -> R;

    /// Where the path goes on behind these bytes, where they stand at this place.
    fn behind(self, at: usize, bytes: &[u8]) -> Option<usize>;

    fn as_bytes<'p>(self) -> &'p [u8]
    where
        Self: 'p;
}

/// A path that is written as plainly as can be: nearly every one.
#[derive(Clone, Copy)]
pub struct Verbatim<'p>(&'p [u8]);

#[derive(Clone, Copy)]
pub struct Encoded<'p>(&'p [u8]);

/// A path by how it has to be read.
pub enum Written<'p> {
    Plainly(Verbatim<'p>),
    Otherwise(Encoded<'p>),
}

impl<'p> Written<'p> {
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without branches, many bytes are looked at in one step"
    )]
    pub fn of(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let behind = bytes.get(1..).unwrap_or_default();
        // A canonical path ends in no percent sign.
        let is_otherwise = bytes
            .iter()
            .zip(behind)
            .fold(false, |found, (&byte, &next)| found | (byte == b'%') | ((byte == b'/') & (next == b'/')));
        if is_otherwise { Self::Otherwise(Encoded(bytes)) } else { Self::Plainly(Verbatim(bytes)) }
    }
}

impl PathText for Verbatim<'_> {
    #[inline]
    fn segment<R>(self, at: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let segment = self.0.get(at + 1..).unwrap_or_default();
        read(&segment[..memchr::memchr(b'/', segment).unwrap_or(segment.len())])
    }

    #[inline]
    fn behind(self, at: usize, bytes: &[u8]) -> Option<usize> {
        let end = at + bytes.len();
        (self.0.get(at..end)? == bytes).then_some(end)
    }

    fn as_bytes<'p>(self) -> &'p [u8]
    where
        Self: 'p,
    {
        self.0
    }
}

impl PathText for Encoded<'_> {
    fn segment<R>(self, at: usize, read: impl FnOnce(&[u8]) -> R) -> R {
        let mut segment = SmallVec::<[u8; 128]>::new();
        let mut place = next(self.0, at).map(|(_, behind)| behind);
        while let Some((byte, behind)) =
            place.and_then(|at| next(self.0, at)).filter(|(byte, _)| *byte != b'/')
        {
            segment.push(byte);
            place = Some(behind);
        }
        read(&segment)
    }

    fn behind(self, at: usize, bytes: &[u8]) -> Option<usize> {
        bytes.iter().try_fold(at, |at, wanted| {
            let (byte, next) = next(self.0, at)?;
            (byte == *wanted).then_some(next)
        })
    }

    fn as_bytes<'p>(self) -> &'p [u8]
    where
        Self: 'p,
    {
        self.0
    }
}

/// The byte at this place, and the place behind it: slashes that follow a slash are passed over.
fn next(path: &[u8], at: usize) -> Option<(u8, usize)> {
    match path.get(at..)? {
        [] => None,
        [b'%', high, low, ..] => Some((digit(*high) << 4 | digit(*low), at + 3)),
        // An encoded slash is no canonical path's.
        [b'/', rest @ ..] => Some((b'/', at + 1 + rest.iter().take_while(|&&byte| byte == b'/').count())),
        [byte, ..] => Some((*byte, at + 1)),
    }
}

/// Of a hexadecimal digit; a canonical path has no other behind a percent sign.
fn digit(text: u8) -> u8 {
    char::from(text).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn behind(path: &str, bytes: &[u8]) -> Option<usize> {
        match Written::of(path) {
            Written::Plainly(text) => text.behind(0, bytes),
            Written::Otherwise(text) => text.behind(0, bytes),
        }
    }

    #[test]
    fn a_path_means_the_same_however_it_is_written() {
        for path in ["/a/b", "//a///b", "/%61/b", "/a//%62"] {
            assert_eq!(plain(path).collect::<Vec<_>>(), b"/a/b", "{path}");
            assert_eq!(behind(path, b"/a/b"), Some(path.len()), "{path}");
            assert_eq!(behind(path, b"/a/c"), None, "{path}");
        }
        assert_eq!(behind("//a//b", b"/a/"), Some(5), "what is captured next begins behind all slashes");
        assert_eq!(behind("/a", b"/ab"), None);
    }

    proptest! {
        #[test]
        fn both_ways_of_reading_agree(path in "/[a-c/]{0,12}", wanted in "/[a-c/]{0,6}") {
            let read = plain(&path).collect::<Vec<_>>();
            let is_plain = matches!(Written::of(&path), Written::Plainly(_));
            prop_assert_eq!(is_plain, read == path.as_bytes());
            prop_assert_eq!(behind(&path, wanted.as_bytes()).is_some(), read.starts_with(wanted.as_bytes()));
        }
    }
}
