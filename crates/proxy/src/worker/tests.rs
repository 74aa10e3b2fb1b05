//! What a panic within a request does to that request, and does not do to its neighbours; and what a worker does
//! at its end.

use std::net::SocketAddr;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tollgate_core::address::{AllowList, Reach};
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::{self, BaseUrl, DisplayName, HeaderName, ServiceSlug, TenantId, TenantSlug};
use tollgate_core::snapshot::Change;
use tollgate_core::token::Issuing;
use tollgate_counters::{Counters, LocalCounters};
use uuid::Uuid;

use super::run::accept;
use super::*;
use crate::access_log::AccessLogger;
use crate::connection;
use crate::forward::client_config;
use crate::settings::{AccessLog, Limits, Settings, Timeouts};

const KEY: &str = "a-key-of-the-test";

/// A worker that lets [`KEY`] through to `/acme/api` at this address. It keeps its log lines to itself.
pub(crate) fn worker(upstream: SocketAddr) -> Rc<Worker> {
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 1,
        timeouts: Timeouts::default(),
        limits: Limits::default(),
        access_log: AccessLog::Stdout,
        allow_list: AllowList::default(),
        upstream_ca_file: None,
        dns_servers: Vec::new(),
        trusted_proxies: Vec::new(),
        upstream_idle_connections: 1,
        failures_per_minute: None,
        issuing: Issuing::default(),
        key_sets_dir: None,
    };
    let (access_log, _thread) = AccessLogger::start(&settings.access_log).unwrap();
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot(upstream)));
    let counters = Arc::new(Counters::local(Arc::new(LocalCounters::new())));
    let tls = client_config(None).unwrap();
    let background = tokio::runtime::Handle::current();
    let gateway = Gateway::new(settings, snapshot, counters, tls, access_log, 80, background);
    Rc::new(Worker::new(0, Arc::new(gateway)))
}

pub(crate) const TENANT: TenantId = TenantId(Uuid::from_u128(1));
pub(crate) const SERVICE: ServiceId = ServiceId(Uuid::from_u128(3));

fn name() -> DisplayName {
    DisplayName::parse("name").unwrap()
}

/// With [`SERVICE`] of [`TENANT`].
pub(crate) fn snapshot(upstream: SocketAddr) -> Snapshot {
    let slug = TenantSlug::parse("acme").unwrap();
    let time_zone = resource::TimeZone::UTC;
    let tenant = resource::Tenant { id: TENANT, slug, name: name(), time_zone, limits: Vec::new() };
    let (service, key) = (service(upstream), key());
    let changes =
        [Change::PutTenant(tenant), Change::PutService(service), Change::PutKey { key, before: None }];
    Snapshot::default().with(&changes, 1).unwrap()
}

pub(crate) fn service(upstream: SocketAddr) -> resource::Service {
    let target = resource::Target {
        id: resource::TargetId(Uuid::from_u128(2)),
        url: BaseUrl::parse(&format!("http://{upstream}")).unwrap(),
        weight: 1,
        duty: tollgate_core::balance::Duty::Serving,
        reach: Reach::Private,
    };
    resource::Service {
        id: SERVICE,
        tenant: TENANT,
        slug: ServiceSlug::parse("api").unwrap(),
        name: name(),
        auth_header: HeaderName::parse("X-API-Key").unwrap(),
        targets: vec![target],
        timeouts: resource::Timeouts::default(),
        max_body_bytes: None,
        jwt: Vec::new(),
        limits: resource::ServiceLimits::default(),
        traffic: Box::default(),
    }
}

fn key() -> resource::Key {
    resource::Key {
        id: KeyId(Uuid::from_u128(4)),
        tenant: TENANT,
        name: name(),
        hash: KeyHash::of(KEY.as_bytes()),
        prefix: "a-k".into(),
        plan: None,
        consumer: None,
        services: None,
        scope: None,
        limits: Vec::new(),
        expires_at_secs: None,
        subscribed_at_secs: 0,
        retired: Vec::new(),
    }
}

