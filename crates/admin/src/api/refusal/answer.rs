//! How a refusal is told: as problem details (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_core::Problem;
use tollgate_store::{StoreError, Unique};

use super::Refusal;
use crate::edit::EditError;

/// Problem details as they are sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// Every field that is wrong.
    errors: Vec<FieldProblem>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// A path such as `targets[0].url`; empty for the whole input.
    field: String,
    message: String,
}

impl From<Problem> for FieldProblem {
    fn from(Problem { field, message }: Problem) -> Self {
        Self { field, message }
    }
}

impl Refusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::BadToken | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::NoSuchPath(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MalformedBody(_) | Self::IncompleteBody | Self::BadHost | Self::SeveralTokens => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Taken(_) | Self::InUse(_) => StatusCode::CONFLICT,
            Self::VersionMismatch | Self::Present => StatusCode::PRECONDITION_FAILED,
            Self::TooManyPasswords | Self::TooManyChecks => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(error) => status_of_failure(error),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::NoToken => "send a token: Authorization: Bearer <token>".into(),
            Self::BadToken => "the token is unknown, expired or revoked".into(),
            Self::WrongPassword => "username or password is wrong".into(),
            Self::TooManyAttempts { retry_after_secs } => {
                format!("too many failed attempts: try again in {retry_after_secs} seconds")
            }
            Self::Forbidden(reason) => (*reason).into(),
            Self::NotFound(what) => format!("there is no such {what}"),
            Self::NoSuchPath(path) => format!("there is nothing at {path}"),
            Self::MethodNotAllowed { method, path } => format!("{method} is not possible on {path}"),
            Self::MalformedBody(reason) => format!("the body is not JSON: {reason}"),
            Self::IncompleteBody => "the body broke off".into(),
            Self::BodyTooSlow => "the body came too slowly".into(),
            Self::BadHost => "a request must have exactly one Host".into(),
            Self::SeveralTokens => "a request must have one Authorization at most".into(),
            Self::UnsupportedMediaType => "send the body as Content-Type: application/json".into(),
            Self::BodyTooLarge { most_bytes } => format!("the body may have at most {most_bytes} bytes"),
            Self::Invalid(problems) => match problems.iter().count() {
                1 => "1 field is wrong".into(),
                count => format!("{count} fields are wrong"),
            },
            Self::TooManyPasswords => {
                "too many passwords are waiting to be checked: try again in a second".into()
            }
            Self::TooManyChecks => "too many checks are under way: try again in a second".into(),
            Self::Taken(unique) => format!("{unique} is taken already"),
            Self::InUse(by) => format!("is still in use by {by}"),
            Self::VersionMismatch => "it was changed meanwhile: read it again".into(),
            Self::Present => "it is there, in the version that If-None-Match rules out".into(),
            Self::Failed(error) => detail_of_failure(error),
        }
    }

    fn errors(self) -> Vec<FieldProblem> {
        match self {
            Self::Invalid(problems) => problems.into_vec().into_iter().map(FieldProblem::from).collect(),
            Self::Taken(unique) => {
                let field = field_of(unique).to_owned();
                vec![FieldProblem { field, message: "is taken already".into() }]
            }
            Self::NoToken
            | Self::BadToken
            | Self::WrongPassword
            | Self::TooManyAttempts { .. }
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::NoSuchPath(_)
            | Self::MethodNotAllowed { .. }
            | Self::MalformedBody(_)
            | Self::IncompleteBody
            | Self::BodyTooSlow
            | Self::BadHost
            | Self::SeveralTokens
            | Self::UnsupportedMediaType
            | Self::BodyTooLarge { .. }
            | Self::TooManyPasswords
            | Self::TooManyChecks
            | Self::InUse(_)
            | Self::VersionMismatch
            | Self::Present
            | Self::Failed(_) => Vec::new(),
        }
    }

    /// The field that goes with the status: how to sign in, when to come back.
    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        match self {
            Self::NoToken | Self::WrongPassword => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\"")))
            }
            Self::BadToken => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"tollgate\", error=\"invalid_token\""),
            )),
            Self::TooManyAttempts { retry_after_secs } => {
                Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_secs)))
            }
            Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::NoSuchPath(_)
            | Self::MethodNotAllowed { .. }
            | Self::MalformedBody(_)
            | Self::IncompleteBody
            | Self::BodyTooSlow
            | Self::BadHost
            | Self::SeveralTokens
            | Self::UnsupportedMediaType
            | Self::BodyTooLarge { .. }
            | Self::Invalid(_)
            | Self::Taken(_)
            | Self::InUse(_)
            | Self::VersionMismatch
            | Self::Present => None,
            Self::TooManyPasswords | Self::TooManyChecks | Self::Failed(_) => (self.status()
                == StatusCode::SERVICE_UNAVAILABLE)
                .then_some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Failed(error) = &self {
            tracing::error!(%error, "the control plane could not answer");
        }
        let status = self.status();
        let extra = self.header();
        let detail = self.detail();
        let title = status.canonical_reason().unwrap_or("Error");
        let body = ProblemDetails {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail,
            errors: self.errors(),
        };
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        // A body of texts and numbers always serialises.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (status, content_type, body).into_response();
        response.headers_mut().extend(extra);
        response
    }
}

const fn field_of(unique: Unique) -> &'static str {
    match unique {
        Unique::TenantSlug | Unique::ServiceSlug | Unique::PlanSlug => "slug",
        Unique::ClientId => "client_id",
        Unique::Username => "username",
        Unique::KeyHash => "key",
        Unique::NodeTokenName | Unique::RouteName => "name",
    }
}

const fn status_of_failure(error: &EditError) -> StatusCode {
    match error {
        EditError::Store(StoreError::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
        EditError::Store(StoreError::Locked) | EditError::OutOfStep => StatusCode::SERVICE_UNAVAILABLE,
        EditError::Store(_)
        | EditError::Refused(_)
        | EditError::NoRandomness(_)
        | EditError::Hashing(_)
        | EditError::SessionOver
        | EditError::Guessing(_)
        | EditError::TooManyDemands(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn detail_of_failure(error: &EditError) -> String {
    match error {
        EditError::Store(StoreError::DiskFull | StoreError::Locked) | EditError::OutOfStep => {
            error.to_string()
        }
        EditError::Store(_)
        | EditError::Refused(_)
        | EditError::NoRandomness(_)
        | EditError::Hashing(_)
        | EditError::SessionOver
        | EditError::Guessing(_)
        | EditError::TooManyDemands(_) => "something failed on the gateway's side; its log says what".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::HashingError;

    #[test]
    fn who_finds_the_database_busy_is_told_when_to_come_back() {
        let retry_after = |error| {
            let response = Refusal::from(error).into_response();
            (response.status().as_u16(), response.headers().get(header::RETRY_AFTER).cloned())
        };
        assert_eq!(retry_after(StoreError::Locked), (503, Some(HeaderValue::from_static("1"))));
        assert_eq!(retry_after(StoreError::DiskFull), (507, None));
    }

    #[test]
    fn who_finds_too_many_passwords_waiting_is_told_when_to_come_back() {
        for refusal in
            [Refusal::from(HashingError::Busy), Refusal::from(EditError::Hashing(HashingError::Busy))]
        {
            let response = refusal.into_response();
            let retry_after = response.headers().get(header::RETRY_AFTER);
            assert_eq!(
                (response.status().as_u16(), retry_after),
                (503, Some(&HeaderValue::from_static("1")))
            );
        }
    }
}
