//! How the fuzzer's bytes are read: a count, that many lengths of pieces, then the stream itself.

pub fn split(input: &[u8]) -> Option<(Vec<usize>, &[u8])> {
    let (&count, rest) = input.split_first()?;
    let (lengths, stream) = rest.split_at_checked(usize::from(count))?;
    Some((lengths.iter().map(|&length| usize::from(length)).collect(), stream))
}
