//! A client that sends exactly the bytes it is given, and reads responses with all there is to see.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::wire::{Fields, Framing, Head, Stopped, Wire, announced_framing, header};

/// One connection.
pub struct RawClient {
    wire: Wire,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// `HTTP/1.1`.
    pub version: String,
    pub reason: String,
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    pub end: BodyEnd,
    /// The head verbatim, with the empty line.
    pub raw_head: Vec<u8>,
}

/// How a response's body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// As its framing says, so that the connection may go on.
    Complete,
    /// With the connection, which is how the body was framed.
    AtClose,
    /// Before its framing says: what came is not the whole.
    CutShort,
}

impl RawClient {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("a connection")
    }

    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { wire: Wire::new(TcpStream::connect(address)?) })
    }

    /// How long reads wait from now on.
    pub fn set_timeout(&self, timeout: Duration) {
        self.wire.set_timeout(timeout);
    }

    /// Panics where the peer has closed; [`Self::try_send`] does not.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("sending");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.wire.write(bytes.as_ref())
    }

    /// Sends until nobody has taken anything for a while.
    pub fn send_until_full(&mut self) {
        self.wire.write_until_full();
    }

    /// The next response, an interim one (1xx) as well.
    #[track_caller]
    pub fn read_response(&mut self) -> Response {
        self.try_read_response("GET").expect("a response")
    }

    /// The next response; the request's method decides whether it has a body.
    pub fn try_read_response(&mut self, method: &str) -> Result<Response, Stopped> {
        let head = self.wire.read_head()?;
        let (version, status, reason) = status_line(&head)?;
        let mut response = Response {
            status,
            version,
            reason,
            headers: head.fields,
            body: Vec::new(),
            trailers: Fields::new(),
            end: BodyEnd::Complete,
            raw_head: head.raw,
        };
        let has_no_body = matches!(status, 100..=199 | 204 | 304)
            || method == "HEAD"
            || (method == "CONNECT" && status == 200);
        if has_no_body {
            return Ok(response);
        }
        let framing = announced_framing(&response.headers)?.unwrap_or(Framing::Close);
        match self.wire.read_body(framing, &mut response.body) {
            Ok(trailers) if framing == Framing::Close => {
                (response.trailers, response.end) = (trailers, BodyEnd::AtClose);
            }
            Ok(trailers) => response.trailers = trailers,
            Err(Stopped::Closed | Stopped::Reset) => response.end = BodyEnd::CutShort,
            Err(stopped) => return Err(stopped),
        }
        Ok(response)
    }

    /// Sends a request without a body and reads its final response.
    #[track_caller]
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request("GET", path, headers, b"")
    }

    /// Sends a well-formed request and reads its final response. A body has a Content-Length.
    #[track_caller]
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut message = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            message += "Host: gateway.test\r\n";
        }
        message.extend(headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")));
        if !body.is_empty() {
            message.extend([format!("Content-Length: {}\r\n", body.len())]);
        }
        message += "\r\n";
        self.send([message.as_bytes(), body].concat());
        loop {
            let response = self.try_read_response(method).expect("a response");
            if !matches!(response.status, 100..=199) || response.status == 101 {
                return response;
            }
        }
    }

    /// Some bytes, at least one and at most so many: for what is not HTTP, such as a tunnel.
    pub fn read_bytes(&mut self, most: usize) -> Result<Vec<u8>, Stopped> {
        let mut bytes = Vec::new();
        self.wire.read_some(most, &mut bytes)?;
        Ok(bytes)
    }

    /// Waits for the peer to close or reset the connection; false where it sends something or nothing.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.read_bytes(1), Err(Stopped::Closed | Stopped::Reset))
    }

    /// Tells the peer that nothing more is sent, while reading goes on.
    pub fn finish_sending(&self) {
        self.wire.shutdown(Shutdown::Write);
    }

    /// Leaves with a reset, as a client that crashes does.
    pub fn reset(self) {
        self.wire.reset_on_close();
    }
}

impl Response {
    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// Fails, showing the body, unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

fn status_line(head: &Head) -> Result<(String, u16, String), Stopped> {
    let malformed = || Stopped::Malformed(format!("status line {:?}", head.start));
    let mut words = head.start.splitn(3, ' ');
    let version = words.next().ok_or_else(malformed)?.to_owned();
    let status = words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed)?;
    Ok((version, status, words.next().unwrap_or_default().to_owned()))
}
