use std::cell::OnceCell;
use std::future::poll_fn;
use std::io::Read;
use std::net::TcpStream;

use super::*;
use crate::worker::tests::connection;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

fn received(mut client: &TcpStream) -> usize {
    let mut bytes = [0; 4 * 1_024];
    std::iter::from_fn(|| client.read(&mut bytes).ok()).sum()
}

#[tokio::test]
async fn no_more_counts_as_sent_than_the_sink_was_given() {
    const WHOLE: usize = 64 << 20;
    let ((source, _upstream), (sink, client)) = (connection().await, connection().await);
    let (mut source, mut sink) = (Stream::Plain(source), Stream::Plain(sink));
    let mut client = client.into_std().unwrap();
    let (mut from, mut to) = (Buffers::default(), Buffers::default());
    from.input.resize(WHOLE, b'x');
    to.output().extend_from_slice(HEAD);
    let length = BodyLength::Exact(WHOLE as u64);
    let mut pump = Pump::new(length, length, None);
    assert_eq!(pump.sent_bytes(&to), 0);
    poll_fn(|cx| {
        // More than the kernel has room for, while nobody reads.
        assert!(pump.poll(cx, (&mut source, &mut from), (&mut sink, &mut to), || {}).is_pending());
        Poll::Ready(())
    })
    .await;
    let sent = pump.sent_bytes(&to);
    drop(sink);
    client.set_nonblocking(false).unwrap();
    let received = client.read_to_end(&mut Vec::new()).unwrap() - HEAD.len();
    assert_eq!(sent, received as u64);
}

#[tokio::test]
async fn the_end_is_told_before_the_last_of_a_body_is_written() {
    let long = vec![b'x'; 20_000];
    let chunked = [b"4e20\r\n", &long[..], b"\r\n0\r\n\r\n"].concat();
    for (length, body) in [
        (BodyLength::None, &b""[..]),
        (BodyLength::Exact(2), b"ok"),
        (BodyLength::Exact(20_000), &long),
        (BodyLength::Chunked, &chunked),
    ] {
        let ((source, _upstream), (sink, client)) = (connection().await, connection().await);
        let (mut source, mut sink) = (Stream::Plain(source), Stream::Plain(sink));
        let mut client = client.into_std().unwrap();
        let (mut from, mut to) = (Buffers::default(), Buffers::default());
        from.input.extend_from_slice(body);
        to.output().extend_from_slice(HEAD);
        let (mut pump, before_last) = (Pump::new(length, length, None), OnceCell::new());
        let moved = poll_fn(|cx| {
            let note = || _ = before_last.get_or_init(|| received(&client));
            pump.poll(cx, (&mut source, &mut from), (&mut sink, &mut to), note)
        });
        moved.await.unwrap();
        let whole = HEAD.len() + body.len();
        let before_last = *before_last.get().unwrap();
        assert!(before_last < whole, "{length:?}: {before_last} of {whole} bytes");
        client.set_nonblocking(false).unwrap();
        client.read_exact(&mut vec![0; whole - before_last]).unwrap();
    }
}
