//! The literal ways on from a node, found by their first segment: a few in a list, more in hash tables.
//!
//! A look-up among a hundred thousand misses the cache once here, in a few bytes for each, and once in the node that it
//! finds. There are many small tables rather than a large one, so that a change copies little. Hashes are keyed: nobody can
//! make segments that all fall into one place.

use std::sync::Arc;

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
    tables: Vec<Arc<Table>>,
    length: usize,
    /// How many children have each highest priority, and each number of visits.
    highest: OrdMap<i32, u32>,
    visits: OrdMap<u16, u32>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    nodes: Vec<Node>,
    /// Open addressing with linear probing, at most three quarters full; a power of two.
    slots: Box<[Slot]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    hash: u32,
    /// Place of the node, from 1; 0 where the slot is free.
    node: u32,
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

    /// The children that may begin with the segment of this hash: nearly always one at most, where they are many.
    #[inline]
    pub fn of(&self, hash: impl FnOnce() -> u64) -> impl Iterator<Item = &Node> {
        let (few, many) = match self {
            Self::Few(few) => (&few[..], None),
            Self::Many(many) => {
                let hash = hash();
                (&[][..], Some(many.table(hash).of(hash)))
            }
        };
        few.iter().map(Arc::as_ref).chain(many.into_iter().flatten())
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
                let node = few.iter_mut().find(|node| *node.first_segment() == *segment)?;
                Some(change(Arc::make_mut(node)))
            }
            Self::Many(many) => {
                let node = many.table_mut(hashing.of(segment)).find_mut(segment, hashing)?;
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
            Self::Few(few) => few.retain(|node| *node.first_segment() != *segment),
            Self::Many(many) => {
                if let Some(removed) = many.table_mut(hashing.of(segment)).remove(segment, hashing) {
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
        self.table_mut(hashing.of(&node.first_segment())).add(node, hashing);
    }

    fn take_nodes(&mut self) -> Vec<Node> {
        let tables = std::mem::take(&mut self.tables);
        tables.into_iter().flat_map(|table| Arc::unwrap_or_clone(table).nodes).collect()
    }

    fn table(&self, hash: u64) -> &Table {
        &self.tables[self.index(hash)]
    }

    fn table_mut(&mut self, hash: u64) -> &mut Table {
        let index = self.index(hash);
        Arc::make_mut(&mut self.tables[index])
    }

    /// By other bits than those that say where in a table.
    fn index(&self, hash: u64) -> usize {
        (hash >> 56) as usize & (self.tables.len() - 1)
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

impl Table {
    #[inline]
    fn of(&self, hash: u64) -> impl Iterator<Item = &Node> {
        let short = shorten(hash);
        let run = self.places(short).map(|place| self.slots[place]).take_while(|slot| slot.node != 0);
        run.filter(move |slot| slot.hash == short).filter_map(|slot| self.nodes.get(slot.node as usize - 1))
    }

    fn find_mut(&mut self, segment: &[u8], hashing: &Hashing) -> Option<&mut Node> {
        let index = self.find(segment, hashing)?;
        self.nodes.get_mut(index)
    }

    fn find(&self, segment: &[u8], hashing: &Hashing) -> Option<usize> {
        let short = shorten(hashing.of(segment));
        let run = self.places(short).map(|place| self.slots[place]).take_while(|slot| slot.node != 0);
        let mut alike = run.filter(|slot| slot.hash == short).map(|slot| slot.node as usize - 1);
        alike.find(|&index| *self.nodes[index].first_segment() == *segment)
    }

    fn add(&mut self, node: Node, hashing: &Hashing) {
        let hash = hashing.of(&node.first_segment());
        self.nodes.push(node);
        if self.nodes.len() * 4 > self.slots.len() * 3 {
            self.index_anew(hashing);
        } else {
            self.point_to(hash, self.nodes.len());
        }
    }

    fn remove(&mut self, segment: &[u8], hashing: &Hashing) -> Option<Node> {
        let index = self.find(segment, hashing)?;
        let removed = self.nodes.swap_remove(index);
        self.index_anew(hashing);
        Some(removed)
    }

    fn index_anew(&mut self, hashing: &Hashing) {
        let slots = (self.nodes.len() * 4 / 3 + 1).next_power_of_two();
        self.slots = vec![Slot::default(); slots].into();
        for place in 1..=self.nodes.len() {
            let hash = hashing.of(&self.nodes[place - 1].first_segment());
            self.point_to(hash, place);
        }
    }

    /// `node` is a place from 1.
    fn point_to(&mut self, hash: u64, node: usize) {
        let hash = shorten(hash);
        let free = self.places(hash).find(|&place| self.slots[place].node == 0);
        if let (Some(free), Ok(node)) = (free, u32::try_from(node)) {
            self.slots[free] = Slot { hash, node };
        }
    }

    /// Where an entry may lie, the nearest first.
    #[inline]
    fn places(&self, hash: u32) -> impl Iterator<Item = usize> + use<> {
        let slots = self.slots.len();
        (0..slots).map(move |step| (hash as usize + step) & (slots - 1))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower bits are as good as any")]
const fn shorten(hash: u64) -> u32 {
    hash as u32
}
