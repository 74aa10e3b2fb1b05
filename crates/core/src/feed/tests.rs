use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::frame::header;
use super::*;
use crate::address::Reach;
use crate::balance::Duty;
use crate::credential::KeyHash;
use crate::limit::Window;
use crate::problem::Problems;
use crate::resource::{
    Algorithm, Anchor, Anonymous, BaseUrl, ClientId, Consumer, ConsumerId, Counting, DisplayName,
    FailedRequests, HeaderName, JwtIssuer, JwtIssuerSpec, Key, KeyId, KeyRouteDraft, KeyScope, KeySetUrl,
    Limit, LimitDraft, OnUnavailable, PathPattern, Plan, PlanId, PlanSlug, RetiredHash, Route, RouteDraft,
    RouteId, Rule, RuleName, Service, ServiceId, ServiceLimits, ServiceSlug, SigningKey, Target, TargetId,
    Tenant, TenantId, TenantSlug, TimeZone, Timeouts, TrafficDraft,
};
use crate::routing::{Split, Sticky};
use crate::snapshot::{Change, Snapshot};

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PLAN: PlanId = PlanId(Uuid::from_u128(2));
const SERVICE: ServiceId = ServiceId(Uuid::from_u128(3));
const CONSUMER: ConsumerId = ConsumerId(Uuid::from_u128(4));

fn position(revision: u64) -> Position {
    Position { revision, epoch: Epoch(Uuid::from_u128(u128::from(revision) + 77)) }
}

fn name() -> DisplayName {
    DisplayName::parse("A näme").unwrap()
}

fn key(number: u128) -> Key {
    Key {
        id: KeyId(Uuid::from_u128(100 + number)),
        tenant: TENANT,
        name: name(),
        hash: KeyHash::of(&number.to_le_bytes()),
        prefix: "tg_abcdef".into(),
        plan: Some(PLAN),
        consumer: Some(CONSUMER),
        services: Some(Box::new([SERVICE])),
        expires_at_secs: Some(1_900_000_000),
        scope: KeyScope::parse(
            Some(&[KeyRouteDraft {
                paths: Some(vec!["/orders/*".into()]),
                methods: Some(vec!["GET".into()]),
            }]),
            Some(&["10.0.0.0/8".into()]),
            &mut Problems::default(),
        ),
        limits: vec![limit(Window::CalendarDay, Algorithm::FixedWindow, Anchor::Calendar)],
        subscribed_at_secs: 1_700_000_000,
        retired: vec![RetiredHash { hash: KeyHash::of(b"old"), valid_until_secs: 1_800_000_000 }],
    }
}

fn limit(per: Window, algorithm: Algorithm, anchor: Anchor) -> Limit {
    let json = r#"{"requests":60,"per":"day","thresholds":[80,100],"overage":"allow"}"#;
    let soft = serde_json::from_str::<LimitDraft>(json).unwrap().parse().unwrap();
    Limit { per, algorithm, anchor, ..soft }
}

fn traffic() -> TrafficDraft {
    serde_json::from_str(
        r#"{"balancer":{"algorithm":"hash","hash_on":"header:X-Session","slow_start":{"window":"1m"}},
            "failure_on":["connect","503","5xx"],"breaker":{"per":"target","error_percent":50},
            "outlier":{"error_percent":40},"retries":{"on":["connect","5xx"]},
            "health_check":{"path":"/up"},"channel":{"concurrency":9},"hedging":{"delay":"30ms"}}"#,
    )
    .unwrap()
}

