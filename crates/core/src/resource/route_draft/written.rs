//! What a route's rules are written as.

use super::RouteDraft;
use crate::resource::{DurationText, RouteRules, RouteState, TextOrBool, UpstreamHost};
use crate::routing::{PathChange, PathTemplate, Wanted};

impl From<&RouteRules> for RouteDraft {
    /// Without a name and services.
    fn from(rules: &RouteRules) -> Self {
        let texts = |texts: &[PathTemplate]| texts.iter().map(ToString::to_string).collect();
        let wanted = |wanted: &Wanted| match wanted {
            Wanted::Present => TextOrBool::Bool(true),
            Wanted::Exactly(value) => TextOrBool::Text(value.to_string()),
        };
        let (strip_prefix, rewrite_path) = match &rules.path_change {
            PathChange::Kept => (None, None),
            PathChange::StripMatched => (Some(TextOrBool::Bool(true)), None),
            PathChange::Strip(beginning) => (Some(TextOrBool::Text(beginning.to_string())), None),
            PathChange::Rewrite(rewrite) => (None, Some(rewrite.to_string())),
        };
        let (rewrite_host, preserve_host) = match &rules.upstream_host {
            UpstreamHost::Target => (None, None),
            UpstreamHost::Preserved => (None, Some(true)),
            UpstreamHost::Rewritten(host) => (Some(host.to_string()), None),
        };
        let headers = rules.headers.iter();
        let query = rules.query.iter();
        Self {
            hosts: rules.hosts.iter().map(ToString::to_string).collect(),
            paths: texts(&rules.paths),
            methods: rules.methods.iter().map(ToOwned::to_owned).collect(),
            headers: headers.map(|header| (header.name.to_string(), wanted(&header.wanted))).collect(),
            query: query.map(|query| (query.name.to_string(), wanted(&query.wanted))).collect(),
            priority: (rules.priority != 0).then_some(rules.priority),
            strip_prefix,
            rewrite_path,
            rewrite_host,
            preserve_host,
            timeout: rules.timeout.map(DurationText),
            retries: rules.retries,
            max_body_bytes: rules.max_body_bytes,
            enabled: (rules.state == RouteState::Disabled).then_some(false),
            ..Self::default()
        }
    }
}
