//! What a request costs once it is answered.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Gateway, Response, ScriptedUpstream, Step, Stopped, exactly};
use serde_json::{Value, json};

/// A gateway before an upstream whose responses a path chooses, and a key with a limit of 10.
fn started(service: &Value) -> (Gateway, ScriptedUpstream, String) {
    let upstream = ScriptedUpstream::start(|exchange| {
        exchange.read_whole_body()?;
        let response = match exchange.request.target.as_str() {
            "/seven" => "HTTP/1.1 200 OK\r\nx-cost: 7\r\nContent-Length: 0\r\n\r\n",
            "/nothing" => "HTTP/1.1 200 OK\r\nX-Cost: 0\r\nContent-Length: 0\r\n\r\n",
            "/unclear" => "HTTP/1.1 200 OK\r\nX-Cost: a lot\r\nContent-Length: 0\r\n\r\n",
            "/hinted" => {
                "HTTP/1.1 103 Early Hints\r\nX-Cost: 3\r\nX-RateLimit-Remaining-Day: 7\r\nLink: </a>\r\n\r\n\
                 HTTP/1.1 200 OK\r\nX-Cost: 2\r\nContent-Length: 0\r\n\r\n"
            }
            "/trailed" => {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Cost: 9\r\nX-Sum: 1\r\n\r\n"
            }
            "/broken" => "HTTP/1.1 200 OK\r\nX-Cost: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "/500" => "HTTP/1.1 500 Oops\r\nX-Cost: 4\r\nContent-Length: 0\r\n\r\n",
            "/404" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "/gone" => return Err(Stopped::Closed),
            "/silent" => return exchange.run(&[Step::AwaitClose]),
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        };
        exchange.write(response)
    });
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    let mut whole = json!({ "slug": "api", "url": upstream.url() });
    for (name, value) in service.as_object().expect("fields of a service") {
        whole[name] = value.clone();
    }
    tenant.service_with(&whole).plan_with(&json!({ "slug": "plan", "limits": [exactly(10)] }));
    let key = tenant.key("plan");
    (gateway, upstream, key)
}

fn get(gateway: &Gateway, path: &str, key: &str) -> Response {
    gateway.client().get(path, &[("X-API-Key", key)])
}

fn remaining(response: &Response) -> &str {
    response.header("X-RateLimit-Remaining-700h").expect("a limit")
}

#[test]
fn a_response_says_what_its_request_has_cost_to_the_gateway_alone() {
    let (gateway, upstream, key) = started(&json!({ "cost_header": "X-Cost" }));
    let response = get(&gateway, "/acme/api/nothing", &key).expect(200);
    assert_eq!((remaining(&response), response.header("X-Cost")), ("10", None));
    let response = get(&gateway, "/acme/api/unclear", &key).expect(200);
    assert_eq!((remaining(&response), response.header("X-Cost")), ("9", None), "it costs what was charged");
    let mut client = gateway.client();
    client.send(format!("GET /acme/api/hinted HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
    let hint = client.read_response();
    assert_eq!((hint.status, hint.header("Link"), hint.headers.len()), (103, Some("</a>"), 1), "{hint:?}");
    assert_eq!(remaining(&client.read_response()), "7");
    let response = get(&gateway, "/acme/api/trailed", &key).expect(200);
    assert_eq!(
        (remaining(&response), response.trailers.as_slice()),
        ("6", &[("X-Sum".into(), "1".into())][..])
    );
    // What was used is charged beyond the limit too.
    let response = get(&gateway, "/acme/api/seven", &key).expect(200);
    assert_eq!((remaining(&response), response.header("X-Cost")), ("0", None));
    get(&gateway, "/acme/api/nothing", &key).expect(429);
    assert_eq!(upstream.requests().len(), 5);
}

#[test]
fn a_rule_s_cost_is_what_is_charged_until_the_response_says_better() {
    let service = json!({ "cost_header": "X-Cost", "rules": [{ "name": "all", "cost": 5 }] });
    let (gateway, _upstream, key) = started(&service);
    assert_eq!(remaining(&get(&gateway, "/acme/api/hinted", &key).expect(200)), "8");
    assert_eq!(remaining(&get(&gateway, "/acme/api/plain", &key).expect(200)), "3");
    let refused = get(&gateway, "/acme/api/nothing", &key).expect(429);
    assert_eq!(remaining(&refused), "3", "the whole charge has to fit");
}

#[test]
fn a_field_that_no_service_names_goes_through_and_costs_nothing() {
    let (gateway, _upstream, key) = started(&json!({}));
    let response = get(&gateway, "/acme/api/seven", &key).expect(200);
    assert_eq!((remaining(&response), response.header("X-Cost")), ("9", Some("7")));
}

#[test]
fn what_fails_is_given_back_where_the_service_says_so() {
    let service = json!({
        "cost_header": "X-Cost", "refund_on_failure": true, "max_body_bytes": 1,
        "rules": [{ "name": "all", "cost": 2 }], "timeouts": { "first_byte": "200ms" },
    });
    let (gateway, _upstream, key) = started(&service);
    for (path, status, left) in [
        ("/acme/api/500", 500, "10"),
        ("/acme/api/gone", 502, "10"),
        ("/acme/api/silent", 504, "10"),
        ("/acme/api/404", 404, "8"),
        ("/acme/api/plain", 200, "6"),
    ] {
        let response = get(&gateway, path, &key).expect(status);
        assert_eq!(remaining(&response), left, "{path}");
    }
    let own = [("X-API-Key", key.as_str())];
    let too_large = gateway.client().request("POST", "/acme/api/plain", &own, b"too large").expect(413);
    assert_eq!(remaining(&too_large), "4", "the client's own fault");
}

#[test]
fn what_fails_is_charged_where_the_service_says_nothing() {
    let (gateway, _upstream, key) = started(&json!({}));
    assert_eq!(remaining(&get(&gateway, "/acme/api/500", &key).expect(500)), "9");
    assert_eq!(remaining(&get(&gateway, "/acme/api/gone", &key).expect(502)), "8");
}

#[test]
fn a_response_that_is_taken_back_costs_what_a_failure_does() {
    for (refund, left) in [(true, "10"), (false, "5")] {
        let (gateway, _upstream, key) =
            started(&json!({ "cost_header": "X-Cost", "refund_on_failure": refund }));
        get(&gateway, "/acme/api/broken", &key).expect(502);
        let usage = gateway.client().get("/-/usage", &[("X-API-Key", &key)]).expect(200);
        assert_eq!(remaining(&usage), left, "{refund}");
    }
}
