//! Looking a request up.
//!
//! Of the routes that match, the one of the highest priority is meant. Of several of that priority, it is the one of the
//! most specific host; then of the most specific path, read from the left: where two differ first, a literal goes before
//! a parameter, a parameter before a rest, and an end before a rest; then the one with the most conditions. No two that
//! could match one request are equal in all of these: one of them was refused.
//!
//! The trie is walked in the order of specificity, so that the first that matches is the one unless a higher priority
//! is still possible below: nodes know the highest there is.

use super::ends::Entry;
use super::hosts::Hosts;
use super::key::{End, PARAMETER};
use super::methods;
use super::node::{Hashing, Node, Trie};
use super::plain::{PathText, Written};
use super::rules::Question;
use super::template::{MOST_CAPTURES, PathTemplate};
use crate::resource::{Route, RouteRules};

/// What routes ask of a request.
pub trait Asked {
    fn method(&self) -> &[u8];
    /// The first value of a field, by its name in lower case.
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// From the question mark on.
    fn query(&self) -> &[u8];
}

/// What came of a look-up.
#[derive(Debug)]
pub enum Selection<'t> {
    Route(Matched<'t>),
    /// Some routes would match, were it not for the method. These are theirs, each once, as `Allow` lists them.
    OtherMethods(String),
    Nothing,
}

/// The route of a request, and what its path captured.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'t> {
    pub route: &'t Route,
    path: u8,
    captures: Captures,
}

/// Pieces of a path, in its order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Captures {
    count: usize,
    spans: [(u32, u32); MOST_CAPTURES],
}

impl<'t> Matched<'t> {
    /// Which of the route's paths it was; `None` of a route that is for all paths.
    pub fn template(&self) -> Option<&'t PathTemplate> {
        self.route.rules.paths.get(usize::from(self.path))
    }

    /// The piece of the path of this place in the template.
    pub fn capture<'p>(&self, index: usize, path: &'p str) -> Option<&'p str> {
        let (start, end) = *self.captures.spans[..self.captures.count].get(index)?;
        path.get(start as usize..end as usize)
    }

    /// Where the rest begins, where there is one.
    pub(super) fn rest_at(&self) -> Option<usize> {
        let (start, _) = self.captures.spans[..self.captures.count].last()?;
        self.template().is_none_or(PathTemplate::has_rest).then_some(*start as usize)
    }
}

impl Captures {
    fn push(&mut self, start: usize, end: usize) {
        // Templates capture no more, and paths are far below 4 GiB.
        if let (Some(span), Ok(start), Ok(end)) =
            (self.spans.get_mut(self.count), u32::try_from(start), u32::try_from(end))
        {
            *span = (start, end);
            self.count += 1;
        }
    }
}

impl Trie {
    /// The route for a path that is canonical; an empty one is `/`.
    pub fn select(&self, path: &str, asked: &impl Asked) -> Selection<'_> {
        select(|| std::iter::once(self), path, asked)
    }
}

impl Hosts {
    /// The route for a host as [`super::read_host`] gives it, and a path that is canonical.
    pub fn select(&self, host: &mut [u8], path: &str, asked: &impl Asked) -> Selection<'_> {
        let tries = self.of(host);
        select(|| tries.iter().copied(), path, asked)
    }
}

/// `tries` go from the most specific to the least.
fn select<'t, I: Iterator<Item = &'t Trie>>(
    tries: impl Fn() -> I,
    path: &str,
    asked: &impl Asked,
) -> Selection<'t> {
    let path = if path.is_empty() { "/" } else { path };
    let question = Question::new(asked);
    let method = methods::bit(asked.method());
    let mut best = Best { question: &question, method, floor: i64::MIN, found: None };
    for trie in tries() {
        walk(trie, path, &mut best);
    }
    if let Some((entry, captures)) = best.found {
        return Selection::Route(Matched { route: &entry.route, path: entry.path, captures });
    }
    let mut others = OtherMethods { question: &question, rules: Vec::new() };
    for trie in tries() {
        walk(trie, path, &mut others);
    }
    if others.rules.is_empty() { Selection::Nothing } else { Selection::OtherMethods(others.allowed()) }
}

fn walk<'t>(trie: &'t Trie, path: &str, visitor: &mut impl Visitor<'t>) {
    match Written::of(path) {
        Written::Plainly(text) => {
            Walk { text, hashing: &trie.hashing, captures: Captures::default(), visitor }
                .visit(&trie.root, 0);
        }
        Written::Otherwise(text) => {
            Walk { text, hashing: &trie.hashing, captures: Captures::default(), visitor }
                .visit(&trie.root, 0);
        }
    }
}

