//! What looking a route up costs among few and very many, beside a linear scan and `matchit`.
//!
//! All routes are of one host. Every look-up is for another route at random, and all routes have their turn, so that no
//! part of a large table is in the cache because it was just asked. Tollgate's figure is the whole way from the `Host`
//! field to the route, its captures and its priority; the others' is the path alone.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark stops at what it did not expect")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use tollgate_core::resource::{
    BaseUrl, DisplayName, HeaderName, Route, RouteDraft, RouteId, Service, ServiceId, ServiceLimits,
    ServiceSlug, Target, TargetId, Tenant, TenantId, TenantSlug, TimeZone, Timeouts,
};
use tollgate_core::routing::{Asked, CanonicalPath, Selection, Split, read_host};
use tollgate_core::snapshot::{Change, Snapshot};
use uuid::Uuid;

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// More would take its time.
const LARGEST_LINEAR: usize = 10_000;
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const SERVICE: ServiceId = ServiceId(Uuid::from_u128(2));

struct Get;

impl Asked for Get {
    fn method(&self) -> &[u8] {
        b"GET"
    }

    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }

    fn query(&self) -> &[u8] {
        b""
    }
}

/// Templates as APIs have them, and a path for each.
fn template(number: usize) -> (String, String) {
    match number % 4 {
        0 => (format!("/service-{number}/items"), format!("/service-{number}/items")),
        1 => (format!("/service-{number}/items/{{id}}"), format!("/service-{number}/items/4711")),
        2 => (
            format!("/service-{number}/users/{{user}}/orders/{{order}}"),
            format!("/service-{number}/users/ann/orders/2026-17"),
        ),
        _ => (format!("/service-{number}/files/{{*rest}}"), format!("/service-{number}/files/a/b/c.txt")),
    }
}

/// So many paths, one for each template, in no order; they lie one behind the other, as in the order of asking.
struct Paths {
    text: String,
    ends: Vec<usize>,
    next: usize,
}

impl Paths {
    fn new(count: usize) -> Self {
        let mut numbers: Vec<usize> = (0..count).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for index in (1..count).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            numbers.swap(index, (state >> 33) as usize % (index + 1));
        }
        let (mut text, mut ends) = (String::new(), Vec::new());
        for number in numbers {
            text.push_str(&template(number).1);
            ends.push(text.len());
        }
        Self { text, ends, next: 0 }
    }

    fn next(&mut self) -> &str {
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        let path = &self.text[start..self.ends[self.next]];
        self.next = (self.next + 1) % self.ends.len();
        path
    }
}

fn service() -> Change {
    let target = Target {
        id: TargetId(Uuid::from_u128(3)),
        url: BaseUrl::parse("http://upstream.example").unwrap(),
        weight: 1,
        reach: tollgate_core::address::Reach::Public,
        duty: tollgate_core::balance::Duty::Serving,
    };
    Change::PutService(Service {
        id: SERVICE,
        tenant: TENANT,
        slug: ServiceSlug::parse("api").unwrap(),
        name: DisplayName::parse("api").unwrap(),
        auth_header: HeaderName::parse("X-API-Key").unwrap(),
        targets: vec![target],
        timeouts: Timeouts::default(),
        max_body_bytes: None,
        jwt: Vec::new(),
        limits: ServiceLimits::default(),
        traffic: Box::default(),
    })
}

fn route(number: usize) -> Change {
    let draft = RouteDraft {
        name: format!("route {number}"),
        service: Some("api".to_owned()),
        hosts: vec!["api.example.com".to_owned()],
        paths: vec![template(number).0],
        ..RouteDraft::default()
    };
    let spec = draft.parse().unwrap();
    Change::PutRoute(Route {
        id: RouteId(Uuid::from_u128(number as u128)),
        tenant: TENANT,
        name: spec.name,
        split: Split { shares: vec![(SERVICE, 1)], sticky: None },
        rules: spec.rules,
    })
}

fn snapshot(routes: usize) -> Snapshot {
    let tenant = Change::PutTenant(Tenant {
        id: TENANT,
        slug: TenantSlug::parse("acme").unwrap(),
        name: DisplayName::parse("acme").unwrap(),
        time_zone: TimeZone::UTC,
        limits: Vec::new(),
    });
    let changes: Vec<Change> = [tenant, service()].into_iter().chain((0..routes).map(route)).collect();
    Snapshot::default().grown(&changes, 1).unwrap()
}

/// Segment by segment, template by template.
fn linear<'t>(templates: &'t [String], path: &str) -> Option<&'t String> {
    templates.iter().find(|template| {
        let mut segments = path.split('/');
        for wanted in template.split('/') {
            match (wanted.as_bytes(), segments.next()) {
                ([b'{', b'*', ..], Some(_)) => return true,
                ([b'{', ..], Some(segment)) if !segment.is_empty() => {}
                (_, segment) if segment == Some(wanted) => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    })
}

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routes");
    for size in SIZES {
        let snapshot = snapshot(size);
        let mut paths = Paths::new(size);
        group.bench_function(BenchmarkId::new("tollgate", size), |bencher| {
            bencher.iter(|| {
                let path = CanonicalPath::parse(paths.next().as_bytes()).unwrap();
                let mut buffer = [0; _];
                let host = read_host(black_box(b"api.example.com"), &mut buffer).unwrap();
                let selection = snapshot.hosts().unwrap().select(host, path.as_str(), &Get);
                assert!(matches!(black_box(&selection), Selection::Route(_)));
            });
        });

        let mut router = matchit::Router::new();
        for number in 0..size {
            router.insert(template(number).0, Arc::new(number)).unwrap();
        }
        let mut paths = Paths::new(size);
        group.bench_function(BenchmarkId::new("matchit", size), |bencher| {
            bencher.iter(|| {
                assert!(black_box(&router.at(paths.next())).is_ok());
            });
        });

        if size <= LARGEST_LINEAR {
            let templates: Vec<String> = (0..size).map(|number| template(number).0).collect();
            let mut paths = Paths::new(size);
            group.bench_function(BenchmarkId::new("linear", size), |bencher| {
                bencher.iter(|| linear(black_box(&templates), paths.next()).unwrap().len());
            });
        }
    }
    group.finish();
}

/// One route changes, and another snapshot is made of the one that is in force.
fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    for size in SIZES {
        let snapshot = snapshot(size);
        let mut number = 0;
        group.bench_function(BenchmarkId::new("tollgate", size), |bencher| {
            bencher.iter_batched(
                || {
                    number = (number + 7_919) % size;
                    [route(number)]
                },
                |change| snapshot.with(&change, 2).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, look_ups, changes);
criterion_main!(benches);
