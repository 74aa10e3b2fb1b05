//! Reading HTTP/1 messages byte by byte, for clients and upstreams alike. It is strict about framing and
//! keeps everything else as it came: order, case and spaces.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// Header fields in their order, names in their case.
pub type Fields = Vec<(String, String)>;

/// The value of the first field of that name, in any case.
pub fn header<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why no more could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The peer closed the connection in an orderly way.
    Closed,
    Reset,
    /// Nothing came for as long as the stream's timeout is.
    TimedOut,
    Malformed(String),
}

/// How a message's body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    /// Until the connection closes.
    Close,
}

/// A start line and fields.
#[derive(Debug, Clone)]
pub struct Head {
    /// Verbatim, with the empty line.
    pub raw: Vec<u8>,
    pub start: String,
    pub fields: Fields,
}

/// A socket and what was read of it beyond the last message.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new() }
    }

    pub fn set_timeout(&self, timeout: Duration) {
        self.stream.set_read_timeout(Some(timeout)).expect("a timeout");
    }

    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Writes until nothing has been taken for a while.
    pub fn write_until_full(&mut self) {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let block = vec![b'x'; 64 * 1_024];
        while self.stream.write(&block).is_ok() {}
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    }

    pub fn shutdown(&self, how: Shutdown) {
        // The peer may have gone already, which is as good.
        let _gone = self.stream.shutdown(how);
    }

    /// Makes the close that follows a reset.
    pub fn reset_on_close(&self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }

    pub fn read_head(&mut self) -> Result<Head, Stopped> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let raw: Vec<u8> = self.buffer.drain(..end).collect();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(field).collect::<Result<_, _>>()?;
        Ok(Head { raw, start, fields })
    }

    /// Reads a body into `body`, which keeps what had come where the rest does not; gives the trailers.
    pub fn read_body(&mut self, framing: Framing, body: &mut Vec<u8>) -> Result<Fields, Stopped> {
        match framing {
            Framing::Length(length) => {
                while body.len() < length {
                    self.read_some(length - body.len(), body)?;
                }
                Ok(Fields::new())
            }
            Framing::Chunked => self.read_chunks(body),
            Framing::Close => loop {
                match self.read_some(usize::MAX, body) {
                    Ok(()) => {}
                    Err(Stopped::Closed) => return Ok(Fields::new()),
                    Err(stopped) => return Err(stopped),
                }
            },
        }
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> Result<Fields, Stopped> {
        while let Some(size) = self.read_chunk_size()? {
            self.read_chunk(size, body)?;
        }
        self.read_trailers()
    }

    /// The size of the next chunk; `None` of the last.
    pub fn read_chunk_size(&mut self) -> Result<Option<usize>, Stopped> {
        let line = self.read_line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .map_err(|_| Stopped::Malformed(format!("chunk size {line:?}")))?;
        Ok((size > 0).then_some(size))
    }

    pub fn read_chunk(&mut self, size: usize, body: &mut Vec<u8>) -> Result<(), Stopped> {
        let end = body.len() + size;
        while body.len() < end {
            self.read_some(end - body.len(), body)?;
        }
        match self.read_line()?.as_str() {
            "" => Ok(()),
            line => Err(Stopped::Malformed(format!("{line:?} after a chunk"))),
        }
    }

    pub fn read_trailers(&mut self) -> Result<Fields, Stopped> {
        let mut trailers = Fields::new();
        loop {
            match self.read_line()?.as_str() {
                "" => return Ok(trailers),
                line => trailers.push(field(line)?),
            }
        }
    }

    /// Appends at most so many bytes, at least one.
    pub fn read_some(&mut self, most: usize, into: &mut Vec<u8>) -> Result<(), Stopped> {
        if self.buffer.is_empty() {
            self.fill()?;
        }
        let count = most.min(self.buffer.len());
        // Not `extend(drain)`: without optimisation, that goes byte by byte.
        into.extend_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        Ok(())
    }

    fn read_line(&mut self) -> Result<String, Stopped> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn fill(&mut self) -> Result<(), Stopped> {
        let mut chunk = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut chunk) {
                Ok(0) => Err(Stopped::Closed),
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    Ok(())
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Stopped::TimedOut),
                    _ => Err(Stopped::Reset),
                },
            };
        }
    }
}

/// RFC 9112 section 6.3, without what depends on the kind of message. `None`: no body is announced.
pub fn announced_framing(fields: &Fields) -> Result<Option<Framing>, Stopped> {
    if let Some(codings) = header(fields, "transfer-encoding") {
        return match codings {
            "chunked" => Ok(Some(Framing::Chunked)),
            _ => Err(Stopped::Malformed(format!("transfer-encoding {codings:?}"))),
        };
    }
    let length = header(fields, "content-length").map(str::parse).transpose();
    length
        .map(|length| length.map(Framing::Length))
        .map_err(|_| Stopped::Malformed("content-length".to_owned()))
}

fn field(line: &str) -> Result<(String, String), Stopped> {
    let (name, value) = line.split_once(':').ok_or_else(|| Stopped::Malformed(format!("field {line:?}")))?;
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
