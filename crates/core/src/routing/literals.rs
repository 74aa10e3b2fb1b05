//! The literal ways on from a node, found by their first segment: a few in a list, more in hash tables.
//!
//! A look-up among a hundred thousand misses the cache once, in the node that it finds: tables have the nodes themselves,
//! and a byte for each that says where to look, which stay in the cache. There are many small tables rather than a large
//! one, so that a change copies little. Hashes are keyed: nobody can make segments that all fall into one place.

use std::sync::Arc;

use hashbrown::HashTable;
use imbl::OrdMap;
use smallvec::SmallVec;

use super::node::{Hashing, Node, Sums};

/// As many as are looked through one by one.
const FEW: usize = 8;
/// As many as one table has before there are several.
const ONE_TABLE: usize = 1_024;
const TABLES: usize = 256;

#[derive(Debug, Clone)]
pub(super) enum Literals {
    Few(SmallVec<[Arc<Node>; 4]>),
    Many(Box<Many>),
}

#[derive(Debug, Clone)]
pub(super) struct Many {
    tables: Vec<Arc<HashTable<Node>>>,
    length: usize,
    /// How many children have each highest priority, and each number of visits.
    highest: OrdMap<i32, u32>,
    visits: OrdMap<u16, u32>,
}

impl Default for Literals {
    fn default() -> Self {
        Self::Few(SmallVec::new())
    }
}

impl Literals {
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.length == 0,
        }
    }

    /// The child with this first segment.
    #[inline]
    pub fn find(&self, segment: &[u8], hashing: &Hashing) -> Option<&Node> {
        match self {
            Self::Few(few) => few.iter().map(Arc::as_ref).find(|node| node.begins_with(segment)),
            Self::Many(many) => {
                let hash = hashing.of(segment);
                many.table(hash).find(hash, |node| node.begins_with(segment))
            }
        }
    }

    /// The child with this first segment, while `change` changes it.
    pub fn change<R>(
        &mut self,
        segment: &[u8],
        hashing: &Hashing,
        change: impl FnOnce(&mut Node) -> R,
    ) -> Option<R> {
        match self {
            Self::Few(few) => {
                let node = few.iter_mut().find(|node| node.begins_with(segment))?;
                Some(change(Arc::make_mut(node)))
            }
            Self::Many(many) => {
                let hash = hashing.of(segment);
                let node = many.table_mut(hash).find_mut(hash, |node| node.begins_with(segment))?;
                let before = node.sums();
                let changed = change(node);
                let after = node.sums();
                many.forget(before);
                many.count(after);
                Some(changed)
            }
        }
    }

    /// Adds a child whose first segment no other has.
    pub fn add(&mut self, node: Node, hashing: &Hashing) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push(Arc::new(node)),
            Self::Few(few) => {
                let nodes = few.drain(..).map(Arc::unwrap_or_clone).chain([node]);
                *self = Self::Many(Box::new(Many::new(1, nodes, hashing)));
            }
            Self::Many(many) => {
                if many.length == ONE_TABLE && many.tables.len() == 1 {
                    **many = Many::new(TABLES, many.take_nodes().into_iter(), hashing);
                }
                many.add(node, hashing);
            }
        }
    }

    pub fn remove(&mut self, segment: &[u8], hashing: &Hashing) {
        match self {
            Self::Few(few) => few.retain(|node| !node.begins_with(segment)),
            Self::Many(many) => {
                let hash = hashing.of(segment);
                if let Ok(found) = many.table_mut(hash).find_entry(hash, |node| node.begins_with(segment)) {
                    let (removed, _) = found.remove();
                    many.length -= 1;
                    many.forget(removed.sums());
                }
                if many.length <= FEW / 2 {
                    *self = Self::Few(many.take_nodes().into_iter().map(Arc::new).collect());
                }
            }
        }
    }

    /// The only child.
    pub fn only(&self) -> Option<&Node> {
        match self {
            Self::Few(few) => match &few[..] {
                [only] => Some(only),
                _ => None,
            },
            Self::Many(_) => None,
        }
    }

    /// The most of all children.
    pub fn sums(&self) -> Sums {
        match self {
            Self::Few(few) => few.iter().fold(Sums::NONE, |most, node| most.most(node.sums())),
            Self::Many(many) => Sums {
                highest: many.highest.get_max().map_or(Sums::NONE.highest, |(highest, _)| *highest),
                visits: many.visits.get_max().map_or(Sums::NONE.visits, |(visits, _)| *visits),
            },
        }
    }
}

impl Many {
    fn new(tables: usize, nodes: impl Iterator<Item = Node>, hashing: &Hashing) -> Self {
        let mut many = Self {
            tables: vec![Arc::default(); tables],
            length: 0,
            highest: OrdMap::new(),
            visits: OrdMap::new(),
        };
        for node in nodes {
            many.add(node, hashing);
        }
        many
    }

    fn add(&mut self, node: Node, hashing: &Hashing) {
        self.count(node.sums());
        self.length += 1;
        let hash_of = |node: &Node| hashing.of(&node.first_segment());
        let hash = hash_of(&node);
        self.table_mut(hash).insert_unique(hash, node, hash_of);
    }

    fn take_nodes(&mut self) -> Vec<Node> {
        let tables = std::mem::take(&mut self.tables);
        tables.into_iter().flat_map(Arc::unwrap_or_clone).collect()
    }

    fn table(&self, hash: u64) -> &HashTable<Node> {
        &self.tables[self.index(hash)]
    }

    fn table_mut(&mut self, hash: u64) -> &mut HashTable<Node> {
        let index = self.index(hash);
        Arc::make_mut(&mut self.tables[index])
    }

    /// By other bits than those that say where in a table, which are the lowest and the highest.
    fn index(&self, hash: u64) -> usize {
        (hash >> 32) as usize & (self.tables.len() - 1)
    }

    fn count(&mut self, sums: Sums) {
        *self.highest.entry(sums.highest).or_default() += 1;
        *self.visits.entry(sums.visits).or_default() += 1;
    }

    fn forget(&mut self, sums: Sums) {
        forget(&mut self.highest, sums.highest);
        forget(&mut self.visits, sums.visits);
    }
}

fn forget<K: Ord + Copy>(counts: &mut OrdMap<K, u32>, key: K) {
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) | None => {
            counts.remove(&key);
        }
    }
}
