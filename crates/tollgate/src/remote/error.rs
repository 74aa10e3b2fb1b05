//! Why the admin API did not do what it was asked, in lines for a person.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde_json::Value;
use tollgate_core::resource::BadUrl;
use ureq::http::StatusCode;

use crate::config::{ADMIN_CA_FILE, ADMIN_TOKEN, ADMIN_URL};

#[derive(Debug)]
pub enum ApiError {
    /// Not the URL of a server; it is not repeated, since a password may stand in it all the same.
    Url(BadUrl),
    /// A URL with a user or a password, which is not repeated.
    Credentials,
    /// A file that TLS takes.
    File {
        flag: &'static str,
        variable: &'static str,
        problem: String,
    },
    Unreachable {
        url: String,
        reason: String,
    },
    /// It answers, but not as a server that is believed.
    Distrusted {
        url: String,
        reason: String,
    },
    /// 401, or 403 without a problem in a field.
    Token {
        url: String,
        detail: String,
        was_sent: bool,
    },
    /// Problem details (RFC 9457), with the fields that have problems.
    Refused {
        status: StatusCode,
        problem: Value,
        /// What the fields were given with that a flag has given.
        flags: BTreeMap<String, String>,
    },
    /// An answer that the admin API does not give.
    Odd {
        url: String,
        status: u16,
    },
}

impl ApiError {
    pub(super) fn unreachable(url: &str, error: &ureq::Error) -> Self {
        if is_of_tls(error) {
            return Self::Distrusted { url: url.to_owned(), reason: error.to_string() };
        }
        let reason = match error {
            ureq::Error::Io(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                _ => error.to_string(),
            },
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            ureq::Error::Timeout(_) => "no answer in time".to_owned(),
            error => error.to_string(),
        };
        Self::Unreachable { url: url.to_owned(), reason }
    }

    pub(super) fn refused(url: &str, status: StatusCode, body: &str, token_was_sent: bool) -> Self {
        let problem = serde_json::from_str::<Value>(body).unwrap_or(Value::Null);
        if !problem["title"].is_string() {
            return Self::Odd { url: url.to_owned(), status: status.as_u16() };
        }
        if status == StatusCode::UNAUTHORIZED {
            let detail = summary(&problem, status);
            return Self::Token { url: url.to_owned(), detail, was_sent: token_was_sent };
        }
        Self::Refused { status, problem, flags: BTreeMap::new() }
    }

    /// Of a request whose fields these flags have given.
    pub fn by_flags(mut self, given: BTreeMap<String, String>) -> Self {
        if let Self::Refused { flags, .. } = &mut self {
            *flags = given;
        }
        self
    }

    /// Whether there may be no server at all, as opposed to one that refuses.
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether this field has a problem.
    pub fn is_about(&self, field: &str) -> bool {
        let Self::Refused { problem, .. } = self else { return false };
        problem["errors"].as_array().is_some_and(|errors| errors.iter().any(|error| error["field"] == *field))
    }

    /// For machines: the problem as the server sent it, or this error in the same form.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Refused { problem, .. } => problem.clone(),
            Self::Url(_)
            | Self::Credentials
            | Self::File { .. }
            | Self::Unreachable { .. }
            | Self::Distrusted { .. }
            | Self::Token { .. }
            | Self::Odd { .. } => {
                serde_json::json!({ "title": self.to_string(), "errors": [] })
            }
        }
    }
}

