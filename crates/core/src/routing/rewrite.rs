//! What the path that matched becomes on its way to the upstream.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::plain::{PathText, Written, plain};
use super::search::Matched;
use super::template::{PathTemplate, parse_name};
use super::{BadPath, CanonicalPath};
use crate::resource::parsed;

const LONGEST: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PathChange {
    #[default]
    Kept,
    /// What comes before the rest of the template goes; without a rest, everything.
    StripMatched,
    /// This beginning goes.
    Strip(SmolStr),
    Rewrite(PathRewrite),
}

/// A path with places for what was captured: `/internal/{id}/{rest}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRewrite {
    text: SmolStr,
    pieces: Box<[Piece]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(SmolStr),
    Captured(SmolStr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRewrite {
    #[error("must be a path of at most {LONGEST} bytes such as /internal/{{id}}, without a query")]
    Path,
    #[error("must name what was captured, such as {{id}}")]
    Name,
}

impl PathChange {
    /// What the upstream is sent for a canonical path: empty, or starting with a slash. `buffer` holds it where it is
    /// not a part of the path. Pieces can be put together so that they mean something else: that is refused.
    pub fn apply<'p>(
        &self,
        matched: &Matched<'_>,
        path: &'p str,
        buffer: &'p mut String,
    ) -> Result<&'p str, BadPath> {
        match self {
            Self::Kept => Ok(path),
            // The slash before the rest stays.
            Self::StripMatched => {
                Ok(matched.rest_at().and_then(|at| path.get(at.saturating_sub(1)..)).unwrap_or("/"))
            }
            Self::Strip(beginning) => Ok(behind(path, beginning)),
            Self::Rewrite(rewrite) => {
                rewrite.write(matched, path, buffer);
                CanonicalPath::parse(buffer.as_bytes()).map(|path| path.as_str())
            }
        }
    }

    /// Whether paths of this template can be changed so.
    pub fn suits(&self, template: &PathTemplate) -> Result<(), String> {
        match self {
            Self::Kept | Self::StripMatched => Ok(()),
            Self::Strip(beginning) => {
                let beginning: Vec<u8> = plain(beginning).collect();
                let behind = template.key().bytes.strip_prefix(&beginning[..]);
                match behind {
                    Some([] | [b'/', ..]) => Ok(()),
                    Some(_) | None => Err(format!("is not the beginning of {template}")),
                }
            }
            Self::Rewrite(rewrite) => match rewrite.names().find(|name| template.capture(name).is_none()) {
                Some(name) => Err(format!("names {{{name}}}, which {template} does not capture")),
                None => Ok(()),
            },
        }
    }
}

/// A beginning of paths that can be taken away: it starts with a slash and does not end with one.
pub fn parse_beginning(text: &str) -> Result<SmolStr, BadRewrite> {
    let is_plain =
        text.len() <= LONGEST && text.len() > 1 && !text.ends_with('/') && !text.contains(['{', '}', '*']);
    if is_plain && CanonicalPath::parse(text.as_bytes()).is_ok() {
        Ok(text.into())
    } else {
        Err(BadRewrite::Path)
    }
}

fn behind<'p>(path: &'p str, beginning: &str) -> &'p str {
    let beginning: smallvec::SmallVec<[u8; 64]> = plain(beginning).collect();
    let at = match Written::of(path) {
        Written::Plainly(text) => text.behind(0, &beginning),
        Written::Otherwise(text) => text.behind(0, &beginning),
    };
    at.and_then(|at| path.get(at..)).unwrap_or(path)
}

impl PathRewrite {
    pub fn parse(text: &str) -> Result<Self, BadRewrite> {
        let (mut pieces, mut sample, mut rest) = (Vec::new(), String::new(), text);
        while let Some((literal, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or(BadRewrite::Name)?;
            if literal.contains('}') {
                return Err(BadRewrite::Name);
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.into()));
            }
            pieces.push(Piece::Captured(parse_name(name).map_err(|_| BadRewrite::Name)?));
            sample.extend([literal, "x"]);
            rest = behind;
        }
        if rest.contains('}') {
            return Err(BadRewrite::Name);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.into()));
        }
        sample.push_str(rest);
        if text.len() > LONGEST || text.contains('*') || CanonicalPath::parse(sample.as_bytes()).is_err() {
            return Err(BadRewrite::Path);
        }
        Ok(Self { text: text.into(), pieces: pieces.into() })
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Captured(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    fn write(&self, matched: &Matched<'_>, path: &str, out: &mut String) {
        out.clear();
        for piece in &self.pieces {
            out.push_str(match piece {
                Piece::Literal(literal) => literal,
                Piece::Captured(name) => {
                    let index = matched.template().and_then(|template| template.capture(name));
                    index.and_then(|index| matched.capture(index, path)).unwrap_or_default()
                }
            });
        }
    }
}

impl fmt::Display for PathRewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for PathRewrite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathRewrite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, Self::parse)
    }
}
