use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_admin::{SealingSecret, Settings};
use tollgate_core::credential::KeyHash;
use tollgate_core::feed::{
    Assembly, Committed, CommittedAs, Epoch, FORMAT, Frame, FrameLength, HEADER_BYTES, Position, decode,
    frame_length,
};
use tollgate_core::snapshot::Snapshot;

use crate::gateway::{Client, Gateway};

pub const SESSION: &str = "01890000-0000-7000-8000-000000000001";

/// The feed as a node reads it.
pub struct Feed {
    body: Box<dyn Read>,
    assembly: Assembly,
}

impl Gateway {
    pub fn node_token(&self, name: &str) -> (String, Value) {
        let mut made = self.admin().post("/api/node-tokens", &json!({ "name": name })).expect(201);
        let token = made["token"].take().as_str().unwrap().to_owned();
        (token, made)
    }

    /// A feed for a node that stands at this position and has the snapshot.
    pub fn feed(&self, token: &str, at: Option<(Position, Arc<Snapshot>)>) -> Feed {
        let since = at.as_ref().map_or(String::new(), |(position, _)| {
            format!("&since={}&epoch={}", position.revision, position.epoch)
        });
        let uri = format!(
            "http://{}/api/node/feed?format={FORMAT}&node=edge-1&version=test{since}",
            self.address()
        );
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let answer = agent.get(uri).header("Authorization", format!("Bearer {token}")).call().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-accel-buffering"], "no", "a proxy in between would wait for the end");
        let assembly = Assembly::new(at.map(|(_, snapshot)| snapshot).unwrap_or_default());
        Feed { body: Box::new(answer.into_body().into_reader()), assembly }
    }
}

impl Feed {
    /// `None` where the feed has ended.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut bytes = vec![0; HEADER_BYTES];
        self.body.read_exact(&mut bytes).ok()?;
        let FrameLength::Known(length) = frame_length(&bytes).unwrap() else { panic!("no length") };
        bytes.resize(length, 0);
        self.body.read_exact(&mut bytes[HEADER_BYTES..]).ok()?;
        Some(decode(&bytes).unwrap())
    }

    pub fn next(&mut self) -> Committed {
        loop {
            let frame = self.frame().unwrap();
            if let Some(committed) = self.assembly.take(frame).unwrap() {
                return committed;
            }
        }
    }

    fn ends(&mut self) {
        while let Some(frame) = self.frame() {
            assert_eq!(frame, Frame::Heartbeat);
        }
    }
}

/// Of a node that has refused one request of each key.
pub fn report(revision: u64, session: &str, number: u64, used: &[(&str, u64)]) -> Value {
    let used = used.iter().map(|(key, requests)| {
        json!({ "key": key, "last_used_secs": 1_800_000_000, "requests": requests, "rejections": 1 })
    });
    json!({ "node": "edge-1", "version": "1.2.3", "revision": revision, "full_syncs": 1, "changes": 4,
            "session": session, "number": number, "key_uses": used.collect::<Vec<_>>() })
}

fn holds(committed: &Committed, secret: &str) -> bool {
    committed.snapshot.key(&KeyHash::of(secret.as_bytes())).is_some()
}

fn key(client: &Client, name: &str) -> (String, String) {
    let made = client.post("/api/keys", &json!({ "name": name })).expect(201);
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

#[test]
fn node_tokens_are_the_administrators_and_are_shown_once() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let admin = gateway.admin();
    let answer = admin.post("/api/node-tokens", &json!({ "name": "edge" }));
    let made = answer.expect(201);
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("tgn_") && token.len() == 68);
    assert_eq!(answer.header("location"), format!("/api/node-tokens/{}", made["id"].as_str().unwrap()));
    assert_eq!(answer.header("cache-control"), "no-store");
    let listed = admin.get("/api/node-tokens").expect(200);
    assert_eq!(listed["items"][0]["prefix"], token[..8]);
    assert!(!listed.to_string().contains(token));
    let on_disk = gateway.bytes_on_disk();
    assert!(!on_disk.windows(token.len()).any(|window| window == token.as_bytes()));
    assert_eq!(admin.post("/api/node-tokens", &json!({ "name": "edge" })).refused(409), ["name"]);
    assert_eq!(admin.post("/api/node-tokens", &json!({ "name": " " })).refused(422), ["name"]);
    let user = gateway.user_of("acme", "ann");
    user.post("/api/node-tokens", &json!({ "name": "mine" })).refused(403);
    user.get("/api/node-tokens").refused(403);
    user.get("/api/nodes").refused(403);
    user.delete(&format!("/api/node-tokens/{}", made["id"].as_str().unwrap())).refused(403);
    admin.delete("/api/node-tokens/none").refused(404);
    let path = format!("/api/node-tokens/{}", made["id"].as_str().unwrap());
    admin.send("DELETE", &path, &[("If-Match", "\"999\"")], None).refused(412);
}