/// Both ends of a connection, the client's first.
pub(crate) async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// A client of the worker.
async fn client(worker: &Rc<Worker>) -> TcpStream {
    let (client, accepted) = connection().await;
    connection::spawn(worker, accepted, client.local_addr().unwrap());
    client
}

async fn send(client: &mut TcpStream, path: &str) {
    let head = format!("GET /acme/api{path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {KEY}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
}

/// Reads until what came ends like this.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "it ended behind {bytes:?}");
    }
    String::from_utf8(bytes).unwrap()
}

/// Sends a request into a defect of the kind that the compiler cannot find: something holds on to a cell that
/// every request with a key writes to. Gives all that is answered until the connection closes.
#[expect(clippy::await_holding_refcell_ref, reason = "this is the defect")]
async fn strike(worker: &Rc<Worker>) -> String {
    let mut client = client(worker).await;
    let _held = worker.key_uses.borrow_mut();
    send(&mut client, "/struck?secret").await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// As [`run`] does it; a test that hangs fails.
fn on_a_worker_s_runtime(test: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() });
}

#[test]
fn a_request_that_panics_is_answered_with_500_and_ends_for_good() {
    on_a_worker_s_runtime(async {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let worker = worker(upstream.local_addr().unwrap());
        let answer = strike(&worker).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let field = |name: &str| {
            let mut lines = head.split("\r\n");
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
        };
        assert!(head.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{head}");
        assert_eq!((field("Connection"), field("Content-Type")), ("close", "application/json"));
        assert_eq!(field("Proxy-Status"), "tollgate; error=proxy_internal_error");
        let mut body: Value = serde_json::from_str(body).unwrap();
        let timestamp = body["timestamp"].take();
        assert!(timestamp.as_str().is_some_and(|text| text.ends_with('Z')), "{timestamp}");
        let error = json!({ "code": 500, "message": "The gateway failed" });
        let request_id = field("X-Request-ID");
        assert_eq!(body, json!({ "error": error, "timestamp": null, "request_id": request_id }));

        assert_eq!(worker.gateway.in_flight(), 0);
        let line: Value = serde_json::from_slice(&worker.log_lines.borrow()).unwrap();
        assert_eq!((&line["status"], &line["path"]), (&json!(500), &json!("/acme/api/struck")));
        assert_eq!(line["request_id"], request_id, "the client's report leads to the line");
    });
}

#[test]
fn a_request_that_panics_harms_no_other_request() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    on_a_worker_s_runtime(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let worker = worker(listener.local_addr().unwrap());
        let mut neighbour = client(&worker).await;
        send(&mut neighbour, "/before").await;
        let (mut upstream, _) = listener.accept().await.unwrap();
        read_until(&mut upstream, "\r\n\r\n").await;

        assert!(strike(&worker).await.starts_with("HTTP/1.1 500 "));

        assert_eq!(worker.gateway.in_flight(), 1, "the neighbour is as it was");
        upstream.write_all(OK.as_bytes()).await.unwrap();
        assert!(read_until(&mut neighbour, "ok").await.starts_with("HTTP/1.1 200 "));
        // One goes on, and another comes, with the memory that the panic left.
        for client in [&mut neighbour, &mut client(&worker).await] {
            send(client, "/after").await;
            let request = read_until(&mut upstream, "\r\n\r\n").await;
            assert!(request.starts_with("GET /after HTTP/1.1\r\n"), "{request}");
            upstream.write_all(OK.as_bytes()).await.unwrap();
            assert!(read_until(client, "ok").await.starts_with("HTTP/1.1 200 "));
        }
        assert_eq!(worker.gateway.in_flight(), 0);
    });
}

