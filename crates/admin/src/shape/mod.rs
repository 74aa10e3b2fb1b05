//! Everything that is wrong with the shape of an input, at once: whatever was found wrong is left out, or stands for itself no
//! more, and the input is read again. What is then wrong with the rest is said as well.

mod access;
mod deserializer;
mod marks;
mod words;

use serde::de::DeserializeOwned;
use tollgate_core::Problems;

pub use deserializer::Shaped;
pub use marks::Marks;
pub use words::in_words;

/// How much is read for the sake of further problems: nobody's mistakes should keep a processor busy.
const MOST_BYTES_READ: usize = 16 << 20;
const MOST_ATTEMPTS: usize = 100;

/// What is read from bodies and files.
pub trait Draft: DeserializeOwned {
    /// Paths of fields that only answers have, elements of lists as `[]`: `targets[].id`.
    const ANSWERED: &'static [&'static str] = &[];

    /// What is wrong with it by itself, though it has its shape.
    fn check(&self) -> Result<(), Problems> {
        Ok(())
    }
}

/// Why an attempt at reading failed.
pub enum Misread {
    /// Its shape is wrong, in the words of serde.
    Shape(String),
    /// Nothing more can be said of it.
    Syntax,
}

/// Reads an input of this many bytes until no problem is new. `None` where it ended with something else than its shape.
pub fn all_problems<T: Draft>(
    bytes: usize,
    mut marks: Marks,
    mut attempt: impl FnMut(&Marks) -> Result<T, Misread>,
) -> Option<Problems> {
    let mut problems = Problems::default();
    for _ in 0..(MOST_BYTES_READ / bytes.max(1)).clamp(1, MOST_ATTEMPTS) {
        match attempt(&marks) {
            Ok(draft) => {
                let further = draft.check().err().unwrap_or_default().into_vec();
                for problem in further.into_iter().filter(|problem| !marks.cover(&problem.field)) {
                    problems.add(problem.field, problem.message);
                }
                break;
            }
            Err(Misread::Syntax) => return None,
            Err(Misread::Shape(message)) => {
                let field = with_named_field(marks.take_failure(), &message);
                let is_missing = message.starts_with("missing field `");
                if !marks.cover(&field) {
                    problems.add(field.as_str(), in_words(without_position(&message)));
                }
                if !marks.mark(&field, is_missing) {
                    break;
                }
            }
        }
    }
    Some(problems)
}

/// The path ends at the object where a field of it is missing or unknown; the message names the field.
pub fn with_named_field(path: String, message: &str) -> String {
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name);
    match named {
        Some(name) if path.is_empty() => name.to_owned(),
        Some(name) if path != name && !path.ends_with(&format!(".{name}")) => format!("{path}.{name}"),
        Some(_) | None => path,
    }
}

/// The path says more of where it is than line and column do.
pub fn without_position(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}
