//! A person who signs in to the control plane.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::{TenantId, TenantSlug};
use crate::problem::Problems;

const SHORTEST_PASSWORD: usize = 8;
const LONGEST_PASSWORD: usize = 1_024;

/// What a user may see and change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything, of every tenant.
    PlatformAdministrator,
    /// Everything of one tenant.
    TenantUser(TenantId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(Box<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to 128 characters: letters, digits and . _ @ + -")]
pub struct BadUsername;

impl Username {
    pub fn parse(text: &str) -> Result<Self, BadUsername> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@+-".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(BadUsername)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Username {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A user as it is written. `tenant` left out makes a platform administrator.
#[derive(Clone, Deserialize, Serialize)]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(examples(json!({ "username": "ann", "password": "at least 8 characters", "tenant": "acme" })))
)]
#[serde(deny_unknown_fields)]
pub struct UserDraft {
    #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9._@+-]{1,128}$"))]
    pub username: String,
    /// 8 to 1024 characters; kept as an Argon2id hash.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 1_024))]
    pub password: String,
    /// Slug of the one tenant that the user may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"))]
    pub tenant: Option<String>,
}

impl fmt::Debug for UserDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserDraft")
            .field("username", &self.username)
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

/// A valid user, the password left in the draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSpec {
    pub username: Username,
    pub tenant: Option<TenantSlug>,
}

impl UserDraft {
    pub fn parse(&self) -> Result<UserSpec, Problems> {
        let mut problems = Problems::default();
        let username = problems.check("username", Username::parse(&self.username));
        if !(SHORTEST_PASSWORD..=LONGEST_PASSWORD).contains(&self.password.chars().count()) {
            problems
                .add("password", format!("must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"));
        }
        let tenant =
            self.tenant.as_deref().and_then(|tenant| problems.check("tenant", TenantSlug::parse(tenant)));
        let spec = username.map(|username| UserSpec { username, tenant });
        problems.finish(spec)
    }
}
