//! `/api/auth`: signing in and out.

use std::fmt;
use std::net::IpAddr;

use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use tollgate_core::resource::{Role, Username};
use tollgate_store::UserRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::authenticate::Caller;
use super::body::Json;
use super::refusal::{ProblemDetails, Refusal};
use super::responses::{Guarded, SentByAnybody};
use super::view::Secret;
use crate::clock;
use crate::clock::timestamp;
use crate::connection::Connection;
use crate::control_plane::ControlPlane;
use crate::edit::Edit;
use crate::token::{Token, TokenKind};

const SESSION_SECS: u64 = 12 * 3_600;

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(login)).routes(routes!(logout)).routes(routes!(me))
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[schema(examples(json!({ "username": "ann", "password": "at least 8 characters" })))]
#[serde(deny_unknown_fields)]
pub struct LoginDraft {
    username: String,
    password: String,
}

impl fmt::Debug for LoginDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginDraft").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    /// Sent as `Authorization: Bearer <token>`; shown this once.
    token: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Whom a token stands for.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallerView {
    /// Null for the holder of the admin token.
    username: Option<String>,
    role: RoleName,
    /// Slug of the one tenant that the caller may see; null for a platform administrator.
    tenant: Option<String>,
    /// When the session ends; null where the token does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    PlatformAdministrator,
    TenantUser,
}

/// Sign in
///
/// The session lasts for twelve hours, until it is signed out, or until the password changes.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "auth", operation_id = "login",
    security(()),
    request_body = LoginDraft,
    responses(
        (status = 200, description = "The session", body = SessionView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        (status = 401, description = "Username or password is wrong", body = ProblemDetails,
         content_type = "application/problem+json"),
        SentByAnybody,
        (status = 429, description = "Too many failed attempts", body = ProblemDetails,
         content_type = "application/problem+json"),
        (status = 503, description = "Too many attempts at the same time", body = ProblemDetails,
         content_type = "application/problem+json"),
    ),
)]
async fn login(
    State(plane): State<ControlPlane>,
    Peer(peer): Peer,
    Json(draft): Json<LoginDraft>,
) -> Result<Secret<axum::Json<SessionView>>, Refusal> {
    let now_secs = clock::now_secs();
    // A name that no user can have counts as one guess-name, so that long ones cannot fill the memory.
    let username = Username::parse(&draft.username).ok();
    let guessed = username.as_ref().map_or("", Username::as_str);
    let attempt = plane
        .0
        .sign_ins
        .begin(guessed, peer, clock::instant())
        .map_err(|too_many| Refusal::TooManyAttempts { retry_after_secs: too_many.retry_after_secs })?;
    let user = match matching_user(&plane, username, draft.password).await {
        Ok(user) => user,
        Err(error) => {
            attempt.withdraw();
            return Err(error);
        }
    };
    let user = user.ok_or(Refusal::WrongPassword)?;
    attempt.succeed();

    let token = Token::generate(TokenKind::Session)?;
    let expires_at_secs = now_secs + SESSION_SECS;
    let mut edit = Edit::begin(&plane).await?;
    // The password may have changed, or the user gone, since it was verified.
    let now_stands = edit.read().user(&user.username).await?.map(|stored| stored.value.password_hash);
    if now_stands.as_ref() != Some(&user.password_hash) {
        return Err(Refusal::WrongPassword);
    }
    edit.write().insert_session(&token.hash(), user.id, expires_at_secs).await?;
    edit.commit().await?;
    let view = SessionView { token: token.reveal(), expires_at: timestamp(expires_at_secs) };
    Ok(Secret(axum::Json(view)))
}

/// The user whose password it is, if anybody's; an error where that was not found out.
async fn matching_user(
    plane: &ControlPlane,
    username: Option<Username>,
    password: String,
) -> Result<Option<UserRecord>, Refusal> {
    let user = match &username {
        Some(username) => plane.0.store.read().await?.user(username).await?.map(|stored| stored.value),
        None => None,
    };
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let matches = plane.0.passwords.sign_in(username, password, hash).await?;
    Ok(user.filter(|_| matches))
}

/// Sign out
///
/// Ends the session of the token that is sent. The admin token stays valid.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "auth", operation_id = "logout",
    responses(
        (status = 204, description = "The token is no longer valid"),
        (status = 507, description = "The disk is full: nothing was changed", body = ProblemDetails,
         content_type = "application/problem+json"),
        Guarded,
    ),
)]
async fn logout(State(plane): State<ControlPlane>, caller: Caller) -> Result<StatusCode, Refusal> {
    if let Some(session) = caller.principal.session {
        let mut edit = Edit::begin(&plane).await?;
        edit.write().delete_session(&session).await?;
        edit.commit().await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Show whom the token stands for
#[utoipa::path(
    get, path = "/api/auth/me", tag = "auth", operation_id = "show_caller",
    responses((status = 200, description = "The caller", body = CallerView), Guarded),
)]
async fn me(State(plane): State<ControlPlane>, caller: Caller) -> axum::Json<CallerView> {
    let Caller { principal, session_ends_secs } = caller;
    let snapshot = plane.0.snapshot.load();
    let (role, tenant) = match principal.role {
        Role::PlatformAdministrator => (RoleName::PlatformAdministrator, None),
        Role::TenantUser(id) => {
            (RoleName::TenantUser, snapshot.tenant_by_id(id).map(|tenant| tenant.slug.to_string()))
        }
    };
    axum::Json(CallerView {
        username: principal.username.map(|username| username.to_string()),
        role,
        tenant,
        expires_at: session_ends_secs.map(timestamp),
    })
}

/// The address that the request came from, where the listener tells.
pub struct Peer(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let connection = parts.extensions.get::<ConnectInfo<Connection>>();
        Ok(Self(connection.map(|ConnectInfo(connection)| connection.peer.ip())))
    }
}
