//! Everything that the proxy runs, as the changes that lead from nothing to it.

use tokio::sync::mpsc;
use tollgate_core::resource::{ConsumerId, KeyId, ServiceId};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use crate::error::StoreError;
use crate::keys::PackedKeys;
use crate::page::Page;
use crate::store::{Read, Store};

const ROWS_A_PAGE: u32 = 2_000;

impl Store {
    /// Hands all resources to `sink`, batch by batch, each thing after what it refers to; returns the
    /// revision that they are of. No more than a few batches are in memory at a time.
    pub async fn load(&self, mut sink: impl FnMut(Vec<Change>)) -> Result<u64, StoreError> {
        let mut read = self.read().await?;
        let revision = read.revision().await?;
        load_tenants(&mut read, &mut sink).await?;
        sink(read.all_plans().await?.into_iter().map(Change::PutPlan).collect());
        load_services(&mut read, &mut sink).await?;
        load_consumers(&mut read, &mut sink).await?;
        load_keys(&mut read, &mut sink).await?;
        Ok(revision)
    }
}

async fn load_tenants(read: &mut Read, sink: &mut impl FnMut(Vec<Change>)) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = read.tenants(Page { after, limit: ROWS_A_PAGE }).await?;
        sink(page.items.into_iter().map(|stored| Change::PutTenant(stored.value)).collect());
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn load_services(read: &mut Read, sink: &mut impl FnMut(Vec<Change>)) -> Result<(), StoreError> {
    let mut after = ServiceId(Uuid::nil());
    loop {
        let services = read.services_after(after, ROWS_A_PAGE).await?;
        let Some(last) = services.last() else { return Ok(()) };
        after = last.id;
        sink(services.into_iter().map(Change::PutService).collect());
    }
}

async fn load_consumers(read: &mut Read, sink: &mut impl FnMut(Vec<Change>)) -> Result<(), StoreError> {
    let mut after = ConsumerId(Uuid::nil());
    loop {
        let consumers = read.consumers_after(after, ROWS_A_PAGE).await?;
        let Some(last) = consumers.last() else { return Ok(()) };
        after = last.id;
        sink(consumers.into_iter().map(Change::PutConsumer).collect());
    }
}

/// The database packs the next page on its own thread while this one is unpacked.
async fn load_keys(read: &mut Read, sink: &mut impl FnMut(Vec<Change>)) -> Result<(), StoreError> {
    let (pages, mut arriving) = mpsc::channel(1);
    // The receiver goes with the unpacking: once that has failed, no page waits for room that nobody makes.
    let (fetched, unpacked) = tokio::join!(fetch_keys(read, pages), async move {
        while let Some(page) = arriving.recv().await {
            sink(unpack(&page)?);
        }
        Ok(())
    });
    fetched.and(unpacked)
}

async fn fetch_keys(read: &mut Read, pages: mpsc::Sender<PackedKeys>) -> Result<(), StoreError> {
    let mut after = KeyId(Uuid::nil());
    while let Some(page) = read.packed_keys_after(after, ROWS_A_PAGE).await? {
        after = page.last;
        if pages.send(page).await.is_err() {
            break;
        }
    }
    Ok(())
}

fn unpack(page: &PackedKeys) -> Result<Vec<Change>, StoreError> {
    Ok(page.unpack()?.into_iter().map(|key| Change::PutKey { key, before: None }).collect())
}
