//! Looking a route up among few and very many: the figures of the benchmark in the core's own crate.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Bench;
use super::report::{Outcome, Section, Verdict};
use crate::command;

const SIZES: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// From the fewest routes to the most.
const MOST_SLOWER: f64 = 2.0;
const MOST_CHANGE_MILLIS: f64 = 50.0;

pub fn measure(bench: &Bench) -> Result<Section> {
    let results = bench.directory("routes")?;
    let mut cargo = command::cargo();
    cargo.args(["bench", "--locked", "--package", "tollgate-core", "--bench", "routes"]);
    command::run(cargo.env("CRITERION_HOME", &results))?;
    let nanos = |group: &str, contender: &str, size: usize| estimate(&results, group, contender, size);
    let mut rows = Vec::new();
    for size in SIZES {
        let cell = |group, contender| {
            nanos(group, contender, size).map_or_else(|_| "-".to_owned(), |nanos| format!("{nanos:.0}"))
        };
        rows.push(vec![
            size.to_string(),
            cell("routes", "tollgate"),
            cell("routes", "matchit"),
            cell("routes", "linear"),
            cell("change", "tollgate"),
        ]);
    }
    let [fewest, .., most] = SIZES;
    let slower = nanos("routes", "tollgate", most)? / nanos("routes", "tollgate", fewest)?;
    let change_millis = nanos("change", "tollgate", most)? / 1e6;
    Ok(Section {
        title: "Routes",
        method: "All routes are of one host; every look-up is for another of them, at random, and all have their turn. \
                 Tollgate's figure is the whole way from the Host field to the route and its captures, the others' the \
                 path alone. A change is one route of them replaced: from the snapshot in force to the next. Medians, \
                 in nanoseconds (criterion)."
            .to_owned(),
        columns: &["routes", "Tollgate ns", "matchit ns", "linear scan ns", "a change ns"],
        rows,
        verdicts: vec![
            Verdict {
                target: format!("a look-up among {most} routes takes at most {MOST_SLOWER} times that among {fewest}"),
                measured: format!("{slower:.2}"),
                outcome: Outcome::met_if(slower <= MOST_SLOWER),
            },
            Verdict {
                target: format!("a change among {most} routes takes less than {MOST_CHANGE_MILLIS} ms"),
                measured: format!("{change_millis:.3} ms"),
                outcome: Outcome::met_if(change_millis < MOST_CHANGE_MILLIS),
            },
        ],
    })
}

/// The median that criterion has written down, in nanoseconds.
fn estimate(results: &Path, group: &str, contender: &str, size: usize) -> Result<f64> {
    let path: PathBuf = [group, contender, &size.to_string(), "new", "estimates.json"]
        .iter()
        .fold(results.to_owned(), |path, part| path.join(part));
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let estimates: Value = serde_json::from_str(&text).context("criterion has written no JSON")?;
    estimates["median"]["point_estimate"].as_f64().context("criterion has written no median")
}
