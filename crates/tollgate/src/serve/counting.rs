//! Where limits are counted: in this process, and in the store that nodes share, where there is one.

use std::sync::Arc;

use anyhow::{Context, Result};
use tollgate_counters::{Counters, Keeper, LocalCounters, StoreSettings, TimeSource};

use crate::config::{Config, RedisConfig};

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
        let (counters, mut keeper) = Keeper::start(settings(redis)?, local, TimeSource::Server);
        keeper.first_attempt().await;
        Ok(Self { counters: Arc::new(counters), keeper: Some(keeper) })
    }

    /// Gives back what the store has granted and nobody used, once no request is left.
    pub async fn end(self) {
        if let Some(keeper) = self.keeper {
            keeper.close().await;
        }
    }
}

fn settings(redis: &RedisConfig) -> Result<StoreSettings> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let authorities = redis.ca_file.as_ref().map(read).transpose()?;
    Ok(StoreSettings { url: redis.url.clone(), authorities })
}
