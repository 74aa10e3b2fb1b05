//! What a route has to leave to the others beside it.

use std::sync::Arc;

use crate::resource::Route;

/// Routes of one host that may have the same path: a look-up goes through all of them where their conditions are not met.
pub(crate) const MOST_AT_ONE_PATH: usize = 64;

/// Nodes that a look-up may have to visit, so that no set of templates makes one expensive: a path may match several
/// templates, and each place where a literal and a parameter are both possible may double what there is to look at. A node
/// where several routes end counts as many times.
pub(super) const MOST_VISITS: u16 = 256;

/// Why a route cannot be beside those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// A request could match both, and nothing says which is meant.
    Tie(Arc<Route>),
    /// Look-ups would become too dear.
    Crowding(Crowding),
}

/// What makes look-ups dearer than a new route may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowding {
    /// A look-up may have to try too many paths.
    TooManyOverlaps,
    /// Too many other routes have the path.
    TooManyAtOnePath,
}

/// How dear look-ups are at a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Routes that have the path.
    pub(super) at_one_path: usize,
    /// Among all paths of the host.
    pub(super) visits: u16,
}

/// Whether a route that crowds others gets a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// One that somebody writes: it does not, unless there was such a crowd before what is written together. Who changes one of a
    /// crowd need not make it smaller.
    New(Crowd),
    /// One that was written before, maybe to a build that knew no such bounds: it does, since without it its requests would go to
    /// others.
    Accepted,
}
