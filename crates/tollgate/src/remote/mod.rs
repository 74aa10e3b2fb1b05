//! The command line's side of the admin API: one request at a time over HTTP, answers as JSON.

mod api;
mod error;
mod table;
mod trust;

pub use api::{AdminApi, Answer, Call, Patience, path_segment};
pub use error::ApiError;
pub use table::{page, record};
pub use trust::Trust;
