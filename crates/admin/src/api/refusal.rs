//! Every answer that is not what was asked for.

mod answer;

use axum::http::Method;
use tollgate_core::Problems;
use tollgate_core::health::NoTurn;
use tollgate_store::{Dependent, StoreError, Unique};

pub use answer::ProblemDetails;

use crate::edit::EditError;
use crate::on_demand::TooManyDemands;
use crate::password::HashingError;
use crate::throttle::TooManyFailures;
use crate::token::NoRandomness;

#[derive(Debug)]
pub enum Refusal {
    /// No bearer token.
    NoToken,
    /// One that is unknown, expired or revoked.
    BadToken,
    WrongPassword,
    TooManyAttempts {
        retry_after_secs: u64,
    },
    /// The caller may know of the thing, but not do this.
    Forbidden(&'static str),
    /// Absent, or another tenant's: the answer does not tell which.
    NotFound(&'static str),
    NoSuchPath(String),
    MethodNotAllowed {
        method: Method,
        path: String,
    },
    MalformedBody(String),
    IncompleteBody,
    BodyTooSlow,
    /// RFC 9112 section 3.2: exactly one `Host`.
    BadHost,
    /// Which of several is meant, parties on the way may see otherwise (RFC 9110 section 5.3).
    SeveralTokens,
    UnsupportedMediaType,
    BodyTooLarge {
        most_bytes: usize,
    },
    Invalid(Problems),
    /// No more passwords may wait to be checked.
    TooManyPasswords,
    /// No more targets may be checked at once.
    TooManyChecks,
    /// No more of what is asked of others on demand may be under way.
    TooManyDemands(TooManyDemands),
    Taken(Unique),
    InUse(Dependent),
    /// `If-Match` names another version than the present one.
    VersionMismatch,
    /// `If-None-Match` names the present version, or any.
    Present,
    Failed(Failure),
}

/// The database or the system failed, as each says.
#[derive(Debug)]
pub enum Failure {
    DiskFull(String),
    /// Another process has the database, for now or until a restart.
    Busy(String),
    /// What exactly is for the log.
    Inside(String),
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(unique) => Self::Taken(unique),
            StoreError::InUse(by) => Self::InUse(by),
            StoreError::DiskFull => Self::Failed(Failure::DiskFull(error.to_string())),
            StoreError::Locked => Self::Failed(Failure::Busy(error.to_string())),
            StoreError::ReadOnly
            | StoreError::CannotOpen
            | StoreError::Damaged
            | StoreError::Newer
            | StoreError::Corrupt { .. }
            | StoreError::Abandoned
            | StoreError::Failed(_) => Self::Failed(Failure::Inside(error.to_string())),
        }
    }
}

impl From<EditError> for Refusal {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Refused(problems) => Self::Invalid(problems),
            EditError::Store(error) => Self::from(error),
            EditError::SessionOver => Self::BadToken,
            EditError::Guessing(TooManyFailures { retry_after_secs }) => {
                Self::TooManyAttempts { retry_after_secs }
            }
            EditError::Hashing(error) => Self::from(error),
            EditError::TooManyDemands(error) => Self::from(error),
            EditError::OutOfStep => Self::Failed(Failure::Busy(error.to_string())),
            EditError::NoRandomness(_) => Self::Failed(Failure::Inside(error.to_string())),
        }
    }
}

impl From<NoRandomness> for Refusal {
    fn from(error: NoRandomness) -> Self {
        Self::Failed(Failure::Inside(error.to_string()))
    }
}

impl From<NoTurn> for Refusal {
    fn from(NoTurn: NoTurn) -> Self {
        Self::TooManyChecks
    }
}

impl From<TooManyDemands> for Refusal {
    fn from(error: TooManyDemands) -> Self {
        Self::TooManyDemands(error)
    }
}

impl From<HashingError> for Refusal {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => Self::TooManyPasswords,
            HashingError::Failed(_) => Self::Failed(Failure::Inside(error.to_string())),
        }
    }
}
