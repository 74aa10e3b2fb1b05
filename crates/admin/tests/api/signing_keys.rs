use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_admin::Settings;

use crate::gateway::{Gateway, settings};

const PATIENCE: Duration = Duration::from_secs(30);

impl Gateway {
    /// What tokens may be signed with, by now or soon.
    fn published(&self) -> BTreeSet<String> {
        self.snapshot().signing_keys().iter().map(|key| key.key_id.to_string()).collect()
    }

    fn token(&self, key: &Value) -> String {
        let issued = self.anyone().post("/api/auth/token", &json!({ "api_key": key })).expect(200);
        issued["token"].as_str().unwrap().to_owned()
    }

    fn is_valid(&self, token: &str) -> bool {
        let answer = self.anyone().post("/api/auth/validate", &json!({ "token": token })).expect(200);
        answer["valid"] == true
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn signing_keys_rotate_in_operation_and_no_token_is_lost_to_it() {
    let every = Duration::from_secs(8);
    let gateway = Gateway::start_with(Settings { rotate_signing_keys_every: every, ..settings() });
    let plane = gateway.plane.clone();
    gateway.runtime.spawn(async move { plane.run_jobs(std::future::pending()).await });
    let acme = gateway.admin_in("acme");
    let key = acme.post("/api/keys", &json!({ "name": "k" })).expect(201)["key"].take();
    let first = gateway.published();
    let token = gateway.token(&key);
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    eventually("the next key is published", || gateway.published().len() == 2);
    // Published, and not signing yet: whoever verifies has time to fetch it.
    let still = gateway.token(&key);
    assert_eq!(header(&still), header(&token));
    eventually("the next key signs", || header(&gateway.token(&key)) != header(&token));
    let newer = gateway.token(&key);
    assert!(gateway.published().is_superset(&first), "its tokens live on, and so does it");
    for token in [&token, &still, &newer] {
        assert!(gateway.is_valid(token));
    }
    // Nodes that come now, and a restart, know both.
    let published = gateway.published();
    let (gateway, _) = Gateway::start_in(gateway.stop(), settings());
    assert!(gateway.published().is_superset(&published));
    for token in [&token, &newer] {
        assert!(gateway.is_valid(token));
    }
}
