use std::time::Duration;

use super::*;

fn draft(json: &str) -> TrafficDraft {
    serde_json::from_str(json).unwrap()
}

fn fields(json: &str) -> Vec<String> {
    draft(json).parse().unwrap_err().iter().map(|problem| problem.field.clone()).collect()
}

const WHOLE: &str = r#"{
    "balancer":{"algorithm":"hash","hash_on":"header:X-Session","most_load_percent":150,
        "slow_start":{"window":"1m","aggression_percent":200}},
    "failure_on":["connect","timeout","503"],
    "breaker":{"per":"target","error_percent":50,"minimum_requests":10,"window":"30s","recovery":"5s","probes":1,
        "successes":2},
    "outlier":{"consecutive":3,"error_percent":40,"minimum_requests":5,"window":"20s","ejection":"10s",
        "longest_ejection":"1m","most_ejected_percent":30},
    "retries":{"attempts":1,"on":["connect","5xx"],"backoff":{"base":"10ms","longest":"1s"},"budget_percent":10,
        "replay_bytes":0},
    "health_check":{"path":"/up?deep=1","interval":"5s","timeout":"1s","expect":["204","3xx"],"healthy":1,"unhealthy":2,
        "jitter_percent":0},
    "channel":{"adaptive":{"initial":10,"least":2,"most":50},"queue":7,"longest_wait":"1s"},
    "hedging":{"percentile":90,"minimum_samples":7}}"#;

#[test]
fn what_is_written_parses_back() {
    let parsed = draft(WHOLE).parse().unwrap();
    let written = TrafficDraft::from(&parsed);
    let expected: serde_json::Value = serde_json::from_str(WHOLE).unwrap();
    assert_eq!(serde_json::to_value(&written).unwrap(), expected);
    assert_eq!(written.parse().unwrap(), parsed);
}

#[test]
fn what_is_left_out_or_switched_off_stays_so() {
    assert_eq!(draft("{}").parse().unwrap(), Traffic::default());
    assert_eq!(serde_json::to_string(&TrafficDraft::from(&Traffic::default())).unwrap(), "{}");
    let off = r#"{"breaker":{"enabled":false},"outlier":{"enabled":false},"retries":{"enabled":false}}"#;
    let parsed = draft(off).parse().unwrap();
    assert_eq!((parsed.breaker, parsed.outlier), (Setting::Off, Setting::Off));
    assert_eq!(serde_json::to_string(&TrafficDraft::from(&parsed)).unwrap(), off);
}

#[test]
fn what_is_empty_is_what_is_usual() {
    let parsed = draft(r#"{"breaker":{},"outlier":{},"retries":{}}"#).parse().unwrap();
    assert_eq!(parsed.breaker, Setting::On(BreakerRules::DEFAULT));
    assert_eq!(parsed.outlier, Setting::On(OutlierRules::DEFAULT));
    assert_eq!(parsed.retries, Setting::On(RetryRules::DEFAULT));
}

#[test]
fn a_list_that_is_too_long_is_refused_without_a_look_at_what_is_beyond() {
    let list = vec!["6xx".to_owned(); 100_000];
    let draft = TrafficDraft {
        failure_on: Some(list.clone()),
        retries: Some(RetriesDraft { on: Some(list.clone()), ..RetriesDraft::default() }),
        health_check: Some(HealthCheckDraft { expect: Some(list), ..HealthCheckDraft::default() }),
        ..TrafficDraft::default()
    };
    let problems = draft.parse().unwrap_err();
    for field in ["failure_on", "retries.on", "health_check.expect"] {
        assert!(problems.iter().any(|problem| problem.field == field), "{field}");
    }
    assert_eq!(problems.iter().count(), 3 * (1 + MOST_PATTERNS));
    // Whatever may be said once each may be said together.
    let statuses = (200..600).map(|status: u16| status.to_string());
    let classes = (2..6).map(|class| format!("{class}xx"));
    let every: Vec<String> = ["connect", "reset", "timeout"]
        .map(str::to_owned)
        .into_iter()
        .chain(statuses)
        .chain(classes)
        .collect();
    assert_eq!(every.len(), MOST_PATTERNS);
    let retries = Some(RetriesDraft { on: Some(every), ..RetriesDraft::default() });
    assert!(TrafficDraft { retries, ..TrafficDraft::default() }.parse().is_ok());
}

#[test]
fn every_problem_is_named() {
    assert_eq!(
        fields(
            r#"{"balancer":{"algorithm":"random","slow_start":{"window":"0s","aggression_percent":5}},
            "failure_on":["connect","6xx","connect"],
            "breaker":{"per":"worker","failures":0,"recovery":"48h","probes":0,"minimum_requests":3},
            "outlier":{"consecutive":0,"window":"1s","ejection":"10m","longest_ejection":"1m","most_ejected_percent":101},
            "retries":{"attempts":0,"on":["never"],"backoff":{"base":"1s","longest":"1ms"},"budget_percent":101,
                "replay_bytes":9999999},
            "health_check":{"path":"up","interval":"1ms","timeout":"1m","expect":["connect"],"healthy":0,
                "jitter_percent":51},
            "channel":{"concurrency":0,"queue":100001,"longest_wait":"0s"},
            "hedging":{"percentile":100,"minimum_samples":0}}"#
        ),
        [
            "balancer.algorithm",
            "balancer.slow_start.aggression_percent",
            "balancer.slow_start.window",
            "failure_on[1]",
            "failure_on[2]",
            "breaker.per",
            "breaker.failures",
            "breaker.minimum_requests",
            "breaker.recovery",
            "breaker.probes",
            "outlier.consecutive",
            "outlier.window",
            "outlier.most_ejected_percent",
            "outlier.longest_ejection",
            "retries.on[0]",
            "retries.budget_percent",
            "retries.attempts",
            "retries.backoff.longest",
            "retries.replay_bytes",
            "health_check.path",
            "health_check.interval",
            "health_check.timeout",
            "health_check.expect[0]",
            "health_check.healthy",
            "health_check.jitter_percent",
            "channel.concurrency",
            "channel.queue",
            "channel.longest_wait",
            "hedging.percentile",
            "hedging.minimum_samples",
        ]
    );
}

