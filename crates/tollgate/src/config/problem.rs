//! What is wrong with a configuration, and where: file and line, variable, or flag.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        /// The first line is 1.
        line: usize,
    },
    Variable(String),
    Flag(&'static str),
}

impl Origin {
    /// The line of the file; zero elsewhere.
    pub const fn line(&self) -> usize {
        match self {
            Self::File { line, .. } => *line,
            Self::Default | Self::Variable(_) | Self::Flag(_) => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    pub origin: Origin,
    /// The setting's key, or what stands where one should; empty where the origin says it all.
    pub key: String,
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, message } = self;
        match origin {
            Origin::Default => write!(f, "{key} {message}"),
            Origin::File { path, line } if key.is_empty() => {
                write!(f, "{}:{line}: {message}", path.display())
            }
            Origin::File { path, line } => write!(f, "{}:{line}: {key} {message}", path.display()),
            Origin::Variable(name) => write!(f, "{name} {message}"),
            Origin::Flag(flag) => write!(f, "{flag} {message}"),
        }
    }
}

/// Everything that is wrong with a configuration, at once. Never empty.
#[derive(Debug, PartialEq, Eq)]
pub struct BadConfig(pub Vec<ConfigProblem>);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BadConfig {}

/// The candidate most like `text`, where one is like enough to have been meant.
pub fn most_like<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &&str| strsim::damerau_levenshtein(text, candidate);
    candidates.into_iter().min_by_key(distance).filter(|best| distance(best) <= 1 + best.len() / 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_what_was_meant() {
        let keys = ["proxy.listen", "proxy.workers", "admin.listen"];
        assert_eq!(most_like("proxy.listne", keys), Some("proxy.listen"));
        assert_eq!(most_like("prox.worker", keys), Some("proxy.workers"));
        assert_eq!(most_like("something.else", keys), None);
    }
}
