//! What the `OpenAPI` document says of texts in drafts: that they are one of a few words, or have a form. Drafts hold
//! them as plain text, so that everything that is wrong is found, and told, by `parse`.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{Counting, DurationText, OnUnavailable, limit, soft_limit};
use crate::credential::Environment;
use crate::event::EventKind;
use crate::token;

macro_rules! words {
    ($($name:ident: $words:expr;)*) => {$(
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().schema_type(Type::String).enum_values(Some($words)).into()
            }
        }

        impl ToSchema for $name {}
    )*};
}

macro_rules! patterns {
    ($($(#[$doc:meta])* $name:ident: $pattern:literal;)*) => {$(
        $(#[$doc])*
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                of_pattern($pattern)
            }
        }

        impl ToSchema for $name {}
    )*};
}

words! {
    AlgorithmWord: [limit::TOKEN_BUCKET, limit::FIXED_WINDOW, limit::SLIDING_WINDOW, limit::SLIDING_LOG];
    AnchorWord: [limit::CALENDAR, limit::SUBSCRIPTION];
    BalancerWord: ["round_robin", "least_requests", "latency", "hash"];
    CountingWord: [Counting::Leased, Counting::Exact, Counting::Local].map(Counting::name);
    EnvironmentWord: [Environment::Live, Environment::Test].map(Environment::as_str);
    EventWord: [EventKind::LimitThreshold, EventKind::WebhookTest].map(EventKind::name);
    OnUnavailableWord: [OnUnavailable::Local, OnUnavailable::Allow, OnUnavailable::Deny].map(OnUnavailable::name);
    OverageWord: [soft_limit::DENY, soft_limit::ALLOW];
    PerWord: ["service", "target"];
    SignatureWord: token::Algorithm::ASYMMETRIC.map(token::Algorithm::as_str);
}

patterns! {
    /// What retries are for.
    Cause: "^(connect|reset|timeout|[2-5][0-9]{2}|[2-5]xx)$";
    /// Of a service or a target.
    Failure: "^(connect|reset|timeout|[45][0-9]{2}|[45]xx)$";
}

impl PartialSchema for DurationText {
    fn schema() -> RefOr<Schema> {
        of_pattern("^[0-9]+(ms|s|m|h|d)$")
    }
}

impl ToSchema for DurationText {}

fn of_pattern(pattern: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::cause::CausePattern;

    fn pattern<T: PartialSchema>() -> Regex {
        let schema = serde_json::to_value(T::schema()).unwrap();
        Regex::new(schema["pattern"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn causes_have_the_form_that_is_told_and_no_other() {
        let (cause, failure) = (pattern::<Cause>(), pattern::<Failure>());
        let numbers = (0..1_000).flat_map(|number| [format!("{number}"), format!("{number:03}")]);
        let classes = (0..10).map(|digit| format!("{digit}xx"));
        let words = ["connect", "reset", "timeout", "", "5XX", "Reset"].map(str::to_owned);
        for text in numbers.chain(classes).chain(words) {
            let parsed = CausePattern::parse(&text).ok();
            assert_eq!(cause.is_match(&text), parsed.is_some(), "{text}");
            let may_fail = parsed.is_some_and(CausePattern::may_be_failure);
            assert_eq!(failure.is_match(&text), may_fail, "{text}");
        }
    }
}