/// Whether there is a server, with which no TLS connection comes about.
fn is_of_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => true,
        ureq::Error::Io(error) => {
            error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
        }
        _ => false,
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(problem) => write!(f, "the admin URL (--admin-url, {ADMIN_URL}) {problem}"),
            Self::Credentials => write!(
                f,
                "the admin URL holds a user or a password, which the admin API does not take: put a token into {ADMIN_TOKEN}"
            ),
            Self::File { flag, variable, problem } => write!(f, "{flag} ({variable}): {problem}"),
            Self::Unreachable { url, reason } => write!(
                f,
                "the admin API at {url} cannot be reached: {reason}\n  \
                 Is `tollgate serve` running there? --admin-url or {ADMIN_URL} names another server."
            ),
            Self::Distrusted { url, reason } => write!(
                f,
                "there is no secure connection to the admin API at {url}: {reason}\n  \
                 --admin-ca-file or {ADMIN_CA_FILE} names the authorities that it is verified against, --admin-cert and \
                 --admin-key what it is shown."
            ),
            Self::Token { url, detail, was_sent: true } => write!(
                f,
                "the admin API at {url} refuses the token in {ADMIN_TOKEN}: {detail}\n  \
                 The server printed the administrator's token when it started for the first time."
            ),
            Self::Token { url, was_sent: false, .. } => write!(
                f,
                "the admin API at {url} wants a token\n  \
                 Put the administrator's into {ADMIN_TOKEN}; the server printed it when it started for the \
                 first time."
            ),
            Self::Refused { status, problem, flags } => f.write_str(&lines(problem, *status, flags)),
            Self::Odd { url, status } => {
                write!(f, "what answers at {url} is not Tollgate's admin API (status {status})")
            }
        }
    }
}

impl std::error::Error for ApiError {}

/// A line for each field that has a problem, with the flag that has given it; what the problem says as a whole where none has.
fn lines(problem: &Value, status: StatusCode, flags: &BTreeMap<String, String>) -> String {
    let errors = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    if errors.is_empty() {
        return summary(problem, status);
    }
    let line = |error: &Value| {
        let message = error["message"].as_str().unwrap_or("is not valid");
        match error["field"].as_str() {
            None | Some("") => message.to_owned(),
            Some(field) => {
                match (flags.get(field), flags.get(field.split(['.', '[']).next().unwrap_or(field))) {
                    (Some(flag), _) => format!("{flag} {message}"),
                    (None, Some(flag)) => format!("{flag}: {field} {message}"),
                    (None, None) => format!("{field} {message}"),
                }
            }
        }
    };
    errors.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn summary(problem: &Value, status: StatusCode) -> String {
    let title = problem["title"].as_str().or(status.canonical_reason()).unwrap_or("Refused");
    match problem["detail"].as_str() {
        Some(detail) => format!("{title}: {detail}"),
        None => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> String {
        ApiError::refused("http://h", StatusCode::from_u16(status).unwrap(), body, true).to_string()
    }

    #[test]
    fn every_field_has_its_line() {
        let body = r#"{"title":"Unprocessable","errors":[
            {"field":"slug","message":"is taken"},{"field":"","message":"is odd"}]}"#;
        assert_eq!(refused(422, body), "slug is taken\nis odd");
    }

    #[test]
    fn a_field_that_a_flag_has_given_is_told_with_it() {
        let body = r#"{"title":"Unprocessable","errors":[
            {"field":"targets[0].url","message":"is odd"},{"field":"slug","message":"is taken"},
            {"field":"limits","message":"is missing"}]}"#;
        let flags = [("targets", "--target"), ("slug", "--slug")];
        let flags = flags.map(|(field, flag)| (field.to_owned(), flag.to_owned())).into();
        let refused = ApiError::refused("http://h", StatusCode::UNPROCESSABLE_ENTITY, body, true);
        assert_eq!(
            refused.by_flags(flags).to_string(),
            "--target: targets[0].url is odd\n--slug is taken\nlimits is missing"
        );
    }

    #[test]
    fn a_problem_without_fields_says_what_it_is() {
        assert_eq!(refused(404, r#"{"title":"Not Found","detail":"no such key"}"#), "Not Found: no such key");
        assert_eq!(refused(409, r#"{"title":"Conflict"}"#), "Conflict");
    }

    #[test]
    fn another_server_is_recognised_as_such() {
        for body in ["<html>", "[]", r#"{"error":{"code":404}}"#] {
            let expected = "what answers at http://h is not Tollgate's admin API (status 404)";
            assert_eq!(refused(404, body), expected);
        }
    }
}