/// Every kind of resource, every field filled.
fn everything() -> Vec<Change> {
    let minutely = vec![limit(Window::Span { secs: 60 }, Algorithm::SlidingWindow, Anchor::Calendar)];
    vec![
        Change::PutTenant(Tenant {
            id: TENANT,
            slug: TenantSlug::parse("acme").unwrap(),
            name: name(),
            time_zone: TimeZone::parse("Europe/Berlin").unwrap(),
            limits: minutely.clone(),
        }),
        Change::PutPlan(Plan {
            id: PLAN,
            tenant: TENANT,
            slug: PlanSlug::parse("basic").unwrap(),
            name: name(),
            limits: vec![
                limit(Window::Span { secs: 60 }, Algorithm::TokenBucket { burst: 9 }, Anchor::Calendar),
                limit(Window::CalendarMonth, Algorithm::FixedWindow, Anchor::Subscription),
            ],
            concurrency: NonZeroU32::new(8),
            counting: Counting::Exact,
            on_unavailable: OnUnavailable::Deny,
        }),
        Change::PutService(Service {
            id: SERVICE,
            tenant: TENANT,
            slug: ServiceSlug::parse("api").unwrap(),
            name: name(),
            auth_header: HeaderName::parse("X-Shop-Key").unwrap(),
            targets: vec![Target {
                id: TargetId(Uuid::from_u128(5)),
                url: BaseUrl::parse("https://host.example:8443/base").unwrap(),
                weight: 3,
                duty: Duty::Draining,
                reach: Reach::Private,
            }],
            timeouts: Timeouts { connect: Some(Duration::from_millis(250)), ..Timeouts::default() },
            max_body_bytes: Some(1 << 40),
            jwt: vec![JwtIssuer {
                spec: JwtIssuerSpec {
                    issuer: "https://issuer.example".into(),
                    audience: "api".into(),
                    jwks_url: KeySetUrl::parse("https://issuer.example/keys").unwrap(),
                    algorithms: Some(vec![crate::token::Algorithm::Es256]),
                    leeway: Duration::from_secs(30),
                    consumer_claim: "sub".into(),
                    plan_claim: Some("plan".into()),
                    plan_map: Some([("gold".to_owned(), PlanSlug::parse("basic").unwrap())].into()),
                },
                reach: Reach::Public,
            }],
            limits: ServiceLimits {
                all: minutely.clone(),
                per_ip: minutely.clone(),
                rules: vec![Rule {
                    name: RuleName::parse("search").unwrap(),
                    paths: vec![PathPattern::parse("/search/*").unwrap()],
                    methods: vec!["GET".into()],
                    cost: NonZeroU32::new(5).unwrap(),
                    limits: minutely.clone(),
                }],
                anonymous: Some(Anonymous { limits: minutely }),
                cost_header: Some(HeaderName::parse("X-Cost").unwrap()),
                failed: FailedRequests::Refunded,
            },
            traffic: Box::new(traffic().parse().unwrap()),
        }),
        Change::PutConsumer(Consumer {
            id: CONSUMER,
            tenant: TENANT,
            client_id: ClientId::parse("ann@example.com").unwrap(),
            name: name(),
            plan: Some(PLAN),
            subscribed_at_secs: 1_700_000_000,
        }),
        Change::PutKey { key: key(1), before: None },
        Change::PutSigningKey(SigningKey {
            key_id: "k1".into(),
            seed: [7; 32],
            signs_from_secs: 1_800_000_000,
        }),
        Change::PutRoute(route()),
    ]
}

const ROUTE: RouteId = RouteId(Uuid::from_u128(6));

fn route() -> Route {
    let json = r#"{"name":"","hosts":["*.example.com"],"paths":["/users/{id}/*"],"methods":["GET"],
        "headers":{"x-env":"canary","x-trace":true},"query":{"v":"2"},"priority":-7,"rewrite_path":"/u/{id}",
        "rewrite_host":"internal.example","timeout":"5s","retries":2,"max_body_bytes":9}"#;
    let draft: RouteDraft = serde_json::from_str(json).unwrap();
    Route {
        id: ROUTE,
        tenant: TENANT,
        name: name(),
        split: Split { shares: vec![(SERVICE, 3)], sticky: Some(Sticky::parse("header:x-user").unwrap()) },
        rules: draft.parse_rules(&mut Problems::default()),
    }
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        push_frame(&mut bytes, frame).unwrap();
    }
    bytes
}

