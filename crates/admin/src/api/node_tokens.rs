//! `/api/node-tokens`

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use serde::{Deserialize, Serialize};
use tollgate_core::Problems;
use tollgate_core::resource::DisplayName;
use tollgate_store::NodeTokenRecord;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::authenticate::Administrator;
use super::body::Json;
use super::page::{Listing, PageQuery, Wanted};
use super::path::Named;
use super::refusal::Refusal;
use super::responses::{Addressed, Administered, Conditional, Guarded, Listed, Revoked, Sent};
use super::version::Preconditions;
use super::view::Secret;
use crate::clock;
use crate::clock::timestamp;
use crate::control_plane::ControlPlane;
use crate::edit::{Edit, EditError};
use crate::token::{Token, TokenKind};

const NOT_FOUND: Refusal = Refusal::NotFound("node token");

pub fn routes() -> OpenApiRouter<ControlPlane> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(revoke))
}

/// A node token as it is written.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(examples(json!({ "name": "edge" })))]
#[serde(deny_unknown_fields)]
pub struct NodeTokenDraft {
    /// What it is for; no other token has the name.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// A node token, without its value.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeTokenView {
    #[schema(format = Uuid)]
    id: String,
    name: String,
    /// The first characters of the value.
    prefix: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A node token with its value, which is shown this once.
#[derive(Serialize, ToSchema)]
pub struct NewNodeTokenView {
    /// What nodes present: `TOLLGATE_NODE_TOKEN`.
    token: String,
    #[serde(flatten)]
    view: NodeTokenView,
}

impl From<&NodeTokenRecord> for NodeTokenView {
    fn from(record: &NodeTokenRecord) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.name.to_string(),
            prefix: record.prefix.to_string(),
            created_at: timestamp(record.created_at_secs),
        }
    }
}

/// Make a node token
///
/// Proxy nodes present it to the control plane that feeds them. The answer shows it; nothing will show it again.
#[utoipa::path(
    post, path = "/api/node-tokens", tag = "nodes", operation_id = "create_node_token",
    request_body = NodeTokenDraft,
    responses(
        (status = 201, description = "The token", body = NewNodeTokenView,
         headers(("Cache-Control" = String, description = "`no-store`"))),
        Sent, Guarded,
    ),
)]
async fn create(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Json(draft): Json<NodeTokenDraft>,
) -> Result<Secret<(StatusCode, [(axum::http::HeaderName, String); 1], axum::Json<NewNodeTokenView>)>, Refusal>
{
    let mut problems = Problems::default();
    let name = problems.check("name", DisplayName::parse(&draft.name));
    let name = problems.finish(name)?;
    let token = Token::generate(TokenKind::Node)?;
    let record = NodeTokenRecord {
        id: Uuid::now_v7(),
        name,
        hash: token.hash(),
        prefix: token.prefix().into(),
        created_at_secs: clock::now_secs(),
    };
    let mut edit = Edit::begin_as(&plane, &author).await?;
    edit.write().insert_node_token(&record).await?;
    edit.commit().await?;
    plane.0.nodes.admit(&record);
    let view = NewNodeTokenView { token: token.reveal(), view: NodeTokenView::from(&record) };
    let location = [(LOCATION, format!("/api/node-tokens/{}", record.id))];
    Ok(Secret((StatusCode::CREATED, location, axum::Json(view))))
}

/// List the node tokens
#[utoipa::path(
    get, path = "/api/node-tokens", tag = "nodes", operation_id = "list_node_tokens",
    params(PageQuery),
    responses(
        (status = 200, description = "A page", body = Listing<NodeTokenView>),
        Listed, Administered, Guarded,
    ),
)]
async fn list(
    State(plane): State<ControlPlane>,
    _: Administrator,
    Wanted(page): Wanted,
) -> Result<axum::Json<Listing<NodeTokenView>>, Refusal> {
    let tokens = plane.0.store.read().await?.node_tokens(page).await?;
    Ok(axum::Json(Listing::from(&tokens)))
}

/// Revoke a node token
///
/// The feeds that it has opened end at once. Nodes go on serving what they have.
#[utoipa::path(
    delete, path = "/api/node-tokens/{id}", tag = "nodes", operation_id = "revoke_node_token",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    responses(Revoked, Addressed, Conditional, Administered, Guarded),
)]
async fn revoke(
    State(plane): State<ControlPlane>,
    Administrator(author): Administrator,
    Named(id): Named,
    preconditions: Preconditions,
) -> Result<StatusCode, Refusal> {
    let id = Uuid::try_parse(&id).map_err(|_| NOT_FOUND)?;
    let mut edit = Edit::begin_as(&plane, &author).await?;
    if !edit.write().delete_node_token(id).await? {
        return Err(NOT_FOUND);
    }
    preconditions.require_unversioned()?;
    // Whoever asked may go away in between: the token must not be left standing in memory.
    let finish = tokio::spawn(async move {
        edit.commit().await?;
        plane.0.nodes.revoke(id);
        Ok::<(), EditError>(())
    });
    match finish.await {
        Ok(outcome) => outcome?,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
    Ok(StatusCode::NO_CONTENT)
}