#[test]
fn a_node_gets_everything_and_then_every_change() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    acme.post("/api/services", &json!({ "slug": "api", "url": "http://127.0.0.1:1" })).expect(201);
    let (first_id, first) = key(&acme, "first");
    let (token, _) = gateway.node_token("edge");
    let mut feed = gateway.feed(&token, None);
    let everything = feed.next();
    assert_eq!((everything.how, everything.position.revision), (CommittedAs::Everything, gateway.revision()));
    assert!(holds(&everything, &first));

    // Sent by the time of the answer, each as its own revision, in order.
    let (_, second) = key(&acme, "second");
    acme.delete(&format!("/api/keys/{first_id}")).expect(204);
    let added = feed.next();
    assert_eq!(
        (added.how, added.position.revision),
        (CommittedAs::Changes(1), everything.position.revision + 1)
    );
    assert!(holds(&added, &first) && holds(&added, &second));
    let revoked = feed.next();
    assert!(!holds(&revoked, &first) && holds(&revoked, &second));
    assert_eq!(revoked.position.revision, gateway.revision());
}

#[test]
fn a_node_that_comes_back_gets_what_it_has_missed() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (token, _) = gateway.node_token("edge");
    let before = gateway.feed(&token, None).next();
    let (_, first) = key(&acme, "first");
    let (_, second) = key(&acme, "second");
    let mut feed = gateway.feed(&token, Some((before.position, Arc::clone(&before.snapshot))));
    let (one, two) = (feed.next(), feed.next());
    assert_eq!([one.how, two.how], [CommittedAs::Changes(1); 2]);
    assert!(holds(&one, &first) && holds(&two, &second));

    // The same revision in another history is not the same.
    let elsewhere = Position { epoch: Epoch(uuid::Uuid::nil()), ..before.position };
    let everything = gateway.feed(&token, Some((elsewhere, before.snapshot))).next();
    assert_eq!(everything.how, CommittedAs::Everything);
    assert!(holds(&everything, &first) && holds(&everything, &second));
}

#[test]
fn a_restarted_control_plane_has_nothing_to_send_to_a_node_that_is_in_step() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let (token, _) = gateway.node_token("edge");
    let before = gateway.feed(&token, None).next();
    let (gateway, _) = Gateway::start_in(gateway.stop(), crate::gateway::settings());
    let mut feed = gateway.feed(&token, Some((before.position, before.snapshot)));
    let (_, added) = key(&gateway.admin().in_tenant("acme"), "added");
    let next = feed.next();
    assert_eq!(next.how, CommittedAs::Changes(1));
    assert!(holds(&next, &added));
}

#[test]
fn a_restarted_control_plane_still_knows_what_a_node_has_missed() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (token, _) = gateway.node_token("edge");
    let mut feed = gateway.feed(&token, None);
    let first = feed.next();
    let (_, one) = key(&acme, "one");
    let second = feed.next();
    let (_, two) = key(&acme, "two");
    let (gateway, _) = Gateway::start_in(gateway.stop(), crate::gateway::settings());
    for (at, missed) in [(&first, 2), (&second, 1)] {
        let mut feed = gateway.feed(&token, Some((at.position, Arc::clone(&at.snapshot))));
        let last = (0..missed).map(|_| feed.next()).last().unwrap();
        assert_eq!((last.how, last.position.revision), (CommittedAs::Changes(1), gateway.revision()));
        assert!(holds(&last, &one) && holds(&last, &two));
    }
    let (_, three) = key(&gateway.admin().in_tenant("acme"), "three");
    // Once more, over what was kept before and after.
    let (gateway, _) = Gateway::start_in(gateway.stop(), crate::gateway::settings());
    let mut feed = gateway.feed(&token, Some((second.position, Arc::clone(&second.snapshot))));
    feed.next();
    assert!(holds(&feed.next(), &three));
    // In another history the same revision is not the same.
    let elsewhere = Position { epoch: Epoch(uuid::Uuid::nil()), ..second.position };
    assert_eq!(gateway.feed(&token, Some((elsewhere, second.snapshot))).next().how, CommittedAs::Everything);
}

