//! A field that goes no further than the gateway, by a name that its service gives it.

use tollgate_core::resource::HeaderName;
use tollgate_http1::is_same_variable;

/// By the name that the service gave it when the request came, and by the one that it gives it now: it may have been
/// edited while the request waited, and who sends the field may know of either.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hidden<'x> {
    at_first: Option<&'x HeaderName>,
    /// `None` where it is the same.
    renamed: Option<&'x HeaderName>,
}

impl<'x> Hidden<'x> {
    pub fn new(at_first: Option<&'x HeaderName>, now: Option<&'x HeaderName>) -> Self {
        Self { at_first, renamed: now.filter(|now| at_first != Some(*now)) }
    }

    pub const fn at_first(self) -> Option<&'x HeaderName> {
        self.at_first
    }

    pub fn is(self, name: &[u8]) -> bool {
        self.names().any(|hidden| hidden.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    pub fn names(self) -> impl Iterator<Item = &'x HeaderName> {
        self.at_first.into_iter().chain(self.renamed)
    }

    /// Whether a name is one of these to an upstream behind CGI, WSGI or PHP.
    pub fn is_same_variable(self, name: &[u8]) -> bool {
        self.names().any(|hidden| is_same_variable(hidden.as_str().as_bytes(), name))
    }
}
