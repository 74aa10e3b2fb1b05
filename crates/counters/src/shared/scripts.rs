//! The scripts that the server runs, each on one subject. They begin alike: the limits are read as gauges first.

use redis::RedisResult;

use super::connection::Connection;
use super::members::first_text;

macro_rules! on_gauges {
    ($operation:literal) => {
        concat!(
            include_str!("script/numbers.lua"),
            include_str!("script/log.lua"),
            include_str!("script/gauges.lua"),
            include_str!($operation),
        )
    };
}

const TAKE: &str = on_gauges!("script/take.lua");
const ADJUST: &str = on_gauges!("script/adjust.lua");
const PUT: &str = on_gauges!("script/put.lua");

/// What the store calls the scripts: hashes of them, so the same in every store.
#[derive(Debug)]
pub struct Scripts {
    pub take: String,
    pub adjust: String,
    pub put: String,
}

/// Gives the store the scripts. `None` where its answer is none.
pub async fn load(connection: &Connection) -> RedisResult<Option<Scripts>> {
    let mut names = Vec::new();
    for script in [TAKE, ADJUST, PUT] {
        let load = redis::cmd("SCRIPT").arg("LOAD").arg(script).take();
        names.extend(first_text(connection.call_all(load).await?));
    }
    Ok(<[String; 3]>::try_from(names).ok().map(|[take, adjust, put]| Scripts { take, adjust, put }))
}
