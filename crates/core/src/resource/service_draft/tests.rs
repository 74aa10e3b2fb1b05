use super::*;

fn draft(json: &str) -> ServiceDraft {
    serde_json::from_str(json).unwrap()
}

fn fields(problems: &Problems) -> Vec<&str> {
    problems.iter().map(|problem| problem.field.as_str()).collect()
}

#[test]
fn one_target_may_be_given_as_url() {
    let spec = draft(r#"{"slug":"api","url":"http://host:8080"}"#).parse().unwrap();
    assert_eq!(spec.targets.len(), 1);
    assert_eq!(spec.auth_header.as_str(), "X-API-Key");
}

#[test]
fn every_problem_is_named() {
    let json = r#"{"slug":"A!","targets":[{"url":"ftp://x","weight":0},{"url":"http://h"},{"url":"http://h/"}],
        "auth_header":"Host","timeouts":{"connect":"0s"},"rules":[{"name":"a","cost":0}],
        "balancer":{"algorithm":"luck"}}"#;
    let problems = draft(json).parse().unwrap_err();
    assert_eq!(
        fields(&problems),
        [
            "slug",
            "targets[0].weight",
            "targets[0].url",
            "targets[2].url",
            "auth_header",
            "timeouts.connect",
            "rules[0].cost",
            "balancer.algorithm"
        ]
    );
}

#[test]
fn a_list_that_is_too_long_is_refused_without_a_look_at_what_is_beyond() {
    let draft = ServiceDraft {
        targets: Some(vec![TargetDraft { url: "http://h".into(), weight: None, drain: None }; 100_000]),
        ..draft(r#"{"slug":"a"}"#)
    };
    let problems = draft.parse().unwrap_err();
    assert_eq!((fields(&problems)[0], problems.iter().count()), ("targets", MOST_TARGETS));
}

#[test]
fn what_is_left_out_is_no_problem_of_its_own() {
    let problems = draft(r#"{"slug":"","url":"http://h"}"#).parse().unwrap_err();
    assert_eq!(fields(&problems), ["slug"]);
}

#[test]
fn a_body_limit_is_a_number_that_the_database_can_hold() {
    let with_limit =
        |bytes: u64| draft(&format!(r#"{{"slug":"a","url":"http://h","max_body_bytes":{bytes}}}"#)).parse();
    assert_eq!(with_limit(u64::MAX / 2).unwrap().max_body_bytes, Some(u64::MAX / 2));
    assert_eq!(fields(&with_limit(u64::MAX / 2 + 1).unwrap_err()), ["max_body_bytes"]);
}

#[test]
fn url_and_targets_together_or_neither_are_refused() {
    let both = draft(r#"{"slug":"a","url":"http://h","targets":[]}"#).parse().unwrap_err();
    assert_eq!(fields(&both), ["url"]);
    let neither = draft(r#"{"slug":"a"}"#).parse().unwrap_err();
    assert_eq!(fields(&neither), ["targets"]);
}
