//! The line in front of each chunk: its size and extensions (RFC 9112 7.1).

use super::decoder::BodyError;
use super::framing::MOST_BYTES;
use crate::head::grammar::is_text_byte;

/// A chunk line being read. Sizes have 1 to 16 hexadecimal digits and nothing around them: no sign,
/// no `0x`, no white space, which RFC 9112 7.1.1 tolerates before an extension but senders don't use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkLine {
    size: u64,
    digits: u8,
    extension_bytes: usize,
    part: Part,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Size,
    Extension,
    LineFeed,
}

/// A line read to its end.
pub(super) struct ChunkSize {
    /// Bytes of payload that follow; 0 for the last chunk.
    pub(super) payload_bytes: u64,
    /// Bytes of extensions, counted against the message's allowance.
    pub(super) extension_bytes: usize,
}

/// Extensions are ignored, so they may not cost much: bytes from `;` to the line's end.
const MAX_EXTENSION_BYTES: usize = 1024;

/// As many as a `u64` holds.
const MAX_DIGITS: u8 = 16;

impl ChunkLine {
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<ChunkSize>, BodyError> {
        match self.part {
            Part::Size => self.push_to_size(byte)?,
            Part::Extension => self.push_to_extension(byte)?,
            Part::LineFeed if byte == b'\n' => {
                return Ok(Some(ChunkSize {
                    payload_bytes: self.size,
                    extension_bytes: self.extension_bytes,
                }));
            }
            Part::LineFeed => return Err(BodyError::Malformed("end of a chunk line")),
        }
        Ok(None)
    }

    fn push_to_size(&mut self, byte: u8) -> Result<(), BodyError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if self.digits > 0 => {
                self.part = Part::LineFeed;
                return Ok(());
            }
            b';' if self.digits > 0 => {
                self.part = Part::Extension;
                self.extension_bytes = 1;
                return Ok(());
            }
            _ => return Err(BodyError::Malformed("chunk size")),
        };
        if self.digits == MAX_DIGITS {
            return Err(BodyError::Malformed("chunk size has too many digits"));
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        if self.size > MOST_BYTES {
            return Err(BodyError::Malformed("chunk size is too large"));
        }
        Ok(())
    }

    fn push_to_extension(&mut self, byte: u8) -> Result<(), BodyError> {
        if byte == b'\r' {
            self.part = Part::LineFeed;
            return Ok(());
        }
        if !is_text_byte(byte) {
            return Err(BodyError::Malformed("chunk extension"));
        }
        self.extension_bytes += 1;
        if self.extension_bytes > MAX_EXTENSION_BYTES {
            return Err(BodyError::ExtensionsTooLong);
        }
        Ok(())
    }
}