fn decoded(mut bytes: &[u8]) -> Result<Vec<Frame>, BadFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let FrameLength::Known(length) = frame_length(bytes)? else { return Err(BadFrame::Content) };
        let (frame, rest) = bytes.split_at_checked(length).ok_or(BadFrame::Content)?;
        frames.push(decode(frame)?);
        bytes = rest;
    }
    Ok(frames)
}

fn check() -> Order {
    Order { id: OrderId(Uuid::from_u128(9)), what: Ordered::Check(vec![(TENANT, SERVICE)]) }
}

#[test]
fn what_is_sent_arrives() {
    let rotated = Change::PutKey { key: key(2), before: Some(Box::new(key(1))) };
    let gone = vec![
        Change::DeleteRoute(TENANT, ROUTE),
        Change::DeleteKey(Box::new(key(2))),
        Change::DeleteConsumer(TENANT, CONSUMER),
        Change::DeleteService(TENANT, SERVICE),
        Change::DeletePlan(TENANT, PLAN),
        Change::DeleteTenant(TENANT),
        Change::DeleteSigningKey("k1".into()),
    ];
    let frames = [
        Frame::Full,
        Frame::Changes(everything()),
        Frame::Commit(position(7)),
        Frame::Heartbeat,
        Frame::Order(check()),
        Frame::Order(Order { what: Ordered::ResetCircuits(SERVICE), ..check() }),
        Frame::Changes([vec![rotated], gone].concat()),
        Frame::Commit(position(8)),
    ];
    assert_eq!(decoded(&encoded(&frames)).unwrap(), frames);
}

/// A node of another format must refuse what it cannot read. Where this fails, the bytes of a resource have
/// changed: raise [`FORMAT`], and put the new checksum here.
#[test]
fn the_bytes_are_those_of_this_format() {
    let reset = Order { what: Ordered::ResetCircuits(SERVICE), ..check() };
    let orders = [check(), reset].map(Frame::Order);
    let resources = [Frame::Full, Frame::Changes(everything()), Frame::Commit(position(7))];
    let bytes = encoded(&[&resources[..], &orders].concat());
    assert_eq!((FORMAT, crc32fast::hash(&bytes)), (6, 2_283_228_403), "{} bytes", bytes.len());
}

#[test]
fn many_changes_are_several_frames_of_bounded_size() {
    let changes: Vec<Change> =
        (0..5_000).map(|number| Change::PutKey { key: key(number), before: None }).collect();
    let mut bytes = Vec::new();
    push_changes(&mut bytes, &changes).unwrap();
    let frames = decoded(&bytes).unwrap();
    assert!(frames.len() > 1 && bytes.len() / frames.len() < 300_000, "{} frames", frames.len());
    let together = frames.into_iter().flat_map(|frame| match frame {
        Frame::Changes(changes) => changes,
        Frame::Full | Frame::Commit(_) | Frame::Heartbeat | Frame::Order(_) => {
            panic!("only changes were pushed")
        }
    });
    assert_eq!(together.collect::<Vec<_>>(), changes);
    let mut nothing = Vec::new();
    push_changes(&mut nothing, &[]).unwrap();
    assert_eq!(nothing, b"");
}

#[test]
fn a_text_that_is_not_valid_does_not_arrive() {
    let mut bytes = encoded(&[Frame::Changes(everything())]);
    let at = bytes.windows(4).position(|window| window == b"acme").unwrap();
    bytes[at..at + 4].copy_from_slice(b"AC/E");
    assert_eq!(decoded(&bytes), Err(BadFrame::Checksum));
    let content_bytes = u32::try_from(bytes.len() - HEADER_BYTES).unwrap();
    let good = header(content_bytes, crc32fast::hash(&bytes[HEADER_BYTES..]));
    bytes[..HEADER_BYTES].copy_from_slice(&good);
    assert_eq!(decoded(&bytes), Err(BadFrame::Content));
}

