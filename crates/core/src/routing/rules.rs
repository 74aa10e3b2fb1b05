//! What a route asks of a request besides its host and path.

use std::cell::OnceCell;

use super::condition::FieldName;
use super::query::Query;
use super::search::Asked;
use crate::resource::RouteRules;

/// What routes ask of one request, and what is worked out for the first that asks.
pub(super) struct Question<'a, A> {
    pub asked: &'a A,
    query: OnceCell<Query<'a>>,
}

impl<'a, A: Asked> Question<'a, A> {
    pub fn new(asked: &'a A) -> Self {
        Self { asked, query: OnceCell::new() }
    }

    fn query(&self) -> &Query<'a> {
        self.query.get_or_init(|| Query::read(self.asked.query()))
    }
}

impl RouteRules {
    /// More of them are more specific.
    pub(super) fn conditions(&self) -> usize {
        usize::from(!self.methods.is_any()) + self.headers.len() + self.query.len()
    }

    /// Of a method whose bit is one of the route's.
    pub(super) fn are_met(&self, method: u16, question: &Question<'_, impl Asked>) -> bool {
        self.methods.includes(method, question.asked.method()) && self.are_met_but_for_the_method(question)
    }

    pub(super) fn are_met_but_for_the_method(&self, question: &Question<'_, impl Asked>) -> bool {
        let header = |name: &FieldName| question.asked.header(name.as_str());
        self.headers.iter().all(|condition| condition.is_met(header(&condition.name)))
            && self.query.iter().all(|condition| condition.is_met(question.query()))
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
