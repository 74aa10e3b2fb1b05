//! Everything that the proxy runs, as the changes that lead from nothing to it.

use tokio::sync::mpsc;
use tollgate_core::feed::Position;
use tollgate_core::resource::{ConsumerId, KeyId, RouteId, ServiceId};
use tollgate_core::snapshot::Change;
use uuid::Uuid;

use crate::error::StoreError;
use crate::keys::PackedKeys;
use crate::page::Page;
use crate::store::{Read, Store};

const ROWS_A_PAGE: u32 = 2_000;
/// Of the keys on a page: the database makes one value of them, which cannot have 1,000,000,000 bytes, and a few pages are in
/// memory at a time. Scopes that may be written today leave hundreds of keys to a page.
const SCOPE_BYTES_A_PAGE: u32 = 16 << 20;

type Batches = mpsc::Sender<Vec<Change>>;

impl Store {
    /// Hands over all resources, batch by batch, each thing after what it refers to; returns the position that
    /// they are of. It waits for whoever takes the batches, so that few of them are in memory at a time.
    pub async fn load(&self, batches: Batches) -> Result<Position, StoreError> {
        let mut read = self.read().await?;
        let position = read.position().await?;
        load_tenants(&mut read, &batches).await?;
        hand_over(&batches, read.all_plans().await?.into_iter().map(Change::PutPlan)).await?;
        load_services(&mut read, &batches).await?;
        load_consumers(&mut read, &batches).await?;
        load_routes(&mut read, &batches).await?;
        load_keys(&mut read, &batches).await?;
        Ok(position)
    }
}

async fn hand_over(batches: &Batches, batch: impl Iterator<Item = Change>) -> Result<(), StoreError> {
    batches.send(batch.collect()).await.map_err(|_| StoreError::Abandoned)
}

async fn load_tenants(read: &mut Read, batches: &Batches) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = read.tenants(Page { after, limit: ROWS_A_PAGE }).await?;
        hand_over(batches, page.items.into_iter().map(|stored| Change::PutTenant(stored.value))).await?;
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn load_services(read: &mut Read, batches: &Batches) -> Result<(), StoreError> {
    let mut after = ServiceId(Uuid::nil());
    loop {
        let services = read.services_after(after, ROWS_A_PAGE).await?;
        let Some(last) = services.last() else { return Ok(()) };
        after = last.id;
        hand_over(batches, services.into_iter().map(Change::PutService)).await?;
    }
}

async fn load_consumers(read: &mut Read, batches: &Batches) -> Result<(), StoreError> {
    let mut after = ConsumerId(Uuid::nil());
    loop {
        let consumers = read.consumers_after(after, ROWS_A_PAGE).await?;
        let Some(last) = consumers.last() else { return Ok(()) };
        after = last.id;
        hand_over(batches, consumers.into_iter().map(Change::PutConsumer)).await?;
    }
}

async fn load_routes(read: &mut Read, batches: &Batches) -> Result<(), StoreError> {
    let mut after = RouteId(Uuid::nil());
    loop {
        let routes = read.routes_after(after, ROWS_A_PAGE).await?;
        let Some(last) = routes.last() else { return Ok(()) };
        after = last.id;
        hand_over(batches, routes.into_iter().map(Change::PutRoute)).await?;
    }
}

/// The database packs the next page on its own thread while this one is unpacked.
async fn load_keys(read: &mut Read, batches: &Batches) -> Result<(), StoreError> {
    let (pages, mut arriving) = mpsc::channel(1);
    // The receiver goes with the unpacking: once that has failed, no page waits for room that nobody makes.
    let (fetched, unpacked) = tokio::join!(fetch_keys(read, pages), async move {
        while let Some(page) = arriving.recv().await {
            let keys = page.unpack()?;
            hand_over(batches, keys.into_iter().map(|key| Change::PutKey { key, before: None })).await?;
        }
        Ok(())
    });
    fetched.and(unpacked)
}

async fn fetch_keys(read: &mut Read, pages: mpsc::Sender<PackedKeys>) -> Result<(), StoreError> {
    let mut after = KeyId(Uuid::nil());
    while let Some(page) = read.packed_keys_after(after, ROWS_A_PAGE, SCOPE_BYTES_A_PAGE).await? {
        after = page.last;
        if pages.send(page).await.is_err() {
            break;
        }
    }
    Ok(())
}
