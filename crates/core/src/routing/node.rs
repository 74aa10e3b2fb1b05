//! The paths of one host, or of one tenant: a radix trie over the segments of plain paths, in which a captured segment is
//! one byte. It is persistent: a change copies the nodes on its way, and leaves the others to both.
//!
//! A node is one cache line, with its label and what ends there, and below the last fork a path is one label, so that a
//! look-up among very many routes pays for few misses.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use super::admission::{Admission, Conflict, Crowd, Crowding, MOST_AT_ONE_PATH, MOST_VISITS};
use super::ends::{Ends, Entry};
use super::key::{End, Key, PARAMETER};
use super::label::{Head, INLINE_BYTES, common, first_segment};
use super::literals::Literals;
use crate::resource::{Route, RouteId};

/// The routes of a host. Copies share what neither has changed since.
#[derive(Debug, Clone, Default)]
pub struct Trie {
    pub(super) root: Node,
    pub(super) hashing: Hashing,
}

/// How segments are found.
#[derive(Debug, Clone, Default)]
pub(super) struct Hashing(ahash::RandomState);

/// One cache line.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Node {
    head: Head,
    // The members of `Sums`, which leaves two bytes unused.
    visits: u16,
    highest: i32,
    pub ends: Ends,
    more: Option<Arc<More>>,
}

/// What nodes have that are no leaves, and what leaves have whose label is long.
#[derive(Debug, Clone, Default)]
pub(super) struct More {
    pub label: Box<[u8]>,
    pub parameter: Option<Arc<Node>>,
    pub literals: Literals,
}

/// Of all that ends in a node or below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sums {
    /// Priority of the most wanted.
    pub highest: i32,
    /// Most nodes that a look-up visits, and routes that end in them.
    pub visits: u16,
}

impl Sums {
    pub const NONE: Self = Self { highest: i32::MIN, visits: 0 };

    pub fn most(self, other: Self) -> Self {
        Self { highest: self.highest.max(other.highest), visits: self.visits.max(other.visits) }
    }
}

impl Trie {
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// Adds the path of this index of a route. One that has no place is not kept: others would be judged by it as well.
    pub fn insert(
        &mut self,
        key: &Key,
        route: &Arc<Route>,
        path: u8,
        admission: Admission,
    ) -> Result<Option<Crowding>, Conflict> {
        let entry = Entry::new(route, path, key.end);
        let visits_before = self.root.visits;
        let at_one_path = self.root.insert(&key.bytes, entry, &self.hashing)?;
        let visits = self.root.visits;
        let crowding = if at_one_path > MOST_AT_ONE_PATH {
            Some(Crowding::TooManyAtOnePath)
        } else if visits > MOST_VISITS.max(visits_before) {
            Some(Crowding::TooManyOverlaps)
        } else {
            None
        };
        match (crowding, admission) {
            (Some(crowding), Admission::New(before))
                if at_one_path > before.at_one_path.max(MOST_AT_ONE_PATH)
                    || visits > before.visits.max(MOST_VISITS).max(visits_before) =>
            {
                self.remove(key, route.id);
                Err(Conflict::Crowding(crowding))
            }
            (Some(_) | None, Admission::New(_) | Admission::Accepted) => Ok(crowding),
        }
    }

    pub fn crowd(&self, key: &Key) -> Crowd {
        let at_one_path =
            self.root.find(&key.bytes, &self.hashing).map_or(0, |node| node.ends.count(key.end));
        Crowd { at_one_path, visits: self.root.visits }
    }

    pub fn remove(&mut self, key: &Key, route: RouteId) {
        self.root.remove(&key.bytes, key.end, route, &self.hashing);
    }
}

impl Hashing {
    #[inline]
    pub fn of(&self, segment: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(segment);
        hasher.finish()
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Node {
    fn new(label: &[u8]) -> Self {
        let mut node = Self {
            head: Head::of(&[]).0,
            visits: 1,
            highest: Sums::NONE.highest,
            ends: Ends::None,
            more: None,
        };
        node.set_label(label);
        node
    }

    #[inline]
    pub const fn sums(&self) -> Sums {
        Sums { highest: self.highest, visits: self.visits }
    }

    /// The first bytes of what is read to get here from the node before: a slash and a segment, and more of them. The others
    /// are in [`Node::more`].
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.head.as_bytes()
    }

    #[inline]
    pub fn more(&self) -> Option<&More> {
        self.more.as_deref()
    }

    fn label(&self) -> Cow<'_, [u8]> {
        match self.more() {
            Some(more) if !more.label.is_empty() => [self.head(), &more.label].concat().into(),
            Some(_) | None => self.head().into(),
        }
    }

    fn set_label(&mut self, label: &[u8]) {
        let (head, tail) = Head::of(label);
        self.head = head;
        if !tail.is_empty() || self.more.is_some() {
            self.more_mut().label = tail.into();
        }
    }

