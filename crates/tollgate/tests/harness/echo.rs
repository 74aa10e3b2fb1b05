//! An upstream that answers with what it got.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::client::Response;
use super::upstream::ScriptedUpstream;
use super::wire::{Fields, header};

/// Answers every request with 200 and an [`Echoed`] as JSON.
pub struct EchoUpstream(ScriptedUpstream);

/// A request as the upstream got it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoed {
    pub method: String,
    pub target: String,
    pub headers: Fields,
    /// Bytes that are not UTF-8 are replaced.
    pub body: String,
}

impl EchoUpstream {
    pub fn start() -> Self {
        Self(ScriptedUpstream::start(|exchange| {
            exchange.read_whole_body()?;
            let request = &exchange.request;
            let echoed = Echoed {
                method: request.method.clone(),
                target: request.target.clone(),
                headers: request.headers.clone(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
            };
            let body = serde_json::to_string(&echoed).expect("JSON");
            let is_head = request.method == "HEAD";
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            exchange.write(if is_head { head } else { head + &body })
        }))
    }
}

impl Deref for EchoUpstream {
    type Target = ScriptedUpstream;

    fn deref(&self) -> &ScriptedUpstream {
        &self.0
    }
}

impl Echoed {
    /// What the upstream behind this response got.
    #[track_caller]
    pub fn of(response: &Response) -> Self {
        assert_eq!(response.status, 200, "{}", response.text());
        serde_json::from_slice(&response.body).expect("the echo upstream's JSON")
    }

    /// The value of the first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}
