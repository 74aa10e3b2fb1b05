use std::fmt::Write;

use super::*;

/// Each place where a literal and a parameter are both possible doubles what a path may have to be tried against.
#[test]
fn templates_that_would_make_a_look_up_expensive_are_refused() {
    let mut hosts = Hosts::default();
    let mut refused = 0;
    for number in 0..1_u128 << 8 {
        let mut path = String::new();
        for bit in 0..8 {
            let segment = if number >> bit & 1 == 0 { "a".to_owned() } else { format!("{{p{bit}}}") };
            write!(path, "/{segment}").unwrap();
        }
        let json = format!(r#"{{"name":"{number}","service":"s","hosts":["h"],"paths":["{path}/z"]}}"#);
        let mut candidate = hosts.clone();
        if let Ok(route) = serde_json::from_str::<RouteDraft>(&json).unwrap().parse() {
            let route = Arc::new(Route {
                id: RouteId(Uuid::from_u128(number)),
                tenant: TENANT,
                name: route.name,
                split: Split { shares: Vec::new(), sticky: None },
                rules: route.rules,
            });
            match put(&mut candidate, &route) {
                Ok(()) => hosts = candidate,
                Err(conflict) => {
                    assert_eq!(conflict, Conflict::Crowding(Crowding::TooManyOverlaps));
                    refused += 1;
                }
            }
        }
    }
    assert!((1..200).contains(&refused), "{refused}");
    // What was let in is found, and what matches nothing is known after a bounded number of steps.
    assert!(found(&hosts, "/a/a/a/a/a/a/a/a/z").is_some());
    assert_eq!(found(&hosts, "/a/a/a/a/a/a/a/a/y"), None);
    assert_eq!(found(&hosts, &"/a".repeat(2_000)), None);
}

/// A route of one path that wants a parameter of the query to have this value.
fn of_version(number: u128, path: &str) -> Arc<Route> {
    let json = format!(
        r#"{{"name":"{number}","service":"s","hosts":["h"],"paths":["{path}"],"query":{{"v":"{number}"}}}}"#
    );
    route(number, &json)
}

#[test]
fn one_path_of_a_host_is_for_so_many_routes_and_no_more() {
    let mut hosts = Hosts::default();
    let most = u128::try_from(MOST_AT_ONE_PATH).unwrap();
    for number in 1..=most {
        put(&mut hosts, &of_version(number, "/a/{b}")).unwrap();
    }
    let more = of_version(most + 1, "/%61/{c}");
    assert_eq!(put(&mut hosts.clone(), &more), Err(Conflict::Crowding(Crowding::TooManyAtOnePath)));
    for other in ["/a/{b}/*", "/a/b", "/a"] {
        assert_eq!(put(&mut hosts.clone(), &of_version(most + 1, other)), Ok(()), "{other}");
    }
    take(&mut hosts, &of_version(1, "/a/{b}"));
    assert_eq!(put(&mut hosts, &more), Ok(()));
    let asked = Request { query: format!("?v={}", most + 1), ..get() };
    let found = hosts.select(&mut b"h".to_vec(), "/a/x", &asked);
    assert!(matches!(found, Selection::Route(matched) if matched.route.id == more.id));
}

#[test]
fn the_routes_of_all_paths_that_a_request_may_have_are_bounded_together() {
    let mut hosts = Hosts::default();
    let mut path = String::new();
    let mut put_next = |number: u128, path: &str| put(&mut hosts, &of_version(number, &format!("{path}/*")));
    let outcome = (0_u128..1_000).try_for_each(|number| {
        if number % 32 == 0 {
            path.push_str("/a");
        }
        put_next(number, &path).map_err(|conflict| (number, conflict))
    });
    // The place where all paths begin is one more.
    assert_eq!(outcome, Err((255, Conflict::Crowding(Crowding::TooManyOverlaps))));
    // What has no place condemns nobody who comes after it.
    let deepest = format!("{path}/*");
    assert_eq!(
        put(&mut hosts, &of_version(255, &deepest)),
        Err(Conflict::Crowding(Crowding::TooManyOverlaps))
    );
    assert_eq!(put(&mut hosts, &of_version(256, "/b/{c}")), Ok(()));
    take(&mut hosts, &of_version(0, "/a/*"));
    assert_eq!(put(&mut hosts, &of_version(255, &deepest)), Ok(()));
}

#[test]
fn a_query_is_read_once_for_all_routes_and_not_where_none_asks_for_it() {
    #[derive(Default)]
    struct Counting(std::cell::Cell<u32>);
    impl Asked for Counting {
        fn method(&self) -> &[u8] {
            b"GET"
        }
        fn header(&self, _: &str) -> Option<&[u8]> {
            None
        }
        fn query(&self) -> &[u8] {
            self.0.set(self.0.get() + 1);
            b"?v=none"
        }
    }
    let mut hosts = Hosts::default();
    for number in 1..=50 {
        put(&mut hosts, &of_version(number, "/a")).unwrap();
    }
    put(&mut hosts, &route(100, r#"{"name":"b","service":"s","hosts":["h"],"paths":["/b"]}"#)).unwrap();
    for (path, reads) in [("/a", 1), ("/b", 0), ("/c", 0)] {
        let asked = Counting::default();
        let found = hosts.select(&mut b"h".to_vec(), path, &asked);
        assert_eq!((matches!(found, Selection::Route(_)), asked.0.get()), (path == "/b", reads), "{path}");
    }
}

#[test]
fn very_many_routes_of_one_host_come_and_go() {
    const COUNT: u128 = 3_000;
    let template =
        |number: u128| format!("/s{number}/{}", ["x", "{id}", "*"][usize::try_from(number % 3).unwrap()]);
    let routes: Vec<Arc<Route>> = (0..COUNT)
        .map(|number| {
            let path = template(number);
            route(number, &format!(r#"{{"name":"{path}","service":"s","hosts":["h"],"paths":["{path}"]}}"#))
        })
        .collect();
    let mut hosts = Hosts::default();
    for route in &routes {
        put(&mut hosts, route).unwrap();
    }
    let assert_found = |hosts: &Hosts, remain: &dyn Fn(u128) -> bool| {
        for number in 0..COUNT {
            let name = found(hosts, &format!("/s{number}/x")).map(|(name, _)| name);
            assert_eq!(name, remain(number).then(|| template(number)), "{number}");
        }
    };
    assert_found(&hosts, &|_| true);
    let whole = hosts.clone();
    for remaining in [2_000, 1_000, 9, 3] {
        for route in &routes[remaining..] {
            if found(&hosts, &format!("/s{}/x", route.id.0.as_u128())).is_some() {
                take(&mut hosts, route);
            }
        }
        assert_found(&hosts, &|number| number < remaining as u128);
    }
    assert_found(&whole, &|_| true);
    for route in &routes[..3] {
        take(&mut hosts, route);
    }
    assert!(hosts.is_empty());
}

#[test]
fn a_long_template_is_as_good_as_a_short_one() {
    let long = format!("/{}/{{id}}/{}", "a".repeat(90), "b".repeat(90));
    let hosts = of_paths(&[&long, &format!("/{}", "a".repeat(89))]);
    let path = long.replace("{id}", "7");
    assert_eq!(found(&hosts, &path), Some((long, vec!["7".to_owned()])));
}