#[test]
fn a_length_that_no_frame_has_is_refused_before_it_is_waited_for() {
    assert_eq!(frame_length(&header(0, 0)), Err(BadFrame::Length(0)));
    assert!(matches!(frame_length(&header(u32::MAX, 0)), Err(BadFrame::Length(_))));
    assert_eq!(frame_length(&[0; HEADER_BYTES]), Err(BadFrame::Header));
    assert_eq!(frame_length(&header(1, 0)[..HEADER_BYTES - 1]), Ok(FrameLength::HeaderMissing));
}

proptest! {
    #[test]
    fn no_damage_passes(at in 0usize..2_000, flip in 1u8..) {
        let frames = [Frame::Full, Frame::Changes(everything()), Frame::Commit(position(7))];
        let mut bytes = encoded(&frames);
        let at = at % bytes.len();
        bytes[at] ^= flip;
        prop_assert!(decoded(&bytes).is_err());
    }

    #[test]
    fn no_bytes_are_too_odd_to_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decoded(&bytes);
        let header = header(u32::try_from(bytes.len()).unwrap(), crc32fast::hash(&bytes));
        let _ = decode(&[&header[..], &bytes].concat());
    }
}

fn take(assembly: &mut Assembly, frames: Vec<Frame>) -> Committed {
    let mut last = None;
    for frame in frames {
        last = assembly.take(frame).unwrap().or(last);
    }
    last.unwrap()
}

#[test]
fn a_commit_makes_what_came_a_whole_and_nothing_before_it_shows() {
    let mut assembly = Assembly::new(Arc::default());
    assert!(assembly.take(Frame::Full).unwrap().is_none());
    assert!(assembly.take(Frame::Changes(everything())).unwrap().is_none());
    let first = take(&mut assembly, vec![Frame::Commit(position(7))]);
    assert_eq!((first.position, first.how), (position(7), CommittedAs::Everything));
    assert_eq!((first.snapshot.revision(), first.snapshot.key_hashes()), (7, 2));

    let revoked = Frame::Changes(vec![Change::DeleteKey(Box::new(key(1)))]);
    let second = take(&mut assembly, vec![revoked, Frame::Heartbeat, Frame::Commit(position(8))]);
    assert_eq!((second.position, second.how), (position(8), CommittedAs::Changes(1)));
    assert!(second.snapshot.key(&key(1).hash).is_none());
    assert!(first.snapshot.key(&key(1).hash).is_some(), "who holds the one before keeps it");

    // Everything anew: what is not in it is gone.
    let tenant = everything().drain(..1).collect();
    let third = take(&mut assembly, vec![Frame::Full, Frame::Changes(tenant), Frame::Commit(position(9))]);
    assert!(third.snapshot.tenant("acme").unwrap().services().next().is_none());
}

#[test]
fn what_does_not_fit_is_no_snapshot() {
    let mut empty = Assembly::new(Arc::default());
    assert_eq!(empty.take(Frame::Commit(position(1))).err(), Some(Misfit::FromNothing));
    let current = Arc::new(Snapshot::default().with(&everything(), 7).unwrap());
    let mut assembly = Assembly::new(Arc::clone(&current));
    let stray = Change::DeletePlan(TENANT, PLAN);
    assembly.take(Frame::Changes(vec![stray])).unwrap();
    assert!(matches!(assembly.take(Frame::Commit(position(8))).err(), Some(Misfit::Problems(_))));
    assert_eq!(current.revision(), 7);
}

#[test]
fn a_node_has_a_plain_name() {
    assert_eq!(NodeName::parse("edge-1.example").unwrap().as_str(), "edge-1.example");
    for bad in ["", "a b", "a/b", "é", &"a".repeat(129)] {
        assert_eq!(NodeName::parse(bad), Err(BadNodeName), "{bad}");
    }
}
