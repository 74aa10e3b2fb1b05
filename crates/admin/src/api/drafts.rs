//! What bodies are read as, and what can be wrong with each by itself.

use tollgate_core::Problems;
use tollgate_core::resource::{
    ConsumerDraft, KeyDraft, PlanDraft, RouteDraft, ServiceDraft, TenantDraft, UserDraft, WebhookDraft,
};

use super::auth::LoginDraft;
use super::keys::RotateDraft;
use super::node_tokens::NodeTokenDraft;
use super::tokens::{TokenDraft, ValidateDraft};
use crate::document::Document;
use crate::shape::Draft;

macro_rules! parsed {
    ($($draft:ty: $($answered:literal)*;)*) => {
        $(impl Draft for $draft {
            const ANSWERED: &'static [&'static str] = &["id", "version", "created_at", "updated_at", $($answered),*];

            fn check(&self) -> Result<(), Problems> {
                self.parse().map(drop)
            }
        })*
    };
}

parsed! {
    TenantDraft:;
    PlanDraft:;
    ServiceDraft: "targets[].id";
    RouteDraft:;
    ConsumerDraft:;
    KeyDraft: "prefix" "last_used_at" "requests" "rejections";
    UserDraft:;
    WebhookDraft:;
}

impl Draft for Document {
    fn check(&self) -> Result<(), Problems> {
        Self::check(self)
    }
}

impl Draft for LoginDraft {}
impl Draft for RotateDraft {}
impl Draft for NodeTokenDraft {}
impl Draft for TokenDraft {}
impl Draft for ValidateDraft {}
