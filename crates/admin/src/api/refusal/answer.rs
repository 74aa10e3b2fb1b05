//! How a refusal is told: as problem details (RFC 9457).

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tollgate_core::Problem;
use tollgate_store::Unique;

use super::{Failure, Refusal};

/// Problem details as they are sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemDetails {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: Cow<'static, str>,
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
    /// The status, and the detail that goes with it.
    fn told(&self) -> (StatusCode, Cow<'static, str>) {
        match self {
            Self::NoToken => (StatusCode::UNAUTHORIZED, "send a token: Authorization: Bearer <token>".into()),
            Self::BadToken => (StatusCode::UNAUTHORIZED, "the token is unknown, expired or revoked".into()),
            Self::WrongPassword => (StatusCode::UNAUTHORIZED, "username or password is wrong".into()),
            Self::TooManyAttempts { retry_after_secs } => {
                let detail = format!("too many failed attempts: try again in {retry_after_secs} seconds");
                (StatusCode::TOO_MANY_REQUESTS, detail.into())
            }
            Self::Forbidden(reason) => (StatusCode::FORBIDDEN, (*reason).into()),
            Self::NotFound(what) => (StatusCode::NOT_FOUND, format!("there is no such {what}").into()),
            Self::NoSuchPath(path) => (StatusCode::NOT_FOUND, format!("there is nothing at {path}").into()),
            Self::MethodNotAllowed { method, path } => {
                (StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not possible on {path}").into())
            }
            Self::MalformedBody(reason) => {
                (StatusCode::BAD_REQUEST, format!("the body is not JSON: {reason}").into())
            }
            Self::IncompleteBody => (StatusCode::BAD_REQUEST, "the body broke off".into()),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "the body came too slowly".into()),
            Self::BadHost => (StatusCode::BAD_REQUEST, "a request must have exactly one Host".into()),
            Self::SeveralTokens => {
                (StatusCode::BAD_REQUEST, "a request must have one Authorization at most".into())
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body as Content-Type: application/json".into())
            }
            Self::BodyTooLarge { most_bytes } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body may have at most {most_bytes} bytes").into(),
            ),
            Self::Invalid(problems) => {
                let detail = match problems.iter().count() {
                    1 => "1 field is wrong".into(),
                    count => format!("{count} fields are wrong").into(),
                };
                (StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            Self::TooManyPasswords => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many passwords are waiting to be checked: try again in a second".into(),
            ),
            Self::TooManyChecks => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too many checks are under way: try again in a second".into(),
            ),
            Self::TooManyDemands(error) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("{error}: try again in a second").into())
            }
            Self::Taken(unique) => (StatusCode::CONFLICT, format!("{unique} is taken already").into()),
            Self::InUse(by) => (StatusCode::CONFLICT, format!("is still in use by {by}").into()),
            Self::VersionMismatch => {
                (StatusCode::PRECONDITION_FAILED, "it was changed meanwhile: read it again".into())
            }
            Self::Present => (
                StatusCode::PRECONDITION_FAILED,
                "it is there, in the version that If-None-Match rules out".into(),
            ),
            Self::Failed(Failure::DiskFull(what)) => (StatusCode::INSUFFICIENT_STORAGE, what.clone().into()),
            Self::Failed(Failure::Busy(what)) => (StatusCode::SERVICE_UNAVAILABLE, what.clone().into()),
            Self::Failed(Failure::Inside(_)) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "something failed on the gateway's side; its log says what".into(),
            ),
        }
    }

    fn errors(self) -> Vec<FieldProblem> {
        if let Self::Invalid(problems) = self {
            return problems.into_vec().into_iter().map(FieldProblem::from).collect();
        }
        if let Self::Taken(unique) = self {
            let field = field_of(unique).to_owned();
            return vec![FieldProblem { field, message: "is taken already".into() }];
        }
        Vec::new()
    }

    /// The field that goes with the status: how to sign in, when to come back.
    fn header(&self, status: StatusCode) -> Option<(header::HeaderName, HeaderValue)> {
        if let Self::TooManyAttempts { retry_after_secs } = self {
            return Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_secs)));
        }
        match (status, self) {
            (StatusCode::UNAUTHORIZED, Self::BadToken) => Some((
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"tollgate\", error=\"invalid_token\""),
            )),
            (StatusCode::UNAUTHORIZED, _) => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\"")))
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        if let Self::Failed(Failure::DiskFull(error) | Failure::Busy(error) | Failure::Inside(error)) = &self
        {
            tracing::error!(%error, "the control plane could not answer");
        }
        let (status, detail) = self.told();
        let extra = self.header(status);
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

#[cfg(test)]
mod tests {
    use tollgate_store::StoreError;

    use super::*;
    use crate::edit::EditError;
    use crate::on_demand::TooManyDemands;
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

    #[test]
    fn who_has_too_much_under_way_is_told_what_counts() {
        let (status, detail) = Refusal::from(TooManyDemands::OfTheTenant).told();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        for what in ["checks", "resets", "tests of webhooks", "new key sets", "of the tenant"] {
            assert!(detail.contains(what), "{detail}");
        }
    }
}
