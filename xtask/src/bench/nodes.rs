//! Two proxy nodes beside a control plane with a million keys: the first sync, a change, coming back after having been
//! away.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::report::{Outcome, Section, Verdict};
use super::stats::{Spread, float, mebibytes};
use super::tollgate::{self, Home, Node, Seed, Standing, Tollgate};
use super::{Bench, client, load, nginx, usage};

const CHANGES: usize = 200;
/// While a node is away.
const MISSED: u64 = 100;
/// Between two looks whether a change is in force.
const POLL: Duration = Duration::from_micros(500);
const PATIENCE: Duration = Duration::from_secs(30);

const TARGET_SYNC: Duration = Duration::from_secs(10);
const TARGET_P99_MILLIS: f64 = 200.0;
const TARGET_CPU_MILLIS: f64 = 50.0;

pub fn measure(bench: &Bench) -> Result<Section> {
    let binary = bench.tollgate_binary()?;
    let upstream = nginx::upstream(&bench.directory("nodes-upstream")?)?;
    let home = Home::new(bench.directory("nodes-control")?)?;
    let keys = bench.size.many_keys;
    let seed = Seed { services: 1, keys, upstream: upstream.address, counting: "leased", balanced: None };
    drop(tollgate::start_filled(binary, &home, &seed)?);
    let control = Tollgate::start(binary, &home)?;

    let homes = [Home::new(bench.directory("node-1")?)?, Home::new(bench.directory("node-2")?)?];
    let tokens = [control.node_token("node-1")?, control.node_token("node-2")?];
    let first = Node::start(binary, &homes[0], &control, &tokens[0])?;
    let last_key = load::request(keys - 1, 0);
    client::expect_ok(first.server.address, last_key.as_bytes()).context("the last key does not work")?;
    let resident = usage::resident_bytes(first.server.process.id())?;
    let second = Node::start(binary, &homes[1], &control, &tokens[1])?;

    let addresses = [first.server.address, second.server.address];
    let before = usage::cpu_time(first.server.process.id())?;
    let mut millis = Vec::new();
    for number in 0..CHANGES {
        millis.push(change(&control, number, addresses)?);
    }
    let cpu = usage::cpu_time(first.server.process.id())?.since(before).whole();
    let cpu_millis = cpu.as_secs_f64() * 1e3 / float(u64::try_from(CHANGES)?);
    let p99 = percentile_99(&millis).context("nothing was changed")?;
    let spread = Spread::of(millis).context("nothing was changed")?;

    drop(first);
    for number in 0..MISSED {
        control.add_key(CHANGES + usize::try_from(number)?)?;
    }
    // The control plane is started again as well: what was missed is not in its memory any more.
    drop(control);
    let control = Tollgate::start(binary, &home)?;
    let restarted = Node::start(binary, &homes[0], &control, &tokens[0])?;
    let reconnect = reconnected(&control, "node-1")?;
    let is_what_changed = reconnect.full_syncs == 0 && reconnect.changes == MISSED;
    let sync = second.ready_after;
    let rows = vec![
        vec!["first sync, from exec to ready, s".to_owned(), format!("{:.2}", sync.as_secs_f64())],
        vec!["resident once ready, MiB".to_owned(), format!("{:.0}", mebibytes(float(resident)))],
        vec![
            "start from disk, from exec to ready, s".to_owned(),
            format!("{:.2}", restarted.ready_after.as_secs_f64()),
        ],
        vec![
            format!("a key from its answer to both nodes ({CHANGES} times), ms"),
            format!("{spread:.2}; p99 {p99:.2}"),
        ],
        vec![
            "CPU of a node for one change and the requests that ask for it, ms".to_owned(),
            format!("{cpu_millis:.2}"),
        ],
    ];
    let verdicts = vec![
        Verdict {
            target: format!("first sync in less than {} s", TARGET_SYNC.as_secs()),
            measured: format!("{:.2} s", sync.as_secs_f64()),
            outcome: Outcome::met_if(sync < TARGET_SYNC),
        },
        Verdict {
            target: format!("a change on both nodes in less than {TARGET_P99_MILLIS:.0} ms, p99"),
            measured: format!("{p99:.2} ms"),
            outcome: Outcome::met_if(p99 < TARGET_P99_MILLIS),
        },
        Verdict {
            target: format!("one change costs a node less than {TARGET_CPU_MILLIS:.0} ms of CPU"),
            measured: format!("{cpu_millis:.2} ms"),
            outcome: Outcome::met_if(cpu_millis < TARGET_CPU_MILLIS),
        },
        Verdict {
            target: format!(
                "a node that missed {MISSED} changes, and a restart of the control plane, is sent those alone"
            ),
            measured: format!("{} changes, everything {} times", reconnect.changes, reconnect.full_syncs),
            outcome: Outcome::met_if(is_what_changed),
        },
    ];
    let method = format!(
        "{keys} keys of one tenant in a control plane, two proxy nodes beside it on the same machine. The sync is the \
         second node's, while the first is idle. A key is added over the admin API; timed is from its answer until a \
         request with it passes both nodes. At last a node is stopped, misses {MISSED} keys, and is started again, after the \
         control plane was.",
    );
    Ok(Section { title: "Proxy nodes", method, columns: &["what", ""], rows, verdicts })
}

/// Where the node stands once it has caught up.
fn reconnected(control: &Tollgate, token: &str) -> Result<Standing> {
    let begun = Instant::now();
    loop {
        match control.standing(token)? {
            // A node that was sent nothing yet has reported nothing yet.
            Some(standing) if standing.lag == 0 && standing.full_syncs + standing.changes > 0 => {
                return Ok(standing);
            }
            Some(_) | None if begun.elapsed() > PATIENCE => bail!("a node does not catch up"),
            Some(_) | None => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Milliseconds from the answer until the key works on every node.
fn change(control: &Tollgate, number: usize, nodes: [SocketAddr; 2]) -> Result<f64> {
    let key = control.add_key(number)?;
    let answered = Instant::now();
    let request = load::request_with(&key, 0);
    for node in nodes {
        while client::expect_ok(node, request.as_bytes()).is_err() {
            if answered.elapsed() > PATIENCE {
                bail!("a key does not come into force");
            }
            thread::sleep(POLL);
        }
    }
    Ok(answered.elapsed().as_secs_f64() * 1e3)
}

fn percentile_99(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * 99).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::percentile_99;

    #[test]
    fn of_two_hundred_values_two_are_above() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile_99(&values), Some(198.0));
        assert_eq!(percentile_99(&[]), None);
    }
}
