//! Everything that is wrong with an input, at once, each problem with the path of the field that has it.

use std::fmt;
use std::ops::RangeInclusive;

use serde::Serialize;

/// One thing that is wrong, and where: `field` is a path such as `limits[1].requests`, empty for the whole input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub field: String,
    pub message: String,
}

/// A collector of problems; parsing goes on after the first one so that the caller sees them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem { field: field.into(), message: message.into() }])
    }

    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { field: field.into(), message: message.into() });
    }

    /// The value, or `None` with the error noted under `field`.
    pub fn check<T>(&mut self, field: &str, outcome: Result<T, impl fmt::Display>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    /// The entries of a list that are looked at. Where it is too long that is said, and what goes beyond is passed over:
    /// whoever compares each entry with those before it would work for as long as somebody likes.
    pub fn check_length<'e, T>(
        &mut self,
        field: &str,
        entries: &'e [T],
        allowed: RangeInclusive<usize>,
    ) -> &'e [T] {
        let most = *allowed.end();
        self.check_count(field, entries.len(), allowed);
        entries.get(..most).unwrap_or(entries)
    }

    /// As [`Problems::check_length`] of what is no slice: whoever goes through it stops at the most.
    pub fn check_count(&mut self, field: &str, count: usize, allowed: RangeInclusive<usize>) {
        if allowed.contains(&count) {
            return;
        }
        let (least, most) = allowed.into_inner();
        let message = match least {
            0 => format!("must have at most {most} entries"),
            least => format!("must have {least} to {most} entries"),
        };
        self.add(field, message);
    }

    /// Takes over the problems of a part, their fields put under `prefix`.
    pub fn nest(&mut self, prefix: &str, inner: Problems) {
        for problem in inner.0 {
            let field = match problem.field.as_str() {
                "" => prefix.to_owned(),
                field if prefix.is_empty() || field.starts_with('[') => format!("{prefix}{field}"),
                field => format!("{prefix}.{field}"),
            };
            self.0.push(Problem { field, message: problem.message });
        }
    }

    /// As [`Problems::check`] for an outcome that has problems of its own.
    pub fn check_nested<T>(&mut self, prefix: &str, outcome: Result<T, Problems>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(inner) => {
                self.nest(prefix, inner);
                None
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    /// `Ok(value)` where nothing was found wrong and the value could be made. A missing value without a
    /// problem cannot happen in a parser that notes what it refuses; it fails closed all the same.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            Some(_) => Err(self),
            None => {
                if self.0.is_empty() {
                    self.add("", "is incomplete");
                }
                Err(self)
            }
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            if problem.field.is_empty() {
                f.write_str(&problem.message)?;
            } else {
                write!(f, "{}: {}", problem.field, problem.message)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_problems_carry_the_whole_path() {
        let mut inner = Problems::one("requests", "must be at least 1");
        inner.add("", "is odd");
        let mut outer = Problems::default();
        outer.nest("limits[1]", inner);
        let fields: Vec<_> = outer.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(fields, ["limits[1].requests", "limits[1]"]);
    }

    #[test]
    fn a_list_that_is_too_long_is_looked_at_as_far_as_it_may_go() {
        let mut problems = Problems::default();
        assert_eq!(problems.check_length("a", &[1, 2, 3], 1..=2), [1, 2]);
        assert_eq!(problems.check_length("b", &[1, 2, 3], 0..=2), [1, 2]);
        assert_eq!(problems.check_length("c", &[1, 2], 1..=2), [1, 2]);
        assert!(problems.check_length::<u8>("d", &[], 1..=2).is_empty());
        let expected =
            "a: must have 1 to 2 entries; b: must have at most 2 entries; d: must have 1 to 2 entries";
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn a_value_with_problems_is_refused() {
        let mut problems = Problems::default();
        assert_eq!(problems.check("a", Ok::<_, String>(1)), Some(1));
        assert_eq!(problems.check("b", Err::<u8, _>("is bad")), None);
        assert_eq!(problems.finish(Some(1)).unwrap_err().to_string(), "b: is bad");
    }
}
