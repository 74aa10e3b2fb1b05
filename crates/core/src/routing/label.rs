//! A piece of keys between two forks: whole segments, each behind its slash. Its beginning lies in the node, so that most
//! look-ups need nothing else; what is longer lies elsewhere.

pub(super) const INLINE_BYTES: usize = 33;

/// The beginning of a label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    length: u8,
    bytes: [u8; INLINE_BYTES],
}

impl Head {
    /// The label's beginning, and the rest of it.
    pub fn of(label: &[u8]) -> (Self, &[u8]) {
        let (head, tail) = label.split_at(label.len().min(INLINE_BYTES));
        let mut bytes = [0; INLINE_BYTES];
        bytes[..head.len()].copy_from_slice(head);
        (Self { length: u8::try_from(head.len()).unwrap_or(0), bytes }, tail)
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Of a key or a label, without its slash.
pub(super) fn first_segment(key: &[u8]) -> &[u8] {
    let segment = key.get(1..).unwrap_or_default();
    &segment[..memchr::memchr(b'/', segment).unwrap_or(segment.len())]
}

/// How many bytes of whole segments both begin with alike.
pub(super) fn common(label: &[u8], key: &[u8]) -> usize {
    let alike = label.iter().zip(key).take_while(|(own, others)| own == others).count();
    let is_boundary = |text: &[u8], at: usize| text.get(at).is_none_or(|&byte| byte == b'/');
    (0..=alike).rev().find(|&at| is_boundary(label, at) && is_boundary(key, at)).unwrap_or(0)
}
