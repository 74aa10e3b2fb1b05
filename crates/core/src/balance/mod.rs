//! Which target gets the next request.

mod weighted;

pub use weighted::SmoothWeighted;