#[test]
fn whichever_bound_is_passed_both_are_told() {
    for interval in ["0s", "50ms", "25h"] {
        let draft = draft(&format!(r#"{{"health_check":{{"interval":"{interval}"}}}}"#));
        let problems = draft.parse().unwrap_err().to_string();
        assert_eq!(problems, "health_check.interval: must be between 100ms and 24h", "{interval}");
    }
}

#[test]
fn what_was_not_written_follows_what_was() {
    draft(r#"{"outlier":{"ejection":"10m"}}"#).parse().unwrap();
    assert_eq!(
        fields(r#"{"health_check":{"expect":["101","204","204"]}}"#),
        ["health_check.expect[0]", "health_check.expect[2]"]
    );
}

#[test]
fn what_contradicts_itself_is_named() {
    assert_eq!(fields(r#"{"balancer":{"algorithm":"hash"}}"#), ["balancer.hash_on"]);
    assert_eq!(fields(r#"{"balancer":{"hash_on":"key"}}"#), ["balancer.hash_on"]);
    assert_eq!(fields(r#"{"balancer":{"algorithm":"hash","hash_on":"header:"}}"#), ["balancer.hash_on"]);
    assert_eq!(fields(r#"{"channel":{}}"#), ["channel.concurrency"]);
    assert_eq!(fields(r#"{"channel":{"concurrency":1,"adaptive":{}}}"#), ["channel.concurrency"]);
    assert_eq!(fields(r#"{"channel":{"adaptive":{"least":9,"most":8}}}"#), ["channel.adaptive.least"]);
    assert_eq!(fields(r#"{"hedging":{"delay":"1s","percentile":90}}"#), ["hedging.delay"]);
    assert_eq!(fields(r#"{"hedging":{"delay":"0s"}}"#), ["hedging.delay"]);
    assert_eq!(fields(r#"{"hedging":{},"retries":{"enabled":false}}"#), ["hedging"]);
    assert_eq!(fields(r#"{"breaker":{"failures":3,"error_percent":50}}"#), ["breaker.failures"]);
    assert_eq!(fields(r#"{"health_check":{"interval":"1s","timeout":"2s"}}"#), ["health_check.timeout"]);
}

#[test]
fn a_response_that_is_no_failure_is_not_listed_as_one() {
    let list = r#"{"failure_on":["304","connect","4xx","2xx","429"]}"#;
    assert_eq!(fields(list), ["failure_on[0]", "failure_on[3]"]);
    // Another attempt may be worth it for any.
    assert!(draft(r#"{"retries":{"on":["202","3xx"]}}"#).parse().is_ok());
    let kept = draft(list).within_bounds().parse().unwrap().failures;
    assert_eq!(causes_as_written(&kept), ["connect", "4xx", "429"]);
}

#[test]
fn no_check_takes_longer_than_a_minute() {
    let check = |timeout: &str| format!(r#"{{"health_check":{{"interval":"24h","timeout":"{timeout}"}}}}"#);
    assert!(draft(&check("60s")).parse().is_ok());
    for timeout in ["61s", "24h"] {
        let draft = draft(&check(timeout));
        let problems = draft.parse().unwrap_err().to_string();
        assert_eq!(problems, "health_check.timeout: must be between 1ms and 60s");
        let Setting::On(kept) = draft.within_bounds().parse().unwrap().health_check else {
            panic!("it is on")
        };
        assert_eq!(kept.timeout, Duration::from_mins(1));
    }
}
