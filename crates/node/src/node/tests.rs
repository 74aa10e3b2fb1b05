use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_core::feed::{Frame, Order, OrderId, push_frame};
use tollgate_core::limit::{Calendar, Demand, LevelLimits, Subject};
use tollgate_core::resource::{BaseUrl, LimitDraft, ServiceId};
use tollgate_core::sighting::Sighting;
use uuid::Uuid;

use super::*;
use crate::link::NodeToken;

/// Orders something of whoever asks for the feed, and hangs up on everybody else.
async fn order_of_everybody(control: TcpListener) {
    let order = Order {
        id: OrderId(Uuid::from_u128(1)),
        what: Ordered::ResetCircuits(ServiceId(Uuid::from_u128(2))),
    };
    let mut frame = Vec::new();
    push_frame(&mut frame, &Frame::Order(order)).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * frame.len());
    while let Ok((mut node, _)) = control.accept().await {
        let mut request = [0; 4_096];
        let length = node.read(&mut request).await.unwrap();
        if request[..length].starts_with(b"GET ") {
            node.write_all(head.as_bytes()).await.unwrap();
            node.write_all(&frame).await.unwrap();
        }
    }
}

fn node(folder: &Path, control: SocketAddr) -> (Node, Arc<LocalCounters>) {
    let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let url = BaseUrl::parse(&format!("http://{control}")).unwrap();
    let settings = Settings {
        link: Link::new(url, NodeToken::parse("tgn_0").unwrap(), Arc::new(ArcSwap::from_pointee(tls))),
        name: NodeName::parse("edge").unwrap(),
        version: "test",
        directory: folder.to_owned(),
    };
    let counters = Arc::new(LocalCounters::new());
    (Node::open(settings, Arc::default(), Arc::clone(&counters)).unwrap(), counters)
}

fn facts() -> Facts {
    Facts {
        key_usage: Box::new(Vec::new),
        crossings: Box::new(Vec::new),
        traffic: Box::new(Sighting::default),
        carry_out: Box::new(|_| Box::pin(ready(()))),
    }
}

/// What has panicked is told at once. What is counted from then until the end is kept, and the panic comes last.
async fn panics_and_keeps_what_is_counted(facts: Facts) {
    let folder = tempfile::tempdir().unwrap();
    let control = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (node, counters) = node(folder.path(), control.local_addr().unwrap());
    let serving = tokio::spawn(order_of_everybody(control));
    let (working, works) = oneshot::channel::<()>();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(node.run(facts, || drop(working), async { drop(stopped.await) }));
    // Where nobody notices, or the node does not end, this is what ends the test.
    assert!(timeout(Duration::from_secs(20), works).await.unwrap().is_err());
    assert!(!running.is_finished());

    let limit = LimitDraft { requests: 5, per: "month".into(), ..LimitDraft::default() };
    let limits = LevelLimits::of_plan(&[limit.parse().unwrap()], None);
    let demand = Demand { subject: Subject(Uuid::from_u128(3)), limits: &limits, calendar: Calendar::utc() };
    assert!(counters.decide(&[demand], 1, counts::now()).verdict.is_admitted());
    drop(stop);
    assert!(timeout(Duration::from_secs(20), running).await.unwrap().unwrap_err().is_panic());
    let (_, kept) = Counts::open(folder.path()).unwrap();
    assert_eq!(kept.iter().map(|record| record.subject).collect::<Vec<_>>(), [demand.subject]);
    serving.abort();
}

#[tokio::test]
async fn a_node_whose_follower_panics_says_so_and_keeps_what_is_counted_until_it_ends() {
    panics_and_keeps_what_is_counted(Facts { carry_out: Box::new(|_| panic!("it has to")), ..facts() }).await;
}

#[tokio::test]
async fn so_does_one_whose_reporter_panics() {
    panics_and_keeps_what_is_counted(Facts { key_usage: Box::new(|| panic!("it has to")), ..facts() }).await;
}
