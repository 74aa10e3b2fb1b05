use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::gateway::{Client, Gateway};

#[test]
fn an_administrator_keeps_the_users() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let admin = gateway.admin();
    let draft = json!({ "username": "Ann@Example.com", "password": "correct horse", "tenant": "acme" });
    let answer = admin.post("/api/users", &draft);
    let made = answer.expect(201);
    assert_eq!(answer.header("location"), "/api/users/ann@example.com");
    assert_eq!((&made["username"], &made["tenant"]), (&json!("ann@example.com"), &json!("acme")));
    assert!(!answer.text.contains("argon2") && !answer.text.contains("correct horse"));
    assert_eq!(admin.get("/api/users/ann@example.com").expect(200), made);
    assert_eq!(admin.post("/api/users", &draft).refused(409), ["username"]);
    let bad = json!({ "username": "a b", "password": "short", "tenant": "No!" });
    assert_eq!(admin.post("/api/users", &bad).refused(422), ["username", "password", "tenant"]);
    let stray = json!({ "username": "bob", "password": "correct horse", "tenant": "absent" });
    assert_eq!(admin.post("/api/users", &stray).refused(422), ["tenant"]);
    let raised = json!({ "username": "ann@example.com", "password": "correct horse" });
    assert_eq!(admin.put("/api/users/ann@example.com", &raised).expect(200)["tenant"], json!(null));
    gateway.signed_in("ann@example.com", "correct horse").get("/api/tenants/acme").expect(200);
    admin.delete("/api/users/ann@example.com").expect(204);
    admin.get("/api/users/ann@example.com").refused(404);
}

#[test]
fn a_tenants_user_sees_its_colleagues_and_changes_its_own_password_alone() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    gateway.admin_in("other");
    let ann = gateway.user_of("acme", "ann");
    gateway.user_of("acme", "bob");
    gateway.user_of("other", "mallory");
    let listed = ann.get("/api/users").expect(200);
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|user| &user["username"]).collect();
    assert_eq!(names, ["ann", "bob"]);
    ann.get("/api/users/bob").expect(200);
    ann.get("/api/users/mallory").refused(404);
    let draft = |username: &str| json!({ "username": username, "password": "battery staple" });
    ann.post("/api/users", &draft("eve")).refused(403);
    ann.delete("/api/users/bob").refused(403);
    ann.put("/api/users/bob", &draft("bob")).refused(403);
    ann.put("/api/users/mallory", &draft("mallory")).refused(404);
    ann.put("/api/users/ann", &draft("anna")).refused(403);
    let moved = json!({ "username": "ann", "password": "battery staple", "tenant": "other" });
    ann.put("/api/users/ann", &moved).refused(403);
    let kept = ann.put("/api/users/ann", &draft("ann")).expect(200);
    assert_eq!(kept["tenant"], "acme", "leaving the tenant out makes nobody an administrator");
    gateway.signed_in("ann", "battery staple").get("/api/tenants/other").refused(404);
}

/// A request whose head has come in, and the first byte of its body.
fn begun(gateway: &Gateway, author: &Client, method: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let token = author.token();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// The status once the rest is there.
fn ended(mut stream: TcpStream, body: &serde_json::Value) -> String {
    let text = body.to_string();
    stream.write_all(format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len()).as_bytes()).unwrap();
    status(stream)
}

/// Of the answer, once it is there.
fn status(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer[9..12].to_owned()
}

#[test]
fn nobodys_new_passwords_keep_anybody_else_from_signing_in() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let ann = gateway.user_of("acme", "ann");
    gateway.user_of("acme", "ben");
    let draft = json!({ "username": "ann", "password": "correct horse" }).to_string();
    let put = |if_match: &str| {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        let head = format!(
            "PUT /api/users/ann HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             {if_match}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{draft}",
            ann.token(),
            draft.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let stale: Vec<_> = (0..100).map(|_| put("If-Match: \"0\"\r\n")).collect();
    gateway.signed_in("ben", "correct horse");
    assert!(stale.into_iter().map(status).all(|status| status == "412"));
    let fresh: Vec<_> = (0..100).map(|_| put("")).collect();
    gateway.signed_in("ben", "correct horse");
    let statuses: Vec<_> = fresh.into_iter().map(status).collect();
    assert!(statuses.iter().any(|status| status == "200"), "{statuses:?}");
}

#[test]
fn who_was_signed_out_while_the_body_came_in_writes_nothing() {
    let gateway = Gateway::start();
    gateway.admin_in("acme");
    let admin = gateway.admin();
    let ann = gateway.user_of("acme", "ann");
    let root = json!({ "username": "root", "password": "correct horse" });
    admin.post("/api/users", &root).expect(201);
    let other = gateway.signed_in("root", "correct horse");
    // What the author may do is looked at when the head is there; these are let in.
    let held = [
        begun(&gateway, &ann, "PUT", "/api/users/ann"),
        begun(&gateway, &ann, "POST", "/api/plans"),
        begun(&gateway, &other, "POST", "/api/users"),
        begun(&gateway, &other, "POST", "/api/tenants"),
        begun(&gateway, &other, "POST", "/api/config"),
    ];
    ann.get("/api/auth/me").expect(200);
    let replaced = json!({ "username": "ann", "password": "battery staple", "tenant": "acme" });
    admin.put("/api/users/ann", &replaced).expect(200);
    admin.delete("/api/users/root").expect(204);
    let bodies = [
        json!({ "username": "ann", "password": "correct horse" }),
        json!({ "slug": "gold" }),
        json!({ "username": "eve", "password": "correct horse" }),
        json!({ "slug": "evil" }),
        json!({ "tenants": [{ "slug": "evil" }] }),
    ];
    for (stream, body) in held.into_iter().zip(&bodies) {
        assert_eq!(ended(stream, body), "401", "{body}");
    }
    gateway.signed_in("ann", "battery staple");
    admin.get("/api/plans/gold?tenant=acme").refused(404);
    admin.get("/api/users/eve").refused(404);
    admin.get("/api/tenants/evil").refused(404);
}
