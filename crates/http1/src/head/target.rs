//! The four forms of a request target (RFC 9112 3.2).

use super::authority::Authority;
use super::grammar::is_target;
use super::limits::HeadError;
use super::method::Method;

/// A request target, taken apart. All parts are slices of the target as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm<'a> {
    /// `/path?query`: the whole target.
    Origin,
    /// `http://authority/path?query`. The authority takes the place of `Host` (RFC 9112 3.2.2).
    Absolute {
        /// `http` or `https` in any letter case.
        scheme: &'a [u8],
        /// What [`Authority::parse`] accepts.
        authority: &'a [u8],
        /// Path and query as sent: it may be empty or start with `?`, and then stands for a path of
        /// `/`, or of `*` when empty in an `OPTIONS` request (RFC 9112 3.2.4).
        path: &'a [u8],
    },
    /// `host:port`, of `CONNECT` alone: the whole target.
    Authority,
    /// `*`, of `OPTIONS` alone.
    Asterisk,
}

/// [`TargetForm`] as lengths, so that the head that owns the target can keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetShape {
    #[default]
    Origin,
    Absolute {
        scheme_bytes: usize,
        authority_bytes: usize,
    },
    Authority,
    Asterisk,
}

const SCHEME_END: &[u8] = b"://";

impl TargetShape {
    pub(crate) fn of(method: Method, target: &[u8]) -> Result<Self, HeadError> {
        if !is_target(target) {
            return Err(HeadError::Malformed("request target"));
        }
        match (method, target) {
            (Method::Connect, _) => match Authority::parse(target) {
                Some(Authority { port: Some(_), .. }) => Ok(Self::Authority),
                Some(Authority { port: None, .. }) | None => {
                    Err(HeadError::Malformed("CONNECT target is not host:port"))
                }
            },
            (_, [b'/', ..]) => Ok(Self::Origin),
            (Method::Options, b"*") => Ok(Self::Asterisk),
            _ => Self::of_absolute(target),
        }
    }

    fn of_absolute(target: &[u8]) -> Result<Self, HeadError> {
        let scheme_bytes = [&b"http"[..], b"https"]
            .into_iter()
            .find(|scheme| {
                target.split_at_checked(scheme.len()).is_some_and(|(start, rest)| {
                    start.eq_ignore_ascii_case(scheme) && rest.starts_with(SCHEME_END)
                })
            })
            .map(<[u8]>::len)
            .ok_or(HeadError::Malformed("request target has no known form"))?;
        let rest = &target[scheme_bytes + SCHEME_END.len()..];
        let authority_bytes = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        // Refuses user information too: `@` is no part of a host.
        Authority::parse(&rest[..authority_bytes])
            .ok_or(HeadError::Malformed("authority of the request target"))?;
        Ok(Self::Absolute { scheme_bytes, authority_bytes })
    }

    pub(crate) fn view(self, target: &[u8]) -> TargetForm<'_> {
        match self {
            Self::Origin => TargetForm::Origin,
            Self::Absolute { scheme_bytes, authority_bytes } => {
                let (scheme, rest) = target.split_at(scheme_bytes);
                let (authority, path) = rest[SCHEME_END.len()..].split_at(authority_bytes);
                TargetForm::Absolute { scheme, authority, path }
            }
            Self::Authority => TargetForm::Authority,
            Self::Asterisk => TargetForm::Asterisk,
        }
    }
}
