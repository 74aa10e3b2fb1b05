//! The refusals that many operations share, for the `OpenAPI` document.

use utoipa::IntoResponses;

use super::refusal::ProblemDetails;

/// What any operation that needs a token may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Guarded {
    /// No token, or one that is unknown, expired or revoked.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDetails),
    /// The gateway failed; its log says how.
    #[response(status = 500, content_type = "application/problem+json")]
    Failed(ProblemDetails),
    /// The database is busy, or too much is under way that was asked for (checks, resets, tests of webhooks, new key sets); `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Busy(ProblemDetails),
}

/// What reading a list may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Listed {
    /// No such tenant.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDetails),
    /// `limit`, `cursor` or `tenant` is wrong or missing.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDetails),
}

/// What naming one thing may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Addressed {
    /// No such thing in this tenant.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemDetails),
}

/// What sending a body may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Sent {
    /// The body is not JSON, or there is more than one `Authorization`.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemDetails),
    /// The caller may not do this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDetails),
    /// The body came too slowly.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(ProblemDetails),
    /// A name is taken already.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemDetails),
    /// The body is larger than allowed.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// The body is not announced as JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemDetails),
    /// Everything that is wrong with the body, field by field.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDetails),
    /// The disk is full: nothing was changed.
    #[response(status = 507, content_type = "application/problem+json")]
    DiskFull(ProblemDetails),
}

/// What sending a body without a token may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum SentByAnybody {
    /// The body is not JSON.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemDetails),
    /// The body came too slowly.
    #[response(status = 408, content_type = "application/problem+json")]
    TooSlow(ProblemDetails),
    /// The body is larger than allowed.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDetails),
    /// The body is not announced as JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemDetails),
    /// A field is wrong, missing or unknown.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDetails),
    /// The gateway failed; its log says how.
    #[response(status = 500, content_type = "application/problem+json")]
    Failed(ProblemDetails),
    /// The database is busy; `Retry-After` says when to try again.
    #[response(status = 503, content_type = "application/problem+json")]
    Busy(ProblemDetails),
    /// The disk is full: nothing was changed.
    #[response(status = 507, content_type = "application/problem+json")]
    DiskFull(ProblemDetails),
}

/// What an operation that honours `If-Match` and `If-None-Match` may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Conditional {
    /// `If-Match` names another version than the present one, or `If-None-Match` this one.
    #[response(status = 412, content_type = "application/problem+json")]
    VersionMismatch(ProblemDetails),
}

/// What an operation for platform administrators alone may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Administered {
    /// The caller may not do this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemDetails),
}

/// What deleting may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Deleted {
    /// It is gone.
    #[response(status = 204)]
    Gone,
    /// It is still in use.
    #[response(status = 409, content_type = "application/problem+json")]
    InUse(ProblemDetails),
    /// The disk is full: nothing was changed.
    #[response(status = 507, content_type = "application/problem+json")]
    DiskFull(ProblemDetails),
}

/// What deleting may answer where nothing stands in its way.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Revoked {
    /// It is gone.
    #[response(status = 204)]
    Gone,
    /// The disk is full: nothing was changed.
    #[response(status = 507, content_type = "application/problem+json")]
    DiskFull(ProblemDetails),
}

/// What an operation may answer that credentials could be guessed with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
pub enum Guessed {
    /// Too many failed attempts; `Retry-After` says when to try again.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyFailures(ProblemDetails),
}