#[test]
fn changes_that_cannot_be_read_any_more_are_not_sent() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (token, _) = gateway.node_token("edge");
    let before = gateway.feed(&token, None).next();
    let (_, added) = key(&acme, "added");
    let other = SealingSecret::from_bytes([9; 32]);
    let settings = Settings { sealing: other, ..crate::gateway::settings() };
    let (gateway, _) = Gateway::start_in(gateway.stop(), settings);
    let next = gateway.feed(&token, Some((before.position, before.snapshot))).next();
    assert_eq!(next.how, CommittedAs::Everything);
    assert!(holds(&next, &added));
}

#[test]
fn a_revoked_token_ends_its_feed_at_once_and_no_other() {
    let gateway = Gateway::start();
    let (first, made) = gateway.node_token("first");
    let (second, _) = gateway.node_token("second");
    let (mut ending, mut staying) = (gateway.feed(&first, None), gateway.feed(&second, None));
    ending.next();
    staying.next();
    gateway.admin().delete(&format!("/api/node-tokens/{}", made["id"].as_str().unwrap())).expect(204);
    ending.ends();
    gateway.admin_in("acme");
    staying.next();
    let path = format!("/api/node/feed?format={FORMAT}&node=edge&version=test");
    gateway.anyone().with_token(&first).get(&path).refused(401);
}

#[test]
fn a_bad_token_learns_nothing_and_guessing_ends() {
    let gateway = Gateway::start();
    let (good, _) = gateway.node_token("edge");
    gateway.anyone().get("/api/node/feed").refused(401);
    let unknown = gateway.anyone().with_token("tgn_0000").get("/api/node/feed?format=99").refused(401);
    assert!(unknown.is_empty());
    // Neither does an administrator's token feed a node, nor a node's token administer.
    gateway.admin().get("/api/node/feed?format=99").refused(401);
    gateway.anyone().with_token(&good).get("/api/nodes").refused(401);
    let guess = || gateway.anyone().with_token("tgn_1111").get("/api/node/feed");
    let statuses: Vec<u16> = (0..12).map(|_| guess().status).collect();
    assert_eq!((statuses[0], statuses[11]), (401, 429));
    assert!(guess().header("retry-after").parse::<u64>().unwrap() > 0);
    // Whoever has a token is not held up by it.
    gateway.feed(&good, None).next();
}

#[test]
fn a_node_of_another_format_is_refused_in_plain_words() {
    let gateway = Gateway::start();
    let (token, _) = gateway.node_token("edge");
    let node = gateway.anyone().with_token(&token);
    let answer = node.get("/api/node/feed?format=99&node=a%20b&version=9.9.9");
    assert_eq!(answer.refused(422), ["format", "node"]);
    assert!(answer.text.contains("format 99") && answer.text.contains("same version"), "{}", answer.text);
}

#[test]
fn nodes_that_share_a_name_are_told_from_one_that_was_started_anew() {
    let gateway = Gateway::start();
    let (token, _) = gateway.node_token("edge");
    let node = gateway.anyone().with_token(&token);
    let list = || gateway.admin().get("/api/nodes").expect(200)["items"][0].clone();
    let is_shared_after = |session: &str| {
        node.post("/api/node/status", &report(1, session, 1, &[])).expect(204);
        list()["shared"].clone()
    };
    let mut feeds = [gateway.feed(&token, None), gateway.feed(&token, None)].map(|mut feed| {
        feed.next();
        Some(feed)
    });
    let one = "0193f9d3-0000-7000-8000-000000000001";
    let other = "0193f9d3-0000-7000-8000-000000000002";
    assert_eq!([one, one, other, other].map(is_shared_after), [false; 4].map(|shared| json!(shared)));
    assert_eq!([one, other].map(is_shared_after), [json!(true), json!(true)]);
    feeds[1] = None;
    while list()["feeds"] != 1 {
        std::thread::yield_now();
    }
    assert_eq!(is_shared_after(one), json!(false));
}

