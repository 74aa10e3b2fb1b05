use super::*;
use crate::problem::Problems;
use crate::resource::RouteSpec;

fn parse(json: &str) -> Result<RouteSpec, Vec<String>> {
    let draft: RouteDraft = serde_json::from_str(json).unwrap();
    draft.parse().map_err(|problems| problems.into_vec().into_iter().map(|problem| problem.field).collect())
}

#[test]
fn what_is_written_parses_back() {
    let whole = r#"{"name":"","hosts":["api.example.com","*.example.org"],"paths":["/users/{id}"],"methods":["GET"],
        "headers":{"x-env":"canary","x-trace":true},"query":{"v":"2"},"priority":7,"rewrite_path":"/u/{id}",
        "rewrite_host":"internal.example:81","timeout":"5s","retries":2,"max_body_bytes":9,"enabled":false}"#;
    let draft: RouteDraft = serde_json::from_str(whole).unwrap();
    let mut problems = Problems::default();
    let rules = draft.parse_rules(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    let written = RouteDraft::from(&rules);
    let expected: serde_json::Value = serde_json::from_str(whole).unwrap();
    assert_eq!(serde_json::to_value(&written).unwrap(), expected);
    assert_eq!(written.parse_rules(&mut problems), rules);
}

#[test]
fn every_problem_is_named() {
    let json = r#"{"name":" ","services":[{"service":"A"},{"service":"a","weight":0},{"service":"a"}],
        "sticky":"mood","hosts":["a.example:80","a.example","A.example."],
        "paths":["/a/../b","/{x}","/{y}","/health","/b//c"],"methods":["get","CONNECT"],
        "headers":{"Authorization":"Bearer x","X-A":false,"X-B":"1","x-b":"2"},"query":{"":"1"},
        "priority":2000000,"strip_prefix":true,"rewrite_path":"/x","rewrite_host":"a b","timeout":"0s",
        "retries":11,"max_body_bytes":18446744073709551615}"#;
    assert_eq!(
        parse(json).unwrap_err(),
        [
            "name",
            "services[0].service",
            "services[1].weight",
            "services[2].service",
            "sticky",
            "hosts[0]",
            "hosts[1]",
            "paths[0]",
            "paths[4]",
            "paths[1]",
            "paths[2]",
            "rewrite_path",
            "methods[0]",
            "methods[1]",
            "headers.Authorization",
            "headers.X-A",
            "headers.x-b",
            "query.",
            "priority",
            "rewrite_host",
            "timeout",
            "retries",
            "max_body_bytes",
        ]
    );
}

/// A body of a mebibyte holds some hundred thousand entries: comparing each with all before it would take minutes.
#[test]
fn a_list_that_is_too_long_is_refused_without_a_look_at_what_is_beyond() {
    let draft = RouteDraft {
        name: "a".to_owned(),
        services: Some(vec![ShareDraft { service: "s".to_owned(), weight: None }; 100_000]),
        hosts: vec!["h.example".to_owned(); 100_000],
        paths: vec!["/".to_owned(); 100_000],
        methods: vec!["GET".to_owned(); 100_000],
        headers: (0..100_000).map(|number| (format!("x-{number}"), TextOrBool::Bool(true))).collect(),
        ..RouteDraft::default()
    };
    let problems = draft.parse().unwrap_err().into_vec();
    for (field, most) in [("services", 16), ("hosts", 64), ("paths", 64), ("methods", 64), ("headers", 16)] {
        let said: Vec<_> = problems.iter().filter(|problem| problem.field.starts_with(field)).collect();
        assert!(said.iter().any(|problem| problem.field == field), "{field} is too long");
        assert!(said.len() <= most, "{} problems of {field}", said.len());
    }
    assert!(crate::resource::Referring::references(&draft).count() <= 16);
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (json, field) in [
        (r#"{"name":"a"}"#, "service"),
        (r#"{"name":"a","service":"s","services":[{"service":"s"}]}"#, "service"),
        (r#"{"name":"a","services":[]}"#, "services"),
        (r#"{"name":"a","service":"s","sticky":"key"}"#, "sticky"),
        (r#"{"name":"a","service":"s","rewrite_host":"h","preserve_host":true}"#, "rewrite_host"),
        (r#"{"name":"a","service":"s","paths":["/a/*","/b"],"strip_prefix":"/a"}"#, "strip_prefix"),
        (r#"{"name":"a","service":"s","paths":["/ab"],"strip_prefix":"/a"}"#, "strip_prefix"),
        (r#"{"name":"a","service":"s","strip_prefix":"/a"}"#, "strip_prefix"),
        (r#"{"name":"a","service":"s","strip_prefix":"/a/"}"#, "strip_prefix"),
        (r#"{"name":"a","service":"s","paths":["/{id}","/a"],"rewrite_path":"/{id}"}"#, "rewrite_path"),
        (r#"{"name":"a","service":"s","rewrite_path":"/a?b=1"}"#, "rewrite_path"),
        (r#"{"name":"a","service":"s","rewrite_path":"a"}"#, "rewrite_path"),
        (r#"{"name":"a","service":"s","rewrite_path":"/a}"}"#, "rewrite_path"),
        (r#"{"name":"a","service":"s","paths":["/{id}"],"rewrite_path":"/}{id}"}"#, "rewrite_path"),
    ] {
        assert_eq!(parse(json).unwrap_err(), [field], "{json}");
    }
    for json in [
        r#"{"name":"a","service":"s","paths":["/a/*","/a/b","/a"],"strip_prefix":"/a"}"#,
        r#"{"name":"a","service":"s","paths":["/health"]}"#,
        r#"{"name":"a","service":"s","query":{"v":2},"rewrite_path":"/x","strip_prefix":false}"#,
    ] {
        assert!(parse(json).is_ok(), "{json}");
    }
}
