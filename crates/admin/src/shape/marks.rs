//! What of an input was found wrong, and what is read in its place.

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::{Value, json};

/// By the path of the parent, then by name: `limits[0].per` is `per` of `limits[0]`, which is `[0]` of `limits`.
#[derive(Debug, Default)]
pub struct Marks {
    of: HashMap<String, HashMap<String, Instead>>,
    /// Where the last attempt failed, as far inside as is known.
    failed_at: RefCell<Option<String>>,
    /// Paths of members that are passed over, elements of lists as `[]`.
    passed_over: &'static [&'static str],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// It is left out.
    Nothing,
    /// The one of this number among the values that are tried.
    Value(usize),
}

impl Instead {
    /// One of them has the shape that is wanted; that it has no meaning is not told.
    pub fn value(self) -> Option<Value> {
        let Self::Value(number) = self else { return None };
        [json!(""), json!(1), json!({}), json!([]), json!(true)].into_iter().nth(number)
    }
}

impl Marks {
    /// Nothing was found wrong yet; members of these paths say nothing, and are never looked at.
    pub fn passing_over(passed_over: &'static [&'static str]) -> Self {
        Self { passed_over, ..Self::default() }
    }

    pub fn passes_over(&self, path: &str) -> bool {
        !self.passed_over.is_empty() && self.passed_over.contains(&unnumbered(path).as_str())
    }

    pub fn instead(&self, parent: &str, name: &str) -> Option<Instead> {
        self.of.get(parent)?.get(name).copied()
    }

    /// Members that an object has, whatever it says.
    pub fn given(&self, parent: &str) -> Vec<(String, Value)> {
        let marked = self.of.get(parent).into_iter().flatten();
        let members = marked.filter(|(name, _)| !name.starts_with('['));
        members.filter_map(|(name, instead)| Some((name.clone(), instead.value()?))).collect()
    }

    /// The innermost place comes first.
    pub fn fail(&self, at: &str) {
        self.failed_at.borrow_mut().get_or_insert_with(|| at.to_owned());
    }

    pub fn take_failure(&self) -> String {
        self.failed_at.borrow_mut().take().unwrap_or_default()
    }

    /// Whether the field, or what it is part of, was found wrong before.
    pub fn cover(&self, field: &str) -> bool {
        let mut at = field;
        while !at.is_empty() {
            let (parent, name) = split(at);
            if self.instead(parent, name).is_some() {
                return true;
            }
            at = parent;
        }
        false
    }

    /// Has something else read there the next time; false where there is nothing else.
    pub fn mark(&mut self, field: &str, is_missing: bool) -> bool {
        if field.is_empty() {
            return false;
        }
        let (parent, name) = split(field);
        let next = match self.instead(parent, name) {
            None if is_missing || name.starts_with('[') => Instead::Value(0),
            None => Instead::Nothing,
            Some(Instead::Nothing) => Instead::Value(0),
            Some(Instead::Value(number)) => Instead::Value(number + 1),
        };
        self.of.entry(parent.to_owned()).or_default().insert(name.to_owned(), next);
        next == Instead::Nothing || next.value().is_some()
    }
}

/// `targets[].id` of `targets[0].id`: their numbers are all that paths of elements differ in.
fn unnumbered(path: &str) -> String {
    let mut parts = path.split('[');
    let mut unnumbered = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        unnumbered.push_str("[]");
        unnumbered.push_str(part.split_once(']').map_or(part, |(_, rest)| rest));
    }
    unnumbered
}

fn split(path: &str) -> (&str, &str) {
    match (path.rfind('.'), path.rfind('[')) {
        (dot, Some(bracket)) if dot.is_none_or(|dot| dot < bracket) => path.split_at(bracket),
        (Some(dot), _) => (&path[..dot], &path[dot + 1..]),
        (None, _) => ("", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_passed_over_in_any_element() {
        let marks = Marks::passing_over(&["id", "targets[].id"]);
        for path in ["id", "targets[0].id", "targets[17].id"] {
            assert!(marks.passes_over(path), "{path}");
        }
        for path in [
            "",
            "ids",
            "i",
            "targets.id",
            "targets[0]",
            "targets[0].ids",
            "targets[0].id[0]",
            "rules[0].id",
            "a.id",
        ] {
            assert!(!marks.passes_over(path), "{path}");
        }
    }

    #[test]
    fn what_is_part_of_something_marked_is_covered() {
        let mut marks = Marks::default();
        assert!(marks.mark("plans[1].limits", false) && marks.mark("slug", true));
        for (field, is_covered) in [
            ("plans[1].limits[0].per", true),
            ("plans[1].limits", true),
            ("plans[1].slug", false),
            ("plans[10].limits", false),
            ("slug", true),
            ("", false),
        ] {
            assert_eq!(marks.cover(field), is_covered, "{field}");
        }
        assert_eq!(marks.given(""), [("slug".to_owned(), json!(""))]);
    }
}
