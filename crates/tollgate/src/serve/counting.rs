//! Where limits are counted: in this process, and in the store that nodes share, where there is one.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tollgate_counters::{Counters, Keeper, LocalCounters, StoreSettings, TimeSource};

use super::part::Failed;
use crate::config::{Config, RedisConfig};

/// Of the data directory: how many nodes were heard of last.
const NODES_FILE: &str = "counter-store.nodes";

pub struct Counting {
    pub counters: Arc<Counters>,
    keeper: Option<Keeper>,
}

impl Counting {
    /// Tries to reach the store, but does not insist: without it, plans say what becomes of requests.
    pub async fn start(config: &Config, local: Arc<LocalCounters>) -> Result<Self> {
        let Some(redis) = &config.redis else {
            return Ok(Self { counters: Arc::new(Counters::local(local)), keeper: None });
        };
        let (counters, mut keeper) =
            Keeper::start(settings(redis, &config.data_dir)?, local, TimeSource::Server);
        keeper.first_attempt().await;
        Ok(Self { counters: Arc::new(counters), keeper: Some(keeper) })
    }

    /// Until the store is not kept any more; where there is none, never.
    pub async fn failed(&mut self) -> Failed {
        match &mut self.keeper {
            Some(keeper) => keeper.failed().await,
            None => pending().await,
        }
        Failed("the connection to the counter store")
    }

    /// Gives back what the store has granted and nobody used, once no request is left.
    pub async fn end(self) {
        if let Some(keeper) = self.keeper {
            keeper.close().await;
        }
    }
}

fn settings(redis: &RedisConfig, data_dir: &Path) -> Result<StoreSettings> {
    let read = |path: &PathBuf| {
        std::fs::read(path).with_context(|| format!("redis.ca_file: {} cannot be read", path.display()))
    };
    let authorities = redis.ca_file.as_ref().map(read).transpose()?;
    let nodes_file = Some(data_dir.join(NODES_FILE));
    Ok(StoreSettings { url: redis.url.clone(), authorities, nodes_file })
}
