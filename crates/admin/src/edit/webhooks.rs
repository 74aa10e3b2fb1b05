//! Webhooks. No proxy needs to know of them: they are no part of a snapshot.

use tollgate_core::Problems;
use tollgate_core::address::{AddressRefused, Reach};
use tollgate_core::resource::{TenantId, Webhook, WebhookId, WebhookSpec, WebhookUrl};
use tollgate_core::webhook::WebhookSecret;
use tollgate_store::WebhookRecord;
use uuid::Uuid;

use super::services::farther;
use super::{Edit, EditError};
use crate::principal::Principal;
use crate::sealing::Sealed;
use crate::token::{NoRandomness, random_bits};

const MOST_WEBHOOKS: u64 = 20;

impl Edit {
    /// Gives the secret, too, which nothing will show again.
    pub async fn create_webhook(
        &mut self,
        tenant: TenantId,
        spec: WebhookSpec,
        author: &Principal,
    ) -> Result<(WebhookId, WebhookSecret), EditError> {
        if self.read().count_webhooks(tenant).await? >= MOST_WEBHOOKS {
            return Err(Problems::one("", format!("a tenant has at most {MOST_WEBHOOKS} webhooks")).into());
        }
        let WebhookSpec { url, events, secret } = spec;
        let id = WebhookId(Uuid::now_v7());
        let reach = self.permitted(&url, author.reach())?;
        let secret = match secret {
            Some(secret) => secret,
            None => WebhookSecret::from_bytes(&random_bits()?).map_err(|_| NoRandomness)?,
        };
        let sealed_secret = self.sealed(id, &secret)?;
        let webhook = Webhook { id, tenant, url, reach, events };
        self.write.insert_webhook(&WebhookRecord { webhook, sealed_secret }).await?;
        Ok((id, secret))
    }

    /// Without a new secret, the one that is there stays. What waits to be tried again is tried at once.
    pub async fn replace_webhook(
        &mut self,
        before: &WebhookRecord,
        spec: WebhookSpec,
        author: &Principal,
    ) -> Result<(), EditError> {
        let WebhookSpec { url, events, secret } = spec;
        let Webhook { id, tenant, .. } = before.webhook;
        // A tenant's user may leave standing what an administrator allowed.
        let held = (url == before.webhook.url).then_some(before.webhook.reach);
        let reach = self.permitted(&url, farther(author.reach(), held))?;
        let sealed_secret = match &secret {
            Some(secret) => self.sealed(id, secret)?,
            None => before.sealed_secret.clone(),
        };
        let record = WebhookRecord { webhook: Webhook { id, tenant, url, reach, events }, sealed_secret };
        if record != *before {
            self.write.update_webhook(&record).await?;
        }
        Ok(self.write.make_deliveries_due(id).await?)
    }

    fn permitted(&self, url: &WebhookUrl, reach: Reach) -> Result<Reach, Problems> {
        let permitted = url.place().permit(reach, self.allow_list());
        permitted.map_err(|error: AddressRefused| Problems::one("url", error.to_string()))?;
        Ok(reach)
    }

    fn sealed(&self, id: WebhookId, secret: &WebhookSecret) -> Result<Vec<u8>, NoRandomness> {
        self.plane.sealing.seal(Sealed::WebhookSecret, &id.to_string(), secret.as_bytes())
    }
}
