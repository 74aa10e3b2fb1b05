//! What a route asks of a request besides its host and path.

use super::search::Asked;
use crate::resource::RouteRules;

impl RouteRules {
    /// More of them are more specific.
    pub(super) fn conditions(&self) -> usize {
        usize::from(!self.methods.is_any()) + self.headers.len() + self.query.len()
    }

    /// Of a method whose bit is one of the route's.
    pub(super) fn are_met(&self, method: u16, asked: &impl Asked) -> bool {
        self.methods.includes(method, asked.method()) && self.are_met_but_for_the_method(asked)
    }

    pub(super) fn are_met_but_for_the_method(&self, asked: &impl Asked) -> bool {
        self.headers.iter().all(|condition| condition.is_met(asked.header(condition.name.as_str())))
            && self.query.iter().all(|condition| condition.is_met(asked.query()))
    }

    /// Whether no request meets the conditions of both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let of_headers = |one: &Self, other: &Self| {
            one.headers.iter().any(|own| {
                other
                    .headers
                    .iter()
                    .any(|others| own.name == others.name && own.wanted.excludes(&others.wanted))
            })
        };
        let of_query = |one: &Self, other: &Self| {
            one.query.iter().any(|own| {
                other
                    .query
                    .iter()
                    .any(|others| own.name == others.name && own.wanted.excludes(&others.wanted))
            })
        };
        self.methods.excludes(&other.methods) || of_headers(self, other) || of_query(self, other)
    }
}
