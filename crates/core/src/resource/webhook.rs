//! A webhook: where a tenant wants its events sent.

use std::fmt;

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use super::forms;
use super::{BadUrl, BaseUrl, TenantId, WebhookId};
use crate::address::Reach;
use crate::event::EventKind;
use crate::problem::Problems;
use crate::webhook::WebhookSecret;

const LONGEST_URL: usize = 2_048;
/// More than there are: one that is named twice is no harm.
const MOST_EVENTS: usize = 64;

/// A webhook without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub id: WebhookId,
    pub tenant: TenantId,
    pub url: WebhookUrl,
    /// How far it may reach: fixed when it is written, by who wrote it.
    pub reach: Reach,
    /// What it is told; everything where empty.
    pub events: Vec<EventKind>,
}

/// A validated URL of a receiver. Unlike an upstream's it may have a query, and is used letter for letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    place: BaseUrl,
    /// With the query; starts with a slash.
    path: Box<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhookUrl {
    #[error("must not have a fragment")]
    Fragment,
    #[error("must have visible ASCII characters alone")]
    Character,
    #[error(transparent)]
    Url(#[from] BadUrl),
}

impl WebhookUrl {
    pub fn parse(text: &str) -> Result<Self, BadWebhookUrl> {
        if text.len() > LONGEST_URL {
            return Err(BadUrl::Length.into());
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadWebhookUrl::Character);
        }
        if text.contains('#') {
            return Err(BadWebhookUrl::Fragment);
        }
        let (before_query, query) = match text.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (text, None),
        };
        let place = BaseUrl::parse(before_query)?;
        let after_scheme = before_query.split_once("://").map_or("", |(_, rest)| rest);
        let mut path = match after_scheme.find('/') {
            Some(start) => after_scheme[start..].to_owned(),
            None => "/".to_owned(),
        };
        if let Some(query) = query {
            path.push('?');
            path.push_str(query);
        }
        Ok(Self { place, path: path.into() })
    }

    /// Scheme, host and port.
    pub const fn place(&self) -> &BaseUrl {
        &self.place
    }

    /// With the query; starts with a slash.
    pub const fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.place.scheme().as_str(), self.place.url_authority(), self.path)
    }
}

/// A webhook as it is written.
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({ "url": "https://hooks.example/tollgate", "events": ["limit.threshold"] })))
)]
#[serde(deny_unknown_fields)]
pub struct WebhookDraft {
    /// Where events are sent: `https://`, or `http://` where nobody can listen in.
    #[cfg_attr(feature = "openapi", schema(max_length = 2_048))]
    pub url: String,
    /// Types of events that it is sent, such as `limit.threshold`; all where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<forms::EventWord>>, inline, min_items = 1, max_items = 64))]
    pub events: Option<Vec<String>>,
    /// What its deliveries are signed with: `whsec_` and the base64 of 24 to 64 random bytes. Made where left out; in
    /// place of one that is there already, it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^whsec_[A-Za-z0-9+/]{32,}={0,2}$"))]
    pub secret: Option<String>,
}

pub struct WebhookSpec {
    pub url: WebhookUrl,
    /// Everything where empty.
    pub events: Vec<EventKind>,
    pub secret: Option<WebhookSecret>,
}

impl WebhookDraft {
    pub fn parse(&self) -> Result<WebhookSpec, Problems> {
        let mut problems = Problems::default();
        let url = problems.check("url", WebhookUrl::parse(&self.url));
        if self.events.as_ref().is_some_and(Vec::is_empty) {
            problems.add("events", "must name at least one, or be left out");
        }
        let mut events: Vec<EventKind> = Vec::new();
        let names = self.events.as_deref().unwrap_or_default();
        let names = problems.check_length("events", names, 0..=MOST_EVENTS);
        for (index, name) in names.iter().enumerate() {
            let Some(kind) = problems.check(&format!("events[{index}]"), EventKind::parse(name)) else {
                continue;
            };
            if !events.contains(&kind) {
                events.push(kind);
            }
        }
        let secret = self.secret.as_deref().map(WebhookSecret::parse);
        let secret = secret.and_then(|secret| problems.check("secret", secret));
        problems.finish(url.map(|url| WebhookSpec { url, events, secret }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_events_that_is_too_long_is_refused_without_a_look_at_what_is_beyond() {
        let draft = WebhookDraft {
            url: "https://h.example".into(),
            events: Some(vec!["none".into(); 100_000]),
            secret: None,
        };
        let problems = draft.parse().err().unwrap();
        assert_eq!(
            (&*problems.iter().next().unwrap().field, problems.iter().count()),
            ("events", 1 + MOST_EVENTS)
        );
    }

    #[test]
    fn a_url_is_used_letter_for_letter() {
        for url in [
            "https://hooks.example/",
            "https://hooks.example/a/b/",
            "https://hooks.example/a?token=x%2F&y",
            "http://127.0.0.1:9000/?",
        ] {
            assert_eq!(WebhookUrl::parse(url).unwrap().to_string(), url);
        }
        assert_eq!(WebhookUrl::parse("https://h.example").unwrap().path(), "/");
        assert_eq!(WebhookUrl::parse("https://h.example?a").unwrap().path(), "/?a");
    }

    #[test]
    fn what_is_no_receiver_is_refused() {
        for url in [
            "",
            "ftp://hooks.example",
            "https://user:password@hooks.example/",
            "https://hooks.example/#top",
            "https://hooks.example/a b",
            "https://hooks.example/\r\nX: y",
            "https://169.254.169.254/latest",
            "http://metadata.google.internal/",
            "https://hooks.example/../x",
        ] {
            assert!(WebhookUrl::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn every_problem_of_a_draft_is_named() {
        let draft = WebhookDraft {
            url: "nowhere".into(),
            events: Some(vec!["limit.threshold".into(), "limit.reached".into()]),
            secret: Some("short".into()),
        };
        let Err(problems) = draft.parse() else { panic!("it is taken") };
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["url", "events[1]", "secret"]);
    }
}
