//! Webhooks: signed, retried, and none held up by another.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    BlackHole, EchoUpstream, Gate, Gateway, Received, ScriptedUpstream, Step, eventually, eventually_some,
    python,
};
use serde_json::{Value, json};

/// A gateway whose key reaches a threshold with its first request, and that of each further key.
struct Scene {
    gateway: Gateway,
    _upstream: EchoUpstream,
}

impl Scene {
    fn start() -> Self {
        let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
        let tenant = gateway.tenant("acme");
        let limits = json!([{ "requests": 10, "per": "month", "thresholds": [10] }]);
        tenant.service("api", &upstream.url()).plan_with(&json!({ "slug": "plan", "limits": limits }));
        Self { gateway, _upstream: upstream }
    }

    fn restart_after(self, signal: &str) -> Self {
        Self { gateway: self.gateway.restart_after(signal), ..self }
    }

    /// Its id and its secret.
    #[track_caller]
    fn webhook(&self, url: &str) -> (String, String) {
        let made = self.gateway.admin().post("/api/webhooks?tenant=acme", &json!({ "url": url })).expect(201);
        let text = |field: &str| made[field].as_str().expect("a text").to_owned();
        (text("id"), text("secret"))
    }

    /// A new key reaches the threshold.
    #[track_caller]
    fn cross(&self) {
        let made = json!({ "name": "key", "plan": "plan" });
        let made = self.gateway.admin().post("/api/keys?tenant=acme", &made).expect(201);
        let key = made["key"].as_str().expect("a key");
        self.gateway.client().get("/acme/api/", &[("X-API-Key", key)]).expect(200);
    }

    #[track_caller]
    fn deliveries(&self, webhook: &str) -> Vec<Value> {
        let path = format!("/api/webhooks/{webhook}/deliveries?tenant=acme");
        self.gateway.admin().get(&path).expect(200)["items"].as_array().expect("a list").clone()
    }

    #[track_caller]
    fn await_delivered(&self, webhook: &str) -> Value {
        eventually_some("the delivery is noted", || {
            self.deliveries(webhook).into_iter().next().filter(|delivery| delivery["state"] == "delivered")
        })
    }
}

/// By Python's hmac, as a receiver would.
const VERIFY: &str = r"
import base64, hashlib, hmac, sys
secret, id, timestamp, body, signature = sys.argv[1:]
key = base64.b64decode(secret.removeprefix('whsec_'))
expected = base64.b64encode(hmac.new(key, f'{id}.{timestamp}.{body}'.encode(), hashlib.sha256).digest()).decode()
sys.exit(0 if signature == 'v1,' + expected else 1)
";

fn is_signed_with(message: &Received, secret: &str) -> bool {
    let field = |name: &str| message.header(name).expect("a field of Standard Webhooks");
    let body = std::str::from_utf8(&message.body).expect("a text");
    let arguments =
        [secret, field("webhook-id"), field("webhook-timestamp"), body, field("webhook-signature")];
    python(VERIFY, &arguments).code == Some(0)
}

fn json_of(message: &Received) -> Value {
    serde_json::from_slice(&message.body).expect("JSON")
}

fn id_of(message: &Received) -> String {
    message.header("webhook-id").expect("an id").to_owned()
}

