//! An upstream for large bodies: serves as many bytes as it is asked for, and swallows what it is sent.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, bail};

/// What one read or write call moves at most.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Serves until the benchmark ends. `GET …?bytes=N` is answered with N bytes; any other request's body is
/// read to its end and its length answered as text.
pub fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // The proxy sees a broken connection and so does its client, which reports it.
                if let Err(error) = serve(stream) {
                    eprintln!("upstream: {error:#}");
                }
            });
        }
    });
    Ok(address)
}

struct Request {
    bytes_wanted: Option<u64>,
    content_length: u64,
}

fn serve(stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut chunk = vec![b'x'; CHUNK_BYTES];
    while let Some(request) = read_request(&mut stream)? {
        let Some(bytes) = request.bytes_wanted else {
            let received =
                std::io::copy(&mut (&mut stream).take(request.content_length), &mut std::io::sink())?;
            if received < request.content_length {
                bail!("the body ended after {received} bytes");
            }
            let body = received.to_string();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.get_mut().write_all(head.as_bytes())?;
            continue;
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
        stream.get_mut().write_all(head.as_bytes())?;
        send(stream.get_mut(), bytes, &mut chunk)?;
    }
    Ok(())
}

/// Sends so many bytes of the chunk, again and again.
pub fn send(stream: &mut impl Write, mut bytes: u64, chunk: &mut [u8]) -> Result<()> {
    while bytes > 0 {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(chunk.len());
        stream.write_all(&chunk[..most]).context("cannot send the body")?;
        bytes -= most as u64;
    }
    Ok(())
}

/// `None` where the connection ends instead.
fn read_request(stream: &mut BufReader<TcpStream>) -> Result<Option<Request>> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(0) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error).context("cannot read a request"),
    }
    let bytes_wanted = match line.split_once("?bytes=") {
        Some((_, rest)) => rest.split(' ').next().map(str::parse).transpose().context("bad ?bytes=")?,
        None => None,
    };
    let mut content_length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).context("cannot read a head")?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(Request { bytes_wanted, content_length }));
        };
        if name.eq_ignore_ascii_case("content-length") {
            content_length = value.trim().parse().context("bad content-length")?;
        }
    }
}
