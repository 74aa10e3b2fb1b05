//! Elements of arrays and members of objects, each with its path.

use std::collections::HashSet;

use serde::de::{DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess};
use serde_json::Value;

use super::Marks;
use super::deserializer::ShapedSeed;
use super::marks::Instead;

pub struct Elements<'m, A> {
    access: A,
    at: String,
    marks: &'m Marks,
    next: usize,
}

impl<'m, A> Elements<'m, A> {
    pub const fn new(access: A, at: String, marks: &'m Marks) -> Self {
        Self { access, at, marks, next: 0 }
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Elements<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let name = format!("[{}]", self.next);
        self.next += 1;
        let instead = self.marks.instead(&self.at, &name).and_then(Instead::value);
        let seed = ShapedSeed { seed, at: format!("{}{name}", self.at), marks: self.marks };
        match instead {
            None => self.access.next_element_seed(seed),
            Some(value) => match self.access.next_element::<IgnoredAny>()? {
                None => Ok(None),
                Some(IgnoredAny) => seed.deserialize(value).map(Some).map_err(A::Error::custom),
            },
        }
    }

    fn size_hint(&self) -> Option<usize> {
        self.access.size_hint()
    }
}

pub struct Members<'m, A> {
    access: A,
    at: String,
    marks: &'m Marks,
    /// What is read in place of members, once there are no others.
    given: Vec<(String, Value)>,
    /// The member whose value comes next.
    current: (String, Option<Value>),
    /// Of an object with names of its author's, which tells of none that comes twice.
    seen: Option<HashSet<String>>,
}

impl<'m, A> Members<'m, A> {
    /// Of an object whose fields have names of the code's.
    pub fn of_struct(access: A, at: String, marks: &'m Marks) -> Self {
        let given = marks.given(&at);
        Self { access, at, marks, given, current: (String::new(), None), seen: None }
    }

    pub fn of_map(access: A, at: String, marks: &'m Marks) -> Self {
        Self { seen: Some(HashSet::new()), ..Self::of_struct(access, at, marks) }
    }

    fn next_name<'de>(&mut self) -> Result<Option<String>, A::Error>
    where
        A: MapAccess<'de>,
    {
        while let Some(name) = self.access.next_key::<String>()? {
            let path = self.path_of(&name);
            if self.marks.instead(&self.at, &name).is_none() && !self.marks.passes_over(&path) {
                if self.seen.as_mut().is_some_and(|seen| !seen.insert(name.clone())) {
                    self.marks.fail(&path);
                    return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                }
                self.current = (path, None);
                return Ok(Some(name));
            }
            self.access.next_value::<IgnoredAny>()?;
        }
        let Some((name, value)) = self.given.pop() else { return Ok(None) };
        self.current = (self.path_of(&name), Some(value));
        Ok(Some(name))
    }

    fn path_of(&self, name: &str) -> String {
        if self.at.is_empty() { name.to_owned() } else { format!("{}.{name}", self.at) }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(name) = self.next_name()? else { return Ok(None) };
        let key: Result<_, A::Error> = seed.deserialize(name.into_deserializer());
        key.map(Some).inspect_err(|_| self.marks.fail(&self.current.0))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let (at, given) = std::mem::take(&mut self.current);
        let seed = ShapedSeed { seed, at, marks: self.marks };
        match given {
            None => self.access.next_value_seed(seed),
            Some(value) => seed.deserialize(value).map_err(A::Error::custom),
        }
    }
}
