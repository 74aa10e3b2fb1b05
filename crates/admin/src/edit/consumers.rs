//! Consumers.

use tollgate_core::Problems;
use tollgate_core::resource::{Consumer, ConsumerId, ConsumerSpec, TenantId};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use super::{Edit, EditError, References, Replaced};

impl Edit {
    pub async fn create_consumer(
        &mut self,
        references: &mut References,
        tenant: TenantId,
        spec: ConsumerSpec,
    ) -> Result<(), EditError> {
        let id = ConsumerId(Uuid::now_v7());
        let subscribed_at_secs = spec.subscribed_at_secs.unwrap_or(self.write.now_secs());
        let consumer = self.consumer(references, (id, tenant), spec, subscribed_at_secs).await?;
        self.write.insert_consumer(&consumer).await?;
        self.put(&[Change::PutConsumer(consumer)])
    }

    pub async fn replace_consumer(
        &mut self,
        references: &mut References,
        before: &Consumer,
        spec: ConsumerSpec,
    ) -> Result<Replaced, EditError> {
        let subscribed_at_secs = spec.subscribed_at_secs.unwrap_or(before.subscribed_at_secs);
        let consumer =
            self.consumer(references, (before.id, before.tenant), spec, subscribed_at_secs).await?;
        if consumer == *before {
            return Ok(Replaced::Unchanged);
        }
        self.write.update_consumer(&consumer).await?;
        self.put(&[Change::PutConsumer(consumer)])?;
        Ok(Replaced::Changed)
    }

    pub async fn delete_consumer(&mut self, consumer: &Consumer) -> Result<(), EditError> {
        self.write.delete_consumer(consumer.id).await?;
        self.put(&[Change::DeleteConsumer(consumer.tenant, consumer.id)])
    }

    async fn consumer(
        &mut self,
        references: &mut References,
        (id, tenant): (ConsumerId, TenantId),
        spec: ConsumerSpec,
        subscribed_at_secs: u64,
    ) -> Result<Consumer, EditError> {
        let plan = match &spec.plan {
            Some(slug) => {
                let found = self.plan_id(references, tenant, slug).await?;
                Some(found.map_err(|missing| Problems::one("plan", missing))?)
            }
            None => None,
        };
        Ok(Consumer { id, tenant, client_id: spec.client_id, name: spec.name, plan, subscribed_at_secs })
    }
}
