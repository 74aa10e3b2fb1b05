//! The problems of a whole document, gathered entry by entry.

use std::collections::HashMap;
use std::hash::Hash;

use tollgate_core::Problems;
use tollgate_store::StoreError;

use crate::edit::EditError;

/// Nobody reads more, and a document of a million keys may be wrong a million times.
const MOST_PROBLEMS: usize = 1_000;

/// What came of one entry: `None` where it was refused, and the problem noted.
pub type Outcome<T> = Result<Option<T>, EditError>;

#[derive(Default)]
pub struct Found {
    problems: Problems,
    count: usize,
}

impl Found {
    pub fn add(&mut self, field: String, message: &str) -> Result<(), Problems> {
        self.nest("", Problems::one(field, message))
    }

    /// Fails with everything found so far where that is more than anybody reads.
    pub fn nest(&mut self, entry: &str, inner: Problems) -> Result<(), Problems> {
        self.count += inner.iter().count();
        self.problems.nest(entry, inner);
        if self.count < MOST_PROBLEMS {
            return Ok(());
        }
        self.problems.add("", "there are more problems than are listed here");
        Err(std::mem::take(&mut self.problems))
    }

    /// Notes what is wrong with an entry; everything but a refusal ends the whole.
    pub fn check<T>(&mut self, entry: &str, outcome: Result<T, EditError>) -> Outcome<T> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(EditError::Refused(problems)) => Ok(self.check_parsed(entry, Err(problems))?),
            Err(EditError::Store(StoreError::Taken(unique))) => {
                let taken = Problems::one("", format!("{unique} is taken already"));
                Ok(self.check_parsed(entry, Err(taken))?)
            }
            Err(
                error @ (EditError::Store(_)
                | EditError::OutOfStep
                | EditError::NoRandomness(_)
                | EditError::Hashing(_)
                | EditError::SessionOver
                | EditError::Guessing(_)
                | EditError::TooManyDemands(_)),
            ) => Err(error),
        }
    }

    /// Notes what is wrong with an entry by itself.
    pub fn check_parsed<T>(
        &mut self,
        entry: &str,
        outcome: Result<T, Problems>,
    ) -> Result<Option<T>, Problems> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(problems) => self.nest(entry, problems).map(|()| None),
        }
    }

    pub fn finish(self) -> Result<(), Problems> {
        self.problems.finish(Some(()))
    }
}

/// Names of one section, to notice a second entry of the same name.
pub struct Seen<N> {
    section: &'static str,
    names: HashMap<N, usize>,
}

impl<N: Eq + Hash> Seen<N> {
    pub fn new(section: &'static str) -> Self {
        Self { section, names: HashMap::new() }
    }

    /// Whether no entry before this one has the name; a problem of `field` where one has.
    pub fn is_first(
        &mut self,
        found: &mut Found,
        index: usize,
        field: &str,
        name: N,
    ) -> Result<bool, Problems> {
        let section = self.section;
        match self.names.get(&name) {
            None => {
                self.names.insert(name, index);
                Ok(true)
            }
            Some(first) => {
                let message = format!("is that of {section}[{first}] already");
                found.add(format!("{section}[{index}].{field}"), &message)?;
                Ok(false)
            }
        }
    }
}