/// Told of every end that a path leads to, the most specific first.
trait Visitor<'t> {
    fn enters(&self, node: &Node) -> bool;
    fn ends(&mut self, entry: &'t Entry, captures: &Captures);
}

struct Walk<'a, T, V> {
    text: T,
    hashing: &'a Hashing,
    captures: Captures,
    visitor: &'a mut V,
}

impl<'t, T: PathText, V: Visitor<'t>> Walk<'_, T, V> {
    /// Reads what this node adds at a place of the path, and goes on below.
    fn visit(&mut self, node: &'t Node, at: usize) {
        if !self.visitor.enters(node) {
            return;
        }
        let captured = self.captures.count;
        if let Some(at) = self.behind_label(node, at) {
            // At the end, or before a slash.
            let length = self.text.as_bytes().len();
            if at == length {
                self.end_at(node, End::Exact);
            } else {
                if let Some(more) = node.more() {
                    if let Some(child) =
                        self.text.segment(at, |segment| more.literals.find(segment, self.hashing))
                    {
                        self.visit(child, at);
                    }
                    if let Some(child) = &more.parameter {
                        self.visit(child, at);
                    }
                }
                if let Some(rest) = self.text.behind(at, b"/") {
                    self.captures.push(rest, length);
                    self.end_at(node, End::Rest);
                }
            }
        }
        self.captures.count = captured;
    }

    /// Where the path goes on behind a label; what the label captures is noted.
    #[inline]
    fn behind_label(&mut self, node: &Node, at: usize) -> Option<usize> {
        let mut at = self.behind(node.head(), at)?;
        if let Some(more) = node.more().filter(|more| !more.label.is_empty()) {
            at = self.behind(&more.label, at)?;
        }
        // A label ends with a segment, and so must what it stands for.
        matches!(self.text.as_bytes().get(at), None | Some(b'/')).then_some(at)
    }

    #[inline]
    fn behind(&mut self, mut label: &[u8], mut at: usize) -> Option<usize> {
        while let Some(parameter) = memchr::memchr(PARAMETER, label) {
            at = self.text.behind(at, &label[..parameter])?;
            let left = self.text.as_bytes().get(at..)?;
            let length = memchr::memchr(b'/', left).unwrap_or(left.len());
            if length == 0 {
                return None;
            }
            self.captures.push(at, at + length);
            at += length;
            label = &label[parameter + 1..];
        }
        self.text.behind(at, label)
    }

    #[inline]
    fn end_at(&mut self, node: &'t Node, end: End) {
        for entry in node.ends.as_slice().iter().filter(|entry| entry.kind.end() == end) {
            self.visitor.ends(entry, &self.captures);
        }
    }
}

struct Best<'t, 'q, 'a, A> {
    question: &'q Question<'a, A>,
    method: u16,
    /// Only a higher priority counts from here on.
    floor: i64,
    found: Option<(&'t Entry, Captures)>,
}

impl<'t, A: Asked> Visitor<'t> for Best<'t, '_, '_, A> {
    #[inline]
    fn enters(&self, node: &Node) -> bool {
        i64::from(node.sums().highest) > self.floor
    }

    fn ends(&mut self, entry: &'t Entry, captures: &Captures) {
        let is_better = i64::from(entry.priority) > self.floor && entry.methods & self.method != 0;
        // Of most routes nothing else is read: it would be another cache miss.
        let is_met = || {
            let has_more = entry.kind.asks_more() || self.method == methods::OTHER;
            !has_more || entry.route.rules.are_met(self.method, self.question)
        };
        if is_better && is_met() {
            self.floor = entry.priority.into();
            self.found = Some((entry, *captures));
        }
    }
}

struct OtherMethods<'t, 'q, 'a, A> {
    question: &'q Question<'a, A>,
    rules: Vec<&'t RouteRules>,
}

impl<'t, A: Asked> Visitor<'t> for OtherMethods<'t, '_, '_, A> {
    fn enters(&self, _: &Node) -> bool {
        true
    }

    fn ends(&mut self, entry: &'t Entry, _: &Captures) {
        let rules = &entry.route.rules;
        if rules.are_met_but_for_the_method(self.question) {
            self.rules.push(rules);
        }
    }
}

impl<A> OtherMethods<'_, '_, '_, A> {
    fn allowed(&self) -> String {
        let mut names: Vec<&str> = self.rules.iter().flat_map(|rules| rules.methods.iter()).collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    }
}
