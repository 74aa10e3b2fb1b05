//! The paths of one host, or of one tenant: a radix trie over plain paths, in which a captured segment is one byte. It is
//! persistent: a change copies the nodes on its way, and leaves the others to both.
//!
//! A node lies in two or three cache lines with its label and what ends there, so that a look-up among very many routes
//! pays for few misses: the nodes near the root are in the cache anyway, and below the last fork a path is one label.

use std::sync::Arc;

use smallvec::SmallVec;

use super::key::{End, Key, PARAMETER};
use crate::resource::{Route, RouteId};

/// A longer way without a fork is several nodes.
const LABEL_BYTES: usize = 31;
/// Nodes that a look-up may have to visit, so that no set of templates makes one expensive: a path may match several
/// templates, and each place where a literal and a parameter are both possible may double what there is to look at.
const MOST_VISITS: u32 = 256;

/// The routes of a host. Copies share what neither has changed since.
#[derive(Debug, Clone, Default)]
pub struct Trie {
    pub(super) root: Node,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub label: Label,
    /// First byte of each child's label, ascending: a parameter's comes first.
    firsts: SmallVec<[u8; 16]>,
    children: SmallVec<[Arc<Node>; 2]>,
    /// Routes that are for what has been read here, the most wanted first.
    pub ends: SmallVec<[Entry; 1]>,
    /// Priority of the most wanted of all that end here or below.
    pub highest: i32,
    /// Most nodes that a look-up from here on visits.
    visits: u32,
}

/// A piece of keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Label {
    length: u8,
    bytes: [u8; LABEL_BYTES],
}

/// One path of a route, with what a look-up asks first.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub route: Arc<Route>,
    pub priority: i32,
    pub methods: u16,
    /// Which of the route's paths.
    pub path: u8,
    pub end: End,
}

/// Why a route cannot be beside those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A request could match both, and nothing says which is meant.
    Tie(Arc<Route>),
    /// A look-up would have to try too much.
    TooManyOverlaps,
}

impl Trie {
    pub fn is_empty(&self) -> bool {
        self.root.ends.is_empty() && self.root.children.is_empty()
    }

    /// Adds the path of this index of a route.
    pub fn insert(&mut self, key: &Key, route: &Arc<Route>, path: u8) -> Result<(), Conflict> {
        let rules = &route.rules;
        let entry = Entry {
            route: Arc::clone(route),
            priority: rules.priority,
            methods: rules.methods.mask(),
            path,
            end: key.end,
        };
        self.root.insert(&key.bytes, entry)?;
        if self.root.visits > MOST_VISITS { Err(Conflict::TooManyOverlaps) } else { Ok(()) }
    }

    pub fn remove(&mut self, key: &Key, route: RouteId) {
        self.root.remove(&key.bytes, key.end, route);
    }
}

impl Default for Node {
    fn default() -> Self {
        Self::new(Label::new(&[]))
    }
}

impl Node {
    fn new(label: Label) -> Self {
        Self {
            label,
            firsts: SmallVec::new(),
            children: SmallVec::new(),
            ends: SmallVec::new(),
            highest: i32::MIN,
            visits: 1,
        }
    }

    /// The child that literally goes on with this byte.
    pub fn literal(&self, first: u8) -> Option<&Node> {
        let index = self.firsts.iter().position(|&held| held == first)?;
        self.children.get(index).map(Arc::as_ref)
    }

    /// The child that goes on with a parameter.
    pub fn parameter(&self) -> Option<&Node> {
        if self.firsts.first() == Some(&PARAMETER) { self.children.first().map(Arc::as_ref) } else { None }
    }

    /// `key` is what follows this node's label.
    fn insert(&mut self, key: &[u8], entry: Entry) -> Result<(), Conflict> {
        let Some(&first) = key.first() else {
            self.add(entry)?;
            self.sum_up();
            return Ok(());
        };
        let index = match self.firsts.binary_search(&first) {
            Ok(index) => {
                let child = Arc::make_mut(&mut self.children[index]);
                let common = child.label.common(key);
                if common < child.label.as_bytes().len() {
                    child.split_at(common);
                }
                index
            }
            Err(index) => {
                let label = Label::new(&key[..key.len().min(LABEL_BYTES)]);
                self.firsts.insert(index, first);
                self.children.insert(index, Arc::new(Self::new(label)));
                index
            }
        };
        let child = Arc::make_mut(&mut self.children[index]);
        let length = child.label.as_bytes().len();
        child.insert(&key[length..], entry)?;
        self.sum_up();
        Ok(())
    }

