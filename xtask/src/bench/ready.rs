//! From exec to ready with ten thousand keys and services.

use std::time::Duration;

use anyhow::{Context, Result};

use super::report::{Outcome, Section, Verdict};
use super::stats::Spread;
use super::tollgate::{self, Home, Seed, Tollgate};
use super::{Bench, nginx};

const TARGET: Duration = Duration::from_millis(200);

pub fn measure(bench: &Bench) -> Result<Section> {
    let binary = bench.tollgate_binary()?;
    let upstream = nginx::upstream(&bench.directory("ready-upstream")?)?;
    let home = Home::new(bench.directory("ready-tollgate")?)?;
    let seed = Seed {
        services: bench.size.keys,
        keys: bench.size.keys,
        upstream: upstream.address,
        counting: "leased",
        balanced: None,
    };
    drop(tollgate::start_filled(binary, &home, &seed)?);

    let mut millis = Vec::new();
    for _ in 0..bench.size.starts {
        millis.push(Tollgate::start(binary, &home)?.ready_after.as_secs_f64() * 1e3);
    }
    let millis = Spread::of(millis).context("nothing was started")?;
    Ok(Section {
        title: "Start",
        method: format!(
            "From exec until both listeners are announced and `/health/ready` answers 200, with {} keys and services \
             in the database, {} starts.",
            bench.size.keys, bench.size.starts
        ),
        columns: &["what", "ms"],
        rows: vec![vec!["exec to ready".to_owned(), format!("{millis:.0}")]],
        verdicts: vec![Verdict {
            target: format!("ready in less than {} ms", TARGET.as_millis()),
            measured: format!("{:.0} ms", millis.median),
            outcome: Outcome::met_if(millis.median < TARGET.as_secs_f64() * 1e3),
        }],
    })
}
