//! Who is calling: the admin token's holder, or a signed-in user.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tollgate_core::credential::KeyHash;
use tollgate_core::resource::Role;

use super::auth::Peer;
use super::refusal::Refusal;
use crate::clock;
use crate::control_plane::ControlPlane;
use crate::edit::EditError;
use crate::principal::Principal;

/// A caller whose token was good.
pub struct Caller {
    pub principal: Principal,
    /// When the session ends; `None` where the admin token was used.
    pub session_ends_secs: Option<u64>,
}

/// A caller who may do everything.
pub struct Administrator(pub Principal);

impl FromRequestParts<ControlPlane> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &ControlPlane) -> Result<Self, Refusal> {
        // Tokens are compared by hash: how far two hashes agree tells nothing of the token.
        let token = KeyHash::of(bearer_token(parts)?.as_bytes());
        if token == plane.0.admin_token {
            return Ok(Self { principal: Principal::operator(), session_ends_secs: None });
        }
        let now_secs = clock::now_secs();
        let Ok(Peer(peer)) = Peer::from_request_parts(parts, plane).await;
        let Some(session) = plane.0.store.read().await?.session(&token, now_secs).await? else {
            // Only failures count: whoever has a good token is not held up by somebody else's behind the same address.
            plane.0.token_guesses.fail("", peer, clock::instant()).map_err(EditError::from)?;
            return Err(Refusal::BadToken);
        };
        let (role, username) = (session.user.role, Some(session.user.username));
        Ok(Self {
            principal: Principal { role, username, session: Some(token), peer },
            session_ends_secs: Some(session.expires_at_secs),
        })
    }
}

impl FromRequestParts<ControlPlane> for Administrator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, plane: &ControlPlane) -> Result<Self, Refusal> {
        let Caller { principal, .. } = Caller::from_request_parts(parts, plane).await?;
        match principal.role {
            Role::PlatformAdministrator => Ok(Self(principal)),
            Role::TenantUser(_) => Err(Refusal::Forbidden("only a platform administrator may do this")),
        }
    }
}

/// RFC 6750 section 2.1; the scheme's name has no case (RFC 9110 section 11.1).
pub fn bearer_token(parts: &Parts) -> Result<&str, Refusal> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::NoToken)?;
    if values.next().is_some() {
        return Err(Refusal::SeveralTokens);
    }
    let value = value.to_str().map_err(|_| Refusal::BadToken)?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        Some(_) | None => Err(Refusal::NoToken),
    }
}
