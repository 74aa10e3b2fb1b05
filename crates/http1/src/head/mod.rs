//! The head of a message: start line and header section.

pub(crate) mod limits;
pub(crate) mod parser;
pub(crate) mod scan;

mod plain;
mod problem;
mod read;
mod salvage;
mod words;

pub(crate) mod request;
pub(crate) mod response;

pub(crate) mod authority;
pub(crate) mod method;
pub(crate) mod target;

pub(crate) mod field_id;
pub(crate) mod fields;
pub(crate) mod grammar;

pub(crate) mod reason;
pub(crate) mod writer;
