//! The problems of a whole document, gathered entry by entry.

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
    pub fn add(&mut self, field: String, message: &str) -> Result<(), EditError> {
        self.nest("", Problems::one(field, message))
    }

    pub fn nest(&mut self, entry: &str, inner: Problems) -> Result<(), EditError> {
        self.count += inner.iter().count();
        self.problems.nest(entry, inner);
        if self.count < MOST_PROBLEMS {
            return Ok(());
        }
        self.problems.add("", "there are more problems than are listed here");
        Err(EditError::Refused(std::mem::take(&mut self.problems)))
    }

    /// Notes what is wrong with an entry; everything but a refusal ends the whole.
    pub fn check<T>(&mut self, entry: &str, outcome: Result<T, EditError>) -> Outcome<T> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(EditError::Refused(problems)) => self.nest(entry, problems).map(|()| None),
            Err(EditError::Store(StoreError::Taken(unique))) => {
                self.nest(entry, Problems::one("", format!("{unique} is taken already"))).map(|()| None)
            }
            Err(
                error @ (EditError::Store(_)
                | EditError::OutOfStep
                | EditError::NoRandomness(_)
                | EditError::Hashing(_)),
            ) => Err(error),
        }
    }

    pub fn check_parsed<T>(&mut self, entry: &str, outcome: Result<T, Problems>) -> Outcome<T> {
        self.check(entry, outcome.map_err(EditError::Refused))
    }

    pub fn finish(self) -> Result<(), EditError> {
        self.problems.finish(Some(())).map_err(EditError::Refused)
    }
}