    pub fn first_segment(&self) -> Cow<'_, [u8]> {
        let head = first_segment(self.head());
        if head.len() + 1 < INLINE_BYTES { head.into() } else { first_segment(&self.label()).to_vec().into() }
    }

    #[inline]
    pub fn begins_with(&self, segment: &[u8]) -> bool {
        *self.first_segment() == *segment
    }

    fn more_mut(&mut self) -> &mut More {
        Arc::make_mut(self.more.get_or_insert_default())
    }

    fn is_empty(&self) -> bool {
        self.ends.as_slice().is_empty() && self.more().is_none_or(More::is_leaf)
    }

    /// `key` is what follows this node's label. Yields how many routes have the path now.
    fn insert(&mut self, key: &[u8], entry: Entry, hashing: &Hashing) -> Result<usize, Conflict> {
        let at_one_path = if key.is_empty() { self.ends.add(entry)? } else { self.add(key, entry, hashing)? };
        self.sum_up();
        Ok(at_one_path)
    }

    /// Into the child that `key` goes on with, or as a child of its own.
    fn add(&mut self, key: &[u8], entry: Entry, hashing: &Hashing) -> Result<usize, Conflict> {
        let mut entry = Some(entry);
        let more = self.more_mut();
        let below = more
            .change(key, hashing, |child| Some(child.insert_below(key, entry.take()?, hashing)))
            .flatten();
        if let Some(below) = below {
            return below;
        }
        let mut leaf = Self::new(key);
        let at_one_path = entry.map_or(Ok(0), |entry| leaf.ends.add(entry))?;
        leaf.sum_up();
        more.add(leaf, hashing);
        Ok(at_one_path)
    }

    /// `key` begins with this node's first segment.
    fn insert_below(&mut self, key: &[u8], entry: Entry, hashing: &Hashing) -> Result<usize, Conflict> {
        let label = self.label().into_owned();
        let common = common(&label, key);
        if common < label.len() {
            // What is behind the cut becomes a child.
            let mut child = std::mem::replace(self, Self::new(&label[..common]));
            child.set_label(&label[common..]);
            self.more_mut().add(child, hashing);
        }
        self.insert(&key[common..], entry, hashing)
    }

    /// The node that a key ends in; `key` is what follows this node's label.
    fn find(&self, key: &[u8], hashing: &Hashing) -> Option<&Self> {
        if key.is_empty() {
            return Some(self);
        }
        let child = self.more()?.find(key, hashing)?;
        child.find(key.strip_prefix(&*child.label())?, hashing)
    }

    fn remove(&mut self, key: &[u8], end: End, route: RouteId, hashing: &Hashing) {
        if key.is_empty() {
            self.ends.remove(end, route);
        } else if self.more.is_some() {
            let more = self.more_mut();
            let is_empty = more.change(key, hashing, |child| {
                if let Some(behind) = key.strip_prefix(&*child.label()) {
                    child.remove(behind, end, route, hashing);
                    child.merge();
                }
                child.is_empty()
            });
            if is_empty == Some(true) {
                more.remove(key, hashing);
            }
            if more.is_leaf() && more.label.is_empty() {
                self.more = None;
            }
        }
        self.sum_up();
    }

    /// Takes the place of the only child, where nothing ends here.
    fn merge(&mut self) {
        let only = self.more().filter(|_| self.ends.as_slice().is_empty()).and_then(More::only);
        if let Some(only) = only {
            let label = [self.label(), only.label()].concat();
            *self = only.clone();
            self.set_label(&label);
        }
    }

    fn sum_up(&mut self) {
        let ends = self.ends.as_slice();
        let of_ends = ends.iter().map(|entry| entry.priority).max();
        let (literal, parameter) = self.more().map_or((Sums::NONE, Sums::NONE), |more| {
            (more.literals.sums(), more.parameter.as_ref().map_or(Sums::NONE, |child| child.sums()))
        });
        self.highest = of_ends.unwrap_or(i32::MIN).max(literal.highest).max(parameter.highest);
        let own = u16::try_from(ends.len()).unwrap_or(u16::MAX).max(1);
        self.visits = own.saturating_add(literal.visits).saturating_add(parameter.visits);
    }
}

impl More {
    /// Whether nothing goes on from here.
    fn is_leaf(&self) -> bool {
        self.parameter.is_none() && self.literals.is_empty()
    }

    fn only(&self) -> Option<&Node> {
        match (&self.parameter, self.literals.is_empty()) {
            (Some(only), true) => Some(only),
            (None, false) => self.literals.only(),
            (Some(_), false) | (None, true) => None,
        }
    }

    /// The child that a key goes on with.
    fn find(&self, key: &[u8], hashing: &Hashing) -> Option<&Node> {
        match first_segment(key) {
            [PARAMETER] => self.parameter.as_deref(),
            segment => self.literals.find(segment, hashing),
        }
    }

    /// Changes the child that a key goes on with, where there is one.
    fn change<R>(&mut self, key: &[u8], hashing: &Hashing, change: impl FnOnce(&mut Node) -> R) -> Option<R> {
        match first_segment(key) {
            [PARAMETER] => self.parameter.as_mut().map(|child| change(Arc::make_mut(child))),
            segment => self.literals.change(segment, hashing, change),
        }
    }

    /// Adds a child whose first segment no other has.
    fn add(&mut self, child: Node, hashing: &Hashing) {
        if *child.first_segment() == [PARAMETER] {
            self.parameter = Some(Arc::new(child));
        } else {
            self.literals.add(child, hashing);
        }
    }

    fn remove(&mut self, key: &[u8], hashing: &Hashing) {
        match first_segment(key) {
            [PARAMETER] => self.parameter = None,
            segment => self.literals.remove(segment, hashing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_one_cache_line() {
        assert_eq!((size_of::<Node>(), size_of::<Entry>(), size_of::<Ends>()), (64, 16, 16));
    }
}
