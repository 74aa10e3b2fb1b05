//! A million keys: how long a start takes, what it holds, and what adding one costs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::report::{Outcome, Section, Verdict};
use super::stats::{Spread, float, mebibytes};
use super::tollgate::{self, Home, Seed, Tollgate};
use super::{Bench, client, load, nginx, usage};

/// Keys added one after the other.
const ADDED: usize = 20;

const TARGET_READY: Duration = Duration::from_secs(5);
const TARGET_MB: f64 = 600.0;
const TARGET_ADD_MILLIS: f64 = 50.0;

pub fn measure(bench: &Bench) -> Result<Section> {
    let binary = bench.tollgate_binary()?;
    let upstream = nginx::upstream(&bench.directory("scale-upstream")?)?;
    let home = Home::new(bench.directory("scale-tollgate")?)?;
    let keys = bench.size.many_keys;
    let seed = Seed { services: 1, keys, upstream: upstream.address, counting: "leased", balanced: None };

    let loading = Instant::now();
    drop(tollgate::start_filled(binary, &home, &seed)?);
    let loaded_after = loading.elapsed();

    let tollgate = Tollgate::start(binary, &home)?;
    // Every key belongs to the one service's tenant; the last is as well known as the first.
    let last = load::request(keys - 1, 0);
    client::expect_ok(tollgate.server.address, last.as_bytes()).context("the last key does not work")?;
    let resident = usage::resident_bytes(tollgate.id())?;
    let added = add_keys(&tollgate)?;
    let peak = usage::peak_resident_bytes(tollgate.id())?;

    let megabytes = |bytes: u64| float(bytes) / 1e6;
    let rows = vec![
        vec!["applying the declarative file, s".to_owned(), format!("{:.1}", loaded_after.as_secs_f64())],
        vec!["start to ready, s".to_owned(), format!("{:.2}", tollgate.ready_after.as_secs_f64())],
        vec!["resident once ready, MiB".to_owned(), format!("{:.0}", mebibytes(float(resident)))],
        vec![
            "peak from start to after the additions, MiB".to_owned(),
            format!("{:.0}", mebibytes(float(peak))),
        ],
        vec![format!("adding one key ({ADDED} times), ms"), format!("{added:.1}")],
    ];
    let verdicts = vec![
        Verdict {
            target: format!("start to ready in less than {} s", TARGET_READY.as_secs()),
            measured: format!("{:.2} s", tollgate.ready_after.as_secs_f64()),
            outcome: Outcome::met_if(tollgate.ready_after < TARGET_READY),
        },
        Verdict {
            target: format!("less than {TARGET_MB:.0} MB, at the peak"),
            measured: format!("{:.0} MB", megabytes(peak)),
            outcome: Outcome::met_if(megabytes(peak) < TARGET_MB),
        },
        Verdict {
            target: format!("one key added in less than {TARGET_ADD_MILLIS:.0} ms, every time"),
            measured: format!("at most {:.1} ms", added.most),
            outcome: Outcome::met_if(added.most < TARGET_ADD_MILLIS),
        },
    ];
    let method = format!(
        "{keys} keys of one tenant in a declarative file, applied; then a new start on the same data. A key added over \
         the admin API must work at once; timed is the call until its answer.",
    );
    Ok(Section { title: "A million keys", method, columns: &["what", ""], rows, verdicts })
}

/// Milliseconds from asking for a key to the answer; each is then seen to work.
fn add_keys(tollgate: &Tollgate) -> Result<Spread> {
    let mut millis = Vec::new();
    for number in 0..ADDED {
        let started = Instant::now();
        let key = tollgate.add_key(number)?;
        millis.push(started.elapsed().as_secs_f64() * 1e3);
        let request = load::request_with(&key, 0);
        client::expect_ok(tollgate.server.address, request.as_bytes())
            .context("an added key does not work")?;
    }
    Spread::of(millis).context("no key was added")
}
