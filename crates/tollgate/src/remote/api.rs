//! One request to the admin API.

use std::time::Duration;

use serde_json::Value;
use tollgate_core::resource::{BadUrl, BaseUrl, Scheme};
use ureq::http::{Method, Request, Response, header};
use ureq::{Agent, Body};

use super::error::ApiError;
use super::trust::Trust;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// A page of 500 resources is far below this.
const LARGEST_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

pub struct AdminApi {
    /// Without a slash at the end.
    url: String,
    token: Option<String>,
    agent: Agent,
}

/// A request; paths are made of [`path_segment`]s.
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Option<Vec<u8>>,
    /// The entity tag that the resource must still have.
    pub if_match: Option<String>,
    pub patience: Patience,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A minute for the whole answer.
    Usual,
    /// As long as it takes: a declarative file may hold a million keys.
    Endless,
}

#[derive(Debug)]
pub struct Answer {
    /// `Null` where the answer has no body.
    pub body: Value,
    pub entity_tag: Option<String>,
}

impl Call {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            if_match: None,
            patience: Patience::Usual,
        }
    }

    fn url(&self, base: &str) -> String {
        let mut url = format!("{base}{}", self.path);
        for (index, (name, value)) in self.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(&path_segment(value));
        }
        url
    }
}

impl AdminApi {
    /// Does not connect yet.
    pub fn new(url: &str, token: Option<String>, trust: &Trust<'_>) -> Result<Self, ApiError> {
        let url = BaseUrl::parse(url).map_err(|problem| match problem {
            BadUrl::Credentials => ApiError::Credentials,
            problem => ApiError::Url(problem),
        })?;
        // Behind the host as well: a slash in a password may not have been encoded.
        if url.path_prefix().contains('@') {
            return Err(ApiError::Credentials);
        }
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // The admin API is the operator's own; a proxy for the web does not reach it.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == Scheme::Https {
            config = config.tls_config(trust.read()?);
        }
        Ok(Self { url: url.to_string(), token, agent: config.build().into() })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn call(&self, call: Call) -> Result<Answer, ApiError> {
        let mut response = self.send(call)?;
        let entity_tag =
            response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER_BYTES)
            .read_to_string()
            .map_err(|error| ApiError::unreachable(&self.url, &error))?;
        if !status.is_success() {
            return Err(ApiError::refused(&self.url, status, &text, self.token.is_some()));
        }
        let body = if text.is_empty() { Ok(Value::Null) } else { serde_json::from_str(&text) };
        let body = body.map_err(|_| ApiError::Odd { url: self.url.clone(), status: status.as_u16() })?;
        Ok(Answer { body, entity_tag })
    }

    fn send(&self, call: Call) -> Result<Response<Body>, ApiError> {
        let url = call.url(&self.url);
        let mut request = Request::builder().method(call.method).uri(url);
        request = request.header(header::ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(tag) = call.if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        let answer = match call.body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.run(request.body(body), call.patience)
            }
            None => self.run(request.body(()), call.patience),
        };
        answer.map_err(|error| ApiError::unreachable(&self.url, &error))
    }

    fn run<S: ureq::AsSendBody>(
        &self,
        request: Result<Request<S>, ureq::http::Error>,
        patience: Patience,
    ) -> Result<Response<Body>, ureq::Error> {
        let timeout = match patience {
            Patience::Usual => Some(ANSWER_TIMEOUT),
            Patience::Endless => None,
        };
        let request = self.agent.configure_request(request?).timeout_global(timeout).build();
        self.agent.run(request)
    }
}

/// The text with everything but unreserved characters (RFC 3986 section 2.3) percent-encoded.
pub fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend([byte >> 4, byte & 15].map(|nibble| {
                char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
            }));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_it_stays_one_segment() {
        assert_eq!(path_segment("ann+eu@example.com"), "ann%2Beu%40example.com");
        assert_eq!(path_segment("../x?y"), "..%2Fx%3Fy");
        assert_eq!(path_segment("é"), "%C3%A9");
    }

    #[test]
    fn the_query_is_encoded() {
        let mut call = Call::new(Method::GET, "/api/keys");
        call.query = vec![("tenant", "a&b".to_owned()), ("limit", "5".to_owned())];
        assert_eq!(call.url("http://h"), "http://h/api/keys?tenant=a%26b&limit=5");
    }

    #[test]
    fn a_url_with_credentials_is_refused_without_them() {
        for url in ["http://ann:s3cret@localhost", "http://ann:1/s3cret@localhost"] {
            let refused = AdminApi::new(url, None, &Trust::default()).err().unwrap();
            assert!(matches!(refused, ApiError::Credentials), "{refused}");
            assert!(!refused.to_string().contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_and_not_repeated() {
        for url in [
            "localhost:8081",
            "ann:s3cret@localhost:1",
            "http://ann:s3/cret@localhost",
            "http://",
            "http://h/?q",
        ] {
            let refused = AdminApi::new(url, None, &Trust::default()).err().unwrap();
            assert!(matches!(refused, ApiError::Url(_)), "{refused}");
            assert!(!refused.to_string().contains("s3"), "{refused}");
        }
    }
}
