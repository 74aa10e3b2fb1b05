//! The routes that a path leads to: what ends in a node.

use std::sync::Arc;

use super::admission::Conflict;
use super::key::End;
use crate::resource::{Route, RouteId};

/// Routes that are for what has been read, the most wanted first.
#[derive(Debug, Clone, Default)]
#[expect(clippy::box_collection, reason = "one pointer in place of three keeps a node in one cache line")]
pub(super) enum Ends {
    #[default]
    None,
    One(Entry),
    Several(Box<Vec<Entry>>),
}

/// One path of a route, with what a look-up asks first.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub route: Arc<Route>,
    pub priority: i32,
    pub methods: u16,
    /// Which of the route's paths.
    pub path: u8,
    pub kind: Kind,
}

/// How a path ends, and whether the route asks for more than that and the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exact,
    ExactAndMore,
    Rest,
    RestAndMore,
}

impl Ends {
    #[inline]
    pub fn as_slice(&self) -> &[Entry] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Several(entries) => entries,
        }
    }

    /// How many end so.
    pub fn count(&self, end: End) -> usize {
        self.as_slice().iter().filter(|held| held.kind.end() == end).count()
    }

    /// Yields how many there are now that end as this one does.
    pub fn add(&mut self, entry: Entry) -> Result<usize, Conflict> {
        let held = self.as_slice();
        let rank = entry.rank();
        let at = held.partition_point(|held| held.rank() > rank);
        let tied = held[at..].iter().take_while(|held| held.rank() == rank).find(|held| held.ties(&entry));
        if let Some(tied) = tied {
            return Err(Conflict::Tie(Arc::clone(&tied.route)));
        }
        let like_this = 1 + self.count(entry.kind.end());
        if let Self::Several(entries) = self {
            entries.insert(at, entry);
        } else {
            let mut entries = held.to_vec();
            entries.insert(at, entry);
            *self = Self::from(entries);
        }
        Ok(like_this)
    }

    pub fn remove(&mut self, end: End, route: RouteId) {
        let mut entries = self.as_slice().to_vec();
        entries.retain(|held| held.kind.end() != end || held.route.id != route);
        *self = Self::from(entries);
    }
}

impl From<Vec<Entry>> for Ends {
    fn from(mut entries: Vec<Entry>) -> Self {
        match entries.len() {
            0 => Self::None,
            1 => entries.pop().map_or(Self::None, Self::One),
            _ => Self::Several(Box::new(entries)),
        }
    }
}

impl Entry {
    pub fn new(route: &Arc<Route>, path: u8, end: End) -> Self {
        let rules = &route.rules;
        let asks_more = !rules.headers.is_empty() || !rules.query.is_empty();
        let kind = match (end, asks_more) {
            (End::Exact, false) => Kind::Exact,
            (End::Exact, true) => Kind::ExactAndMore,
            (End::Rest, false) => Kind::Rest,
            (End::Rest, true) => Kind::RestAndMore,
        };
        Self { route: Arc::clone(route), priority: rules.priority, methods: rules.methods.mask(), path, kind }
    }

    /// The more, the sooner it is taken of those that end in one node.
    fn rank(&self) -> (i32, usize) {
        (self.priority, self.route.rules.conditions())
    }

    /// Whether nothing keeps it apart from another of its rank.
    fn ties(&self, other: &Self) -> bool {
        self.kind.end() == other.kind.end() && !self.route.rules.excludes(&other.route.rules)
    }
}

impl Kind {
    pub const fn end(self) -> End {
        match self {
            Self::Exact | Self::ExactAndMore => End::Exact,
            Self::Rest | Self::RestAndMore => End::Rest,
        }
    }

    pub const fn asks_more(self) -> bool {
        match self {
            Self::ExactAndMore | Self::RestAndMore => true,
            Self::Exact | Self::Rest => false,
        }
    }
}
