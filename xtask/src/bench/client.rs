//! A small HTTP/1.1 client on std sockets: the benchmark needs to see when each byte comes, and to hold
//! thousands of connections, neither of which wants a library between.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// No answer of a server under test takes longer.
const TIMEOUT: Duration = Duration::from_mins(1);

/// An address of the loopback that nobody listens on. Another program may take it before its user binds
/// it; the run then fails and says so.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// One keep-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// A response's head, and how many body bytes follow.
pub struct Head {
    pub status: u16,
    pub content_length: u64,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        // Ten thousand of them are open at once: no larger buffer than a head needs.
        const BUFFER_BYTES: usize = 1024;
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(BUFFER_BYTES, stream) })
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.get_mut().write_all(bytes).context("cannot send")
    }

    /// Sends so many bytes of the chunk, again and again.
    pub fn send_body(&mut self, bytes: u64, chunk: &mut [u8]) -> Result<()> {
        super::body_upstream::send(self.stream.get_mut(), bytes, chunk)
    }

    pub fn read_head(&mut self) -> Result<Head> {
        let mut line = String::new();
        self.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status line")?;
        let mut content_length = None;
        loop {
            self.read_line(&mut line)?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                content_length = Some(value.trim().parse().context("bad content-length")?);
            }
        }
        let content_length = content_length.context("the response has no Content-Length")?;
        Ok(Head { status, content_length })
    }

    /// Reads `length` bytes and drops them; large reads go past the buffer straight into `chunk`.
    pub fn discard(&mut self, mut length: u64, chunk: &mut [u8]) -> Result<()> {
        while length > 0 {
            let most = usize::try_from(length).unwrap_or(usize::MAX).min(chunk.len());
            match self.stream.read(&mut chunk[..most]) {
                Ok(0) => bail!("the body ended {length} bytes early"),
                Ok(count) => length -= count as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read the body"),
            }
        }
        Ok(())
    }

    /// Sends a request without a body and reads the whole answer: its status.
    pub fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.send(request)?;
        let head = self.read_head()?;
        self.discard(head.content_length, &mut [0; 1024])?;
        Ok(head.status)
    }

    /// The next line without its end.
    fn read_line(&mut self, line: &mut String) -> Result<()> {
        line.clear();
        if self.stream.read_line(line).context("no answer")? == 0 {
            bail!("the server closed the connection");
        }
        line.truncate(line.trim_end().len());
        Ok(())
    }
}

/// Fails unless the server answers the request with 200.
pub fn expect_ok(address: SocketAddr, request: &[u8]) -> Result<()> {
    match Connection::open(address)?.exchange(request)? {
        200 => Ok(()),
        status => bail!("answered {status} to the request that is to be measured"),
    }
}
