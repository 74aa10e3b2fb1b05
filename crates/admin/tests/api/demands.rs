//! What is asked of others on demand.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use crate::gateway::{ADMIN_TOKEN, Gateway};

#[test]
fn leaving_makes_no_room_for_more_of_what_goes_on() {
    let gateway = Gateway::start();
    let acme = gateway.admin_in("acme");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let made = acme.post("/api/webhooks", &json!({ "url": url })).expect(201);
    let path = format!("/api/webhooks/{}/test", made["id"].as_str().unwrap());
    let request = format!(
        "POST {path}?tenant=acme HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nContent-Length: 0\r\n\r\n"
    );
    let clients: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut client = TcpStream::connect(gateway.address()).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            client
        })
        .collect();
    let tests: Vec<TcpStream> = (0..16).map(|_| silent.accept().unwrap().0).collect();
    drop(clients);
    let refused = acme.post(&path, &json!({}));
    refused.refused(503);
    assert_eq!(refused.header("Retry-After"), "1");
    drop(tests);
}
