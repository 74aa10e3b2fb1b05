//! The demo data, and `tollgate seed`, which puts it in.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;
use tollgate_admin::{ControlPlane, Document, Principal};

use super::reachable;
use crate::cli::SeedFlags;
use crate::config::Config;
use crate::declarative::{self, DryRun, summary};
use crate::output::{self, Stream};
use crate::remote::{AdminApi, ApiError};
use crate::serve::{self, Control, DataDirError};

const SEED: &str = include_str!("seed.yaml");

/// The demo data, its service with an upstream at `upstream`.
pub fn document(upstream: &str) -> Result<Document> {
    let mut document: Document = declarative::yaml(SEED)?;
    for service in &mut document.services {
        service.draft.url = Some(upstream.to_owned());
    }
    Ok(document)
}

/// Puts the demo data in, or back: what was changed of it since is as it was. What it did, as the admin API
/// would tell it.
pub async fn apply(plane: &ControlPlane, upstream: &str) -> Result<Value> {
    // The operator's own doing: the upstream may be on a loopback address.
    let applied = plane.apply(&Principal::operator(), &document(upstream)?).await?;
    Ok(serde_json::to_value(applied)?)
}

/// `tollgate seed`: through the admin API where one answers, else into the data directory.
pub fn run(flags: &SeedFlags, config: &Config, as_json: bool) -> Result<()> {
    let upstream = flags.upstream.clone().unwrap_or_else(|| demo_upstream(config.demo_listen));
    let api = flags.server.api()?;
    let applied = match declarative::send(&api, &document(&upstream)?, DryRun::No) {
        Err(error) if is_unreachable(&error) => into_data_dir(config, &upstream, &api)?,
        outcome => outcome?,
    };
    if as_json {
        output::line(&applied.to_string())?;
    } else {
        output::text(&summary(&applied, DryRun::No))?;
    }
    Ok(())
}

/// The URL of the demo upstream that listens on `address`.
pub fn demo_upstream(address: SocketAddr) -> String {
    format!("http://{}", reachable(address))
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().is_some_and(ApiError::is_unreachable)
}

fn into_data_dir(config: &Config, upstream: &str, api: &AdminApi) -> Result<Value> {
    // Whoever meant a server has to see that it was none.
    output::error(&format!(
        "no admin API answers at {}: the demo data goes straight into {}",
        api.url(),
        config.data_dir.display()
    ));
    serve::block_on(async {
        // Standard output is for what was done, which may be JSON.
        let control = Control::open(config, Stream::Error).await.map_err(|error| explain(error, api))?;
        let applied = apply(&control.plane, upstream).await;
        control.close().await;
        applied
    })
}

/// A server that holds the data directory and does not answer is most likely somewhere else.
fn explain(error: anyhow::Error, api: &AdminApi) -> anyhow::Error {
    match error.downcast_ref::<DataDirError>() {
        Some(DataDirError::InUse { .. }) => {
            error.context(format!("no admin API answers at {} (--admin-url)", api.url()))
        }
        Some(
            DataDirError::Unusable { .. }
            | DataDirError::Database { .. }
            | DataDirError::Secret { .. }
            | DataDirError::DamagedSecret { .. }
            | DataDirError::NoRandomness(_),
        )
        | None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_data_is_valid_and_has_one_service() {
        let document = document("http://127.0.0.1:1234").unwrap();
        assert_eq!(document.services.len(), 1);
        let spec = document.services[0].draft.parse().unwrap();
        assert_eq!(spec.targets[0].url.to_string(), "http://127.0.0.1:1234");
        for plan in &document.plans {
            plan.draft.parse().unwrap();
        }
    }

    #[test]
    fn a_demo_upstream_on_every_address_is_found_on_this_machines_own() {
        for (listen, expected) in [
            ("127.0.0.1:8082", "http://127.0.0.1:8082"),
            ("0.0.0.0:8082", "http://127.0.0.1:8082"),
            ("[::]:8082", "http://[::1]:8082"),
        ] {
            let upstream = demo_upstream(listen.parse().unwrap());
            assert_eq!(upstream, expected);
            document(&upstream).unwrap().check().unwrap();
        }
    }
}