#[test]
fn who_has_connected_is_served_though_the_end_comes_before_the_next_look() {
    on_a_worker_s_runtime(async {
        let worker = worker(SocketAddr::from(([127, 0, 0, 1], 9)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        // Nothing is awaited between the connection and the end.
        let client = std::net::TcpStream::connect(address).unwrap();
        let (_told, mut phase) = watch::channel(Phase::Draining);
        accept(&worker, listener, &mut phase).await;
        client.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(client).unwrap();
        client.write_all(b"GET /health/live HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    });
}

#[tokio::test]
async fn nobody_is_told_that_all_requests_have_ended_while_one_may_still_begin() {
    use crate::gateway::Began;

    let worker = worker(SocketAddr::from(([127, 0, 0, 1], 9)));
    let gateway = &worker.gateway;
    gateway.start_draining();
    assert_eq!(gateway.in_flight(), 1, "the worker has not been told");
    assert_eq!(gateway.request_began(worker.index), Began::InTime);
    gateway.worker_drains(worker.index);
    assert_eq!(gateway.in_flight(), 1, "a request");
    gateway.request_ended(worker.index);
    assert_eq!(gateway.in_flight(), 0);
    assert_eq!(gateway.request_began(worker.index), Began::TooLate);
}

#[tokio::test]
async fn what_is_kept_of_a_service_goes_with_the_service() {
    let worker = worker(SocketAddr::from(([127, 0, 0, 1], 9)));
    let [there, gone, elsewhere] = [3, 9, 10].map(|number| ServiceId(Uuid::from_u128(number)));
    for (tenant, service) in [(TENANT, there), (TENANT, gone), (TenantId(Uuid::from_u128(9)), elsewhere)] {
        worker.live(tenant, service);
    }
    worker.housekeeping();
    assert_eq!(worker.services.borrow().keys().collect::<Vec<_>>(), [&there]);
    let is_known = |service| worker.gateway.live.known(service).is_some();
    assert_eq!([there, gone, elsewhere].map(is_known), [true, false, false]);
}

/// What is known of services is in a cell that the test holds on to: the request panics behind its admission.
#[test]
#[expect(clippy::await_holding_refcell_ref, reason = "this is the defect")]
fn a_request_that_panics_gives_its_place_back() {
    on_a_worker_s_runtime(async {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let worker = worker(address);
        let before = worker.gateway.snapshot.load_full();
        let next = before.with(&at_most_one_at_once(address), before.revision() + 1).unwrap();
        worker.gateway.snapshot.store(Arc::new(next));
        let mut struck = client(&worker).await;
        {
            let _held = worker.services.borrow_mut();
            send(&mut struck, "/struck").await;
            let mut answer = String::new();
            struck.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
        }
        // The one place is free, and taken while a request is under way.
        let mut first = client(&worker).await;
        send(&mut first, "/first").await;
        let (mut accepted, _) = upstream.accept().await.unwrap();
        read_until(&mut accepted, "\r\n\r\n").await;
        let mut second = client(&worker).await;
        send(&mut second, "/second").await;
        assert!(read_until(&mut second, "}").await.starts_with("HTTP/1.1 429 "));
    });
}

/// The changes that put [`KEY`] on a plan of one request at once, and its service before two targets.
fn at_most_one_at_once(upstream: SocketAddr) -> [Change; 3] {
    let plan = resource::Plan {
        id: resource::PlanId(Uuid::from_u128(7)),
        tenant: TENANT,
        slug: resource::PlanSlug::parse("one").unwrap(),
        name: name(),
        limits: Vec::new(),
        concurrency: std::num::NonZeroU32::new(1),
        counting: resource::Counting::default(),
        on_unavailable: resource::OnUnavailable::default(),
    };
    let mut key = key();
    key.plan = Some(plan.id);
    let mut service = service(upstream);
    let second =
        resource::Target { id: resource::TargetId(Uuid::from_u128(8)), ..service.targets[0].clone() };
    service.targets.push(second);
    [Change::PutPlan(plan), Change::PutService(service), Change::PutKey { key, before: None }]
}