#[test]
fn an_event_arrives_signed_as_it_is_listed() {
    let receiver = ScriptedUpstream::responding("thanks");
    let scene = Scene::start();
    let (webhook, secret) = scene.webhook(&format!("{}/hooks/?from=tollgate", receiver.url()));
    scene.cross();
    let message = receiver.await_request(0);
    assert_eq!((message.method.as_str(), message.target.as_str()), ("POST", "/hooks/?from=tollgate"));
    assert_eq!(message.header("content-type"), Some("application/json"));
    assert!(is_signed_with(&message, &secret));
    assert!(!is_signed_with(&message, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
    let listed = scene.gateway.admin().get("/api/events?tenant=acme").expect(200);
    assert_eq!(json_of(&message), listed["items"][0]);
    assert_eq!(
        (json_of(&message)["type"].as_str(), json_of(&message)["id"].as_str()),
        (Some("limit.threshold"), Some(&*id_of(&message)))
    );
    let delivery = scene.await_delivered(&webhook);
    assert_eq!((&delivery["attempts"], &delivery["status"]), (&json!(1), &json!(200)));
    // The secret is nowhere in clear, in the database or in the log.
    assert_eq!(scene.gateway.files_with(&secret), Vec::<std::path::PathBuf>::new());
    assert!(scene.gateway.stderr().iter().all(|line| !line.contains(&secret)));
}

#[test]
fn what_is_not_taken_is_sent_again_until_it_is_and_no_redirect_is_followed() {
    let elsewhere = ScriptedUpstream::responding("");
    let moved = format!("HTTP/1.1 307 Moved\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", elsewhere.url());
    let receiver = ScriptedUpstream::scripts(vec![
        Step::respond("500 Oops", ""),
        vec![Step::ReadWholeBody, Step::write(moved)],
        Step::respond("204 No Content", ""),
    ]);
    let scene = Scene::start();
    let (webhook, secret) = scene.webhook(&receiver.url());
    scene.cross();
    receiver.await_request(0);
    let waiting = eventually_some("a failure is noted", || {
        scene.deliveries(&webhook).into_iter().next().filter(|delivery| delivery["attempts"] == 1)
    });
    assert_eq!((&waiting["state"], &waiting["status"]), (&json!("pending"), &json!(500)));
    assert!(waiting["next_attempt_at"].is_string(), "{waiting}");
    let messages = [0, 1, 2].map(|number| receiver.await_request(number));
    assert!(messages.iter().all(|message| id_of(message) == id_of(&messages[0])));
    assert!(
        messages.iter().all(|message| message.body == messages[0].body && is_signed_with(message, &secret))
    );
    let delivery = scene.await_delivered(&webhook);
    assert_eq!((&delivery["attempts"], &delivery["status"]), (&json!(3), &json!(204)));
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_receiver_that_does_not_answer_in_time_is_sent_it_again() {
    let receiver = ScriptedUpstream::scripts(vec![
        vec![Step::ReadWholeBody, Step::AwaitClose],
        Step::respond("200 OK", ""),
    ]);
    let scene = Scene::start();
    let (webhook, _) = scene.webhook(&receiver.url());
    scene.cross();
    assert_eq!(id_of(&receiver.await_request(0)), id_of(&receiver.await_request(1)));
    assert_eq!(scene.await_delivered(&webhook)["attempts"], 2);
}

#[test]
fn a_restart_goes_on_with_what_was_to_be_sent() {
    let receiver =
        ScriptedUpstream::scripts(vec![Step::respond("500 Oops", ""), Step::respond("200 OK", "")]);
    let scene = Scene::start();
    let (webhook, _) = scene.webhook(&receiver.url());
    scene.cross();
    let first = receiver.await_request(0);
    let scene = scene.restart_after("KILL");
    assert_eq!(id_of(&receiver.await_request(1)), id_of(&first));
    scene.await_delivered(&webhook);
}

#[test]
fn a_dead_receiver_holds_up_no_other() {
    let (dead, live) = (BlackHole::open(), ScriptedUpstream::responding(""));
    let scene = Scene::start();
    let (dead_webhook, _) = scene.webhook(&format!("http://{}/", dead.address()));
    let (live_webhook, _) = scene.webhook(&live.url());
    for number in 0..3 {
        scene.cross();
        live.await_request(number);
    }
    eventually("all are noted", || {
        scene.deliveries(&live_webhook).iter().filter(|delivery| delivery["state"] == "delivered").count()
            == 3
    });
    let waiting = scene.deliveries(&dead_webhook);
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().all(|delivery| delivery["state"] == "pending"), "{waiting:?}");
}

#[test]
fn a_webhook_that_was_mended_gets_at_once_what_it_has_missed() {
    let broken = ScriptedUpstream::script(Step::respond("503 Busy", ""));
    let mended = ScriptedUpstream::responding("");
    let scene = Scene::start();
    let (webhook, _) = scene.webhook(&broken.url());
    scene.cross();
    let missed = id_of(&broken.await_request(2));
    let path = format!("/api/webhooks/{webhook}?tenant=acme");
    scene.gateway.admin().put(&path, &json!({ "url": mended.url() })).expect(200);
    assert_eq!(id_of(&mended.await_request(0)), missed);
    scene.await_delivered(&webhook);
    // What is deleted is sent nothing more.
    scene.gateway.admin().delete(&path).expect(204);
    let (_, _) = scene.webhook(&broken.url());
    let before = broken.requests().len();
    scene.cross();
    broken.await_request(before);
    assert_eq!(mended.requests().len(), 1);
}

#[test]
fn what_the_receiver_of_before_says_late_undoes_no_mended_webhook() {
    let asked = Gate::new();
    let gone = Step::respond("410 Gone", "");
    let held = [vec![Step::ReadWholeBody, Step::Await(asked.clone())], gone].concat();
    let (broken, mended) = (ScriptedUpstream::script(held), ScriptedUpstream::responding(""));
    let scene = Scene::start();
    let (webhook, _) = scene.webhook(&broken.url());
    scene.cross();
    let missed = id_of(&broken.await_request(0));
    let path = format!("/api/webhooks/{webhook}?tenant=acme");
    scene.gateway.admin().put(&path, &json!({ "url": mended.url() })).expect(200);
    asked.open();
    assert_eq!(id_of(&mended.await_request(0)), missed);
    assert_eq!(scene.await_delivered(&webhook)["attempts"], 2);
}

#[test]
fn a_test_says_at_once_what_came_of_it() {
    let receiver = ScriptedUpstream::scripts(vec![
        Step::respond("200 OK", ""),
        Step::respond("410 Gone", ""),
        vec![Step::Close],
    ]);
    let scene = Scene::start();
    let (webhook, secret) = scene.webhook(&receiver.url());
    let test = || {
        let path = format!("/api/webhooks/{webhook}/test?tenant=acme");
        scene.gateway.admin().post(&path, &json!({})).expect(200)
    };
    let (taken, gone, cut) = (test(), test(), test());
    assert_eq!((&taken["state"], &taken["status"]), (&json!("delivered"), &json!(200)));
    assert_eq!((&gone["state"], &gone["status"]), (&json!("failed"), &json!(410)));
    assert_eq!((&cut["state"], &cut["status"]), (&json!("failed"), &Value::Null));
    let message = receiver.await_request(0);
    assert!(is_signed_with(&message, &secret));
    assert_eq!(
        (&json_of(&message)["type"], &json_of(&message)["data"]["webhook_id"]),
        (&json!("webhook.test"), &json!(webhook))
    );
    assert_eq!(scene.deliveries(&webhook).len(), 3);
    assert_eq!(receiver.requests().len(), 3, "it is tried once");
}

#[test]
fn no_name_leads_a_tenants_webhook_into_the_operators_network() {
    let scene = Scene::start();
    let receiver = ScriptedUpstream::responding("");
    let ann = scene.gateway.tenant("other").user("ann");
    for url in [receiver.url(), "http://localhost:1/".into(), "http://169.254.169.254/latest".into()] {
        let refused = ann.post("/api/webhooks", &json!({ "url": url })).expect(422);
        assert_eq!(refused["errors"][0]["field"], "url", "{refused}");
    }
    let metadata = json!({ "url": "https://[fd00:ec2::254]/" });
    scene.gateway.admin().post("/api/webhooks?tenant=other", &metadata).expect(422);
    // What a name resolves to is looked at when it is used: this machine's own name is no localhost by its text.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let url = format!("http://{}:{}/", name.trim().to_lowercase(), receiver.address().port());
    let made = ann.post("/api/webhooks", &json!({ "url": url })).expect(201);
    let tested = ann.post(&format!("/api/webhooks/{}/test", made["id"].as_str().expect("an id")), &json!({}));
    let tested = tested.expect(200);
    assert_eq!((&tested["state"], &tested["status"]), (&json!("failed"), &Value::Null), "{tested}");
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn the_command_line_has_webhooks_and_events() {
    let receiver = ScriptedUpstream::responding("");
    let scene = Scene::start();
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--tenant", "acme"]].concat();
        scene.gateway.command(&arguments).success().text()
    };
    let made = run(&["webhooks", "create", "--url", &receiver.url(), "--event", "limit.threshold", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let id = made["id"].as_str().expect("an id");
    assert!(made["secret"].as_str().expect("a secret").starts_with("whsec_"));
    assert!(run(&["webhooks", "create", "--url", "https://hooks.example/"]).starts_with("secret"));
    assert!(run(&["webhooks", "list"]).contains(&receiver.url()));
    assert!(run(&["webhooks", "test", id]).contains("delivered"));
    let updated = run(&["webhooks", "update", id, "--url", &format!("{}/new", receiver.url())]);
    assert!(updated.contains("/new") && updated.contains("limit.threshold"), "{updated}");
    scene.cross();
    assert_eq!(receiver.await_request(1).target, "/new");
    let events = run(&["events", "list", "--type", "limit.threshold"]);
    assert!(events.contains("10/month") && events.contains("threshold=10"), "{events}");
    assert!(run(&["webhooks", "deliveries", id]).contains("webhook.test"));
    run(&["webhooks", "delete", id]);
    assert!(!run(&["webhooks", "list"]).contains(id));
    let limit = "1000/month:thresholds=80+100:overage=allow";
    run(&["plans", "create", "--slug", "soft", "--limit", limit]);
    assert!(run(&["plans", "get", "soft"]).contains(limit));
}