#[test]
fn operators_see_where_the_nodes_stand() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (id, _) = key(&acme, "used");
    let (token, made) = gateway.node_token("edge");
    let node = gateway.anyone().with_token(&token);
    let mut feed = gateway.feed(&token, None);
    feed.next();
    let list = || gateway.admin().get("/api/nodes").expect(200);
    // Two nodes that have one name are one line, which says so.
    let mut second = gateway.feed(&token, None);
    second.next();
    assert_eq!((list()["items"].as_array().unwrap().len(), &list()["items"][0]["feeds"]), (1, &json!(2)));
    drop(second);
    while list()["items"][0]["feeds"] != 1 {
        std::thread::yield_now();
    }
    let report = |revision: u64| report(revision, SESSION, 1, &[(&id, 3)]);
    node.post("/api/node/status", &report(gateway.revision() - 1)).expect(204);
    let listed = list();
    let shown = &listed["items"][0];
    assert_eq!(
        (&shown["name"], &shown["token"], &shown["version"], &shown["lag"], &shown["connected"]),
        (&json!("edge-1"), &json!("edge"), &json!("1.2.3"), &json!(1), &json!(true))
    );
    assert_eq!((&shown["full_syncs"], &shown["changes"]), (&json!(1), &json!(4)));
    let used = acme.get(&format!("/api/keys/{id}")).expect(200);
    assert!(used["last_used_at"].is_string(), "{used}");
    node.post("/api/node/status", &json!({ "node": "" })).refused(422);
    gateway.admin().delete(&format!("/api/node-tokens/{}", made["id"].as_str().unwrap())).expect(204);
    node.post("/api/node/status", &report(1)).refused(401);
    let listed = gateway.admin().get("/api/nodes").expect(200)["items"][0].clone();
    assert_eq!((&listed["connected"], &listed["revoked"]), (&json!(false), &json!(true)), "it serves on");
    // With another token it is back.
    let (token, _) = gateway.node_token("edge again");
    let mut feed = gateway.feed(&token, None);
    feed.next();
    let listed = gateway.admin().get("/api/nodes").expect(200)["items"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!((&listed[0]["token"], &listed[0]["revoked"]), (&json!("edge again"), &json!(false)));
}

#[test]
fn a_node_of_another_history_is_behind_until_it_has_this_one() {
    let gateway = Gateway::start();
    let (token, _) = gateway.node_token("edge");
    let snapshot = gateway.feed(&token, None).next().snapshot;
    let listed = || {
        let listed = gateway.admin().get("/api/nodes").expect(200)["items"][0].clone();
        (listed["revision"].as_u64().unwrap(), listed["lag"].as_u64().unwrap(), listed["connected"] == true)
    };
    let whole = gateway.revision();
    // An older database was put back here: the node has come to the same number by other changes, or further.
    for ahead in [0, 5] {
        let other = Position { revision: whole + ahead, epoch: Epoch(uuid::Uuid::from_u128(7)) };
        let mut feed = gateway.feed(&token, Some((other, Arc::clone(&snapshot))));
        let mut status = report(other.revision, SESSION, 1, &[]);
        assert_eq!(listed(), (0, whole, true));
        status["epoch"] = json!(other.epoch);
        gateway.anyone().with_token(&token).post("/api/node/status", &status).expect(204);
        assert_eq!(listed(), (0, whole, true));
        let Position { revision, epoch } = feed.next().position;
        (status["revision"], status["epoch"]) = (json!(revision), json!(epoch));
        gateway.anyone().with_token(&token).post("/api/node/status", &status).expect(204);
        assert_eq!(listed(), (whole, 0, true));
    }
}