    fn add(&mut self, entry: Entry) -> Result<(), Conflict> {
        let rank = |entry: &Entry| (entry.priority, entry.route.rules.conditions());
        let tied = self.ends.iter().find(|held| {
            held.end == entry.end
                && rank(held) == rank(&entry)
                && !held.route.rules.excludes(&entry.route.rules)
        });
        if let Some(tied) = tied {
            return Err(Conflict::Tie(Arc::clone(&tied.route)));
        }
        let at = self.ends.iter().position(|held| rank(held) < rank(&entry)).unwrap_or(self.ends.len());
        self.ends.insert(at, entry);
        Ok(())
    }

    fn remove(&mut self, key: &[u8], end: End, route: RouteId) {
        match key.first().map(|first| self.firsts.binary_search(first)) {
            None => self.ends.retain(|held| held.end != end || held.route.id != route),
            Some(Err(_)) => return,
            Some(Ok(index)) => {
                let child = Arc::make_mut(&mut self.children[index]);
                let length = child.label.as_bytes().len();
                if child.label.common(key) < length {
                    return;
                }
                child.remove(&key[length..], end, route);
                if child.ends.is_empty() {
                    match child.children.len() {
                        0 => {
                            self.firsts.remove(index);
                            self.children.remove(index);
                        }
                        1 => child.merge(),
                        _ => {}
                    }
                }
            }
        }
        self.sum_up();
    }

    /// Cuts the label; what is behind the cut becomes a child.
    fn split_at(&mut self, at: usize) {
        let (before, behind) = self.label.as_bytes().split_at(at);
        let (before, behind) = (Label::new(before), Label::new(behind));
        let mut child = std::mem::replace(self, Self::new(before));
        child.label = behind;
        self.firsts.extend(behind.as_bytes().first().copied());
        self.children.push(Arc::new(child));
    }

    /// Takes the place of the only child, where the labels of both fit into one.
    fn merge(&mut self) {
        let [only] = &self.children[..] else { return };
        if let Some(label) = self.label.followed_by(&only.label) {
            *self = Self { label, ..only.as_ref().clone() };
        }
    }

    fn sum_up(&mut self) {
        let of_ends = self.ends.iter().map(|entry| entry.priority);
        let below = self.children.iter().map(|child| child.highest);
        self.highest = of_ends.chain(below).max().unwrap_or(i32::MIN);
        let is_literal = self.firsts.iter().map(|&first| first != PARAMETER);
        let literals = self.children.iter().zip(is_literal).filter(|(_, is_literal)| *is_literal);
        let literal = literals.map(|(child, _)| child.visits).max().unwrap_or(0);
        let parameter = self.parameter().map_or(0, |child| child.visits);
        self.visits = 1_u32.saturating_add(literal).saturating_add(parameter);
    }
}

impl Label {
    /// At most [`LABEL_BYTES`].
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; LABEL_BYTES];
        let length = text.len().min(LABEL_BYTES);
        bytes[..length].copy_from_slice(&text[..length]);
        Self { length: u8::try_from(length).unwrap_or(0), bytes }
    }

    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn common(&self, key: &[u8]) -> usize {
        self.as_bytes().iter().zip(key).take_while(|(own, others)| own == others).count()
    }

    fn followed_by(&self, other: &Self) -> Option<Self> {
        let both = [self.as_bytes(), other.as_bytes()].concat();
        (both.len() <= LABEL_BYTES).then(|| Self::new(&both))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One cache line for label and forks, one for the rest, and what lies around them.
    #[test]
    fn a_node_is_small() {
        assert!(size_of::<Node>() <= 136, "{}", size_of::<Node>());
        assert_eq!(size_of::<Entry>(), 16);
    }
}
