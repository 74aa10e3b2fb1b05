//! The admin API.

use std::net::SocketAddr;

use serde_json::Value;

use super::client::{RawClient, Response};

/// Someone who calls the admin API with a token.
#[derive(Clone)]
pub struct Admin {
    address: SocketAddr,
    authorization: String,
}

/// A response with its JSON; null where there is none.
#[derive(Debug)]
pub struct Answer {
    pub response: Response,
    pub body: Value,
}

impl Admin {
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, authorization: format!("Bearer {token}") }
    }

    /// Somebody else, at the same gateway.
    pub fn with_token(&self, token: &str) -> Self {
        Self::new(self.address, token)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], Some(body))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[], Some(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], None)
    }

    /// Any request, with headers such as `If-Match`.
    #[track_caller]
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let mut all = vec![("Authorization", self.authorization.as_str()), ("Connection", "close")];
        if body.is_some() {
            all.push(("Content-Type", "application/json"));
        }
        all.extend(headers);
        let body = body.map(Value::to_string).unwrap_or_default();
        let response = RawClient::connect(self.address).request(method, path, &all, body.as_bytes());
        let body = serde_json::from_slice(&response.body).unwrap_or(Value::Null);
        Answer { response, body }
    }
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.response.status
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.header(name)
    }

    /// The JSON; fails, showing it, unless the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.response.status, status, "{}", self.response.text());
        self.body
    }
}
