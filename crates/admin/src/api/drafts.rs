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
    ($($draft:ty),*) => {
        $(impl Draft for $draft {
            fn check(&self) -> Result<(), Problems> {
                self.parse().map(drop)
            }
        })*
    };
}

parsed!(TenantDraft, PlanDraft, ServiceDraft, RouteDraft, ConsumerDraft, KeyDraft, UserDraft, WebhookDraft);

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
