//! A connection, in clear or over TLS.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Reads at most `most` bytes behind what `input` holds; zero at the end of the stream.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        input.reserve(most);
        let mut space = input.limit(most);
        match self {
            Self::Plain(tcp) => tokio_util::io::poll_read_buf(Pin::new(tcp), cx, &mut space),
            Self::Tls(tls) => tokio_util::io::poll_read_buf(Pin::new(tls.as_mut()), cx, &mut space),
        }
    }

    /// Ready when a read would not wait; takes no memory meanwhile.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(tls) => tls.get_ref().0.poll_read_ready(cx),
        }
    }

    /// Pending where a read would surely be, too; which takes less to find out.
    pub fn poll_may_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => self.poll_readable(cx),
            // What the socket does not hold any more may wait decrypted.
            Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Writes from `first` and then `second`, in one system call where it can.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match (first.is_empty(), second.is_empty()) {
            (false, false) => {
                let slices = [IoSlice::new(first), IoSlice::new(second)];
                match self {
                    Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, &slices),
                    Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, &slices),
                }
            }
            (false, true) => self.poll_write_one(cx, first),
            (true, _) => self.poll_write_one(cx, second),
        };
        match written {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    fn poll_write_one(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, bytes),
        }
    }

    /// Sends what TLS still holds back; nothing to do in clear.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    /// Ends the sending direction.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }

    /// Whether an idle connection can still be used: its peer has neither closed it nor sent anything. Costs
    /// no system call while the socket has reported nothing.
    pub fn is_idle_and_open(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Plain(tcp) => tcp.try_read(&mut byte),
            Self::Tls(tls) => {
                let (tcp, session) = tls.get_ref();
                // What the socket does not hold any more may wait decrypted: data, or the peer's farewell.
                if !session.wants_read() {
                    return false;
                }
                tcp.try_read(&mut byte)
            }
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Another handle of the socket, whose readiness is known apart.
    pub fn duplicate(&self) -> io::Result<TcpStream> {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        TcpStream::from_std(tcp.as_fd().try_clone_to_owned()?.into())
    }

    /// Makes closing send a reset, so that a body cut short cannot pass for a complete one.
    pub fn reset_on_close(&self) {
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        };
        // Where it fails the connection is gone, which serves as well.
        drop(SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO)));
    }
}