#[test]
fn the_nodes_are_listed_in_pages() {
    let gateway = Gateway::start();
    let (first, _) = gateway.node_token("first");
    let (second, _) = gateway.node_token("second");
    for (token, node) in [(&first, "b"), (&first, "a.1"), (&second, "a"), (&first, "c"), (&second, "b")] {
        let mut status = report(0, SESSION, 1, &[]);
        status["node"] = json!(node);
        gateway.anyone().with_token(token).post("/api/node/status", &status).expect(204);
    }
    let (mut seen, mut path) = (Vec::new(), "/api/nodes?limit=2".to_owned());
    loop {
        let page = gateway.admin().get(&path).expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|node| format!("{} {}", node["token"], node["name"]).replace('"', "")));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/nodes?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["first a.1", "first b", "first c", "second a", "second b"]);
    let problems = gateway.admin().get("/api/nodes?limit=0&cursor=edge").refused(422);
    assert_eq!(problems, ["limit", "cursor"]);
}

#[test]
fn a_report_whose_token_is_revoked_while_it_waits_is_not_taken() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (id, _) = key(&acme, "used");
    let (token, _) = gateway.node_token("edge");
    // As a revocation that comes between the look at the token and the writing.
    gateway.runtime.block_on(async {
        let store = gateway.open_store_again().await;
        let tokens = store.read().await.unwrap().all_node_tokens().await.unwrap();
        let mut write = store.write(1_800_000_000).await.unwrap();
        write.delete_node_token(tokens[0].id).await.unwrap();
        write.commit().await.unwrap();
    });
    let uses = report(1, SESSION, 1, &[(&id, 3)]);
    gateway.anyone().with_token(&token).post("/api/node/status", &uses).refused(401);
    // It is said again, and taken once.
    let (next, _) = gateway.node_token("next");
    let node = gateway.anyone().with_token(&next);
    node.post("/api/node/status", &uses).expect(204);
    node.post("/api/node/status", &uses).expect(204);
    assert_eq!(acme.get(&format!("/api/keys/{id}")).expect(200)["requests"], 3);
}

#[test]
fn what_a_node_says_of_keys_is_added_once() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let (id, _) = key(&acme, "used");
    let (gone, _) = key(&acme, "gone");
    acme.delete(&format!("/api/keys/{gone}")).expect(204);
    let (token, _) = gateway.node_token("edge");
    let node = gateway.anyone().with_token(&token);
    let says = |session, number, used: &[(&str, u64)]| {
        node.post("/api/node/status", &report(1, session, number, used)).expect(204);
    };
    let counted = || {
        let used = acme.get(&format!("/api/keys/{id}")).expect(200);
        (used["requests"].as_u64(), used["rejections"].as_u64())
    };
    says(SESSION, 1, &[(&id, 3), (&gone, 9)]);
    // Its answer was lost; nothing in between; the next.
    says(SESSION, 1, &[(&id, 3), (&gone, 9)]);
    says(SESSION, 1, &[]);
    assert_eq!(counted(), (Some(3), Some(1)));
    says(SESSION, 2, &[(&id, 4)]);
    says(SESSION, 1, &[(&id, 3)]);
    assert_eq!(counted(), (Some(7), Some(2)));
    // The node has started again.
    says("01890000-0000-7000-8000-000000000002", 1, &[(&id, 5)]);
    assert_eq!(counted(), (Some(12), Some(3)));
    // Neither does a restart forget what was heard, nor does anything have to be written in time for it.
    let (gateway, _) = Gateway::start_in(gateway.stop(), crate::gateway::settings());
    let (acme, node) = (gateway.admin().in_tenant("acme"), gateway.anyone().with_token(&token));
    let says = |session, number, used: &[(&str, u64)]| {
        node.post("/api/node/status", &report(1, session, number, used)).expect(204);
    };
    let counted = || {
        let used = acme.get(&format!("/api/keys/{id}")).expect(200);
        (used["requests"].as_u64(), used["rejections"].as_u64())
    };
    says(SESSION, 2, &[(&id, 4)]);
    assert_eq!(counted(), (Some(12), Some(3)));
    // What outgrows all that can be counted harms nobody else's counts.
    says(SESSION, 3, &[(&id, u64::MAX)]);
    assert!(counted().0 > Some(12));
}

#[test]
fn the_end_of_the_control_plane_ends_the_feeds() {
    let gateway = Gateway::start();
    let (token, _) = gateway.node_token("edge");
    let mut feed = gateway.feed(&token, None);
    feed.next();
    gateway.plane.start_draining();
    feed.ends();
    gateway.feed(&token, None).ends();
}
