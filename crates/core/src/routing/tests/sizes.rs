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
                    assert_eq!(conflict, Conflict::TooManyOverlaps);
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
