//! Which nodes are alive, and which life of which store answers.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use tollgate_core::limit::Share;
use tollgate_core::time::UnixMicros;
use tollgate_core::uptime::micros;

const SCRIPT: &str = include_str!("script/members.lua");
const MEMBERS_KEY: &str = "tg:{nodes}:members";
const MARKER_KEY: &str = "tg:{nodes}:marker";
/// A node that was not heard of for so long is not counted among those that share.
const MEMBER_MILLIS: u64 = 10_000;
/// The marker outlives whatever is counted.
const MARKER_MILLIS: u64 = 40 * 86_400_000;

/// What the store says to a node that tells it that it is alive.
pub struct Beat {
    pub now: UnixMicros,
    /// Since when, in microseconds, the store has lost nothing. The same for all nodes, and later with each loss.
    pub incarnation: u64,
    members: Vec<String>,
}

/// What a process calls itself, for as long as it lives.
pub fn node_name() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Whether it is one that [`node_name`] gives: whatever else stands among the members is no node.
fn is_node_name(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What the store was when it was there last.
pub struct Seen {
    /// The lives of its servers.
    pub servers: Vec<String>,
    pub at: UnixMicros,
    /// The same by this node's clock.
    pub heard: Instant,
    pub incarnation: u64,
}

impl Seen {
    /// When it was seen, as the store's clock tells it that is at `now`, so long after. Where that was ahead and was put right since,
    /// it is another time than it said then: nothing that comes soon would be later.
    pub fn at_by_clock_of(&self, now: UnixMicros, after: Duration) -> UnixMicros {
        if now >= self.at {
            return self.at;
        }
        UnixMicros(now.0.saturating_sub(micros(after)))
    }
}

/// Said to these servers.
pub fn alive(name: &str, servers: &[String], seen: Option<&Seen>) -> Cmd {
    let others_since = seen.filter(|seen| seen.servers != servers).map_or(0, |seen| seen.at.0);
    let (at, incarnation) = seen.map_or((0, 0), |seen| (seen.at.0, seen.incarnation));
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(SCRIPT).arg(2).arg(MEMBERS_KEY).arg(MARKER_KEY);
    cmd.arg(name).arg(MEMBER_MILLIS).arg(MARKER_MILLIS);
    cmd.arg(others_since).arg(at).arg(incarnation);
    cmd
}

pub fn leaves(name: &str) -> Cmd {
    let mut cmd = redis::cmd("ZREM");
    cmd.arg(MEMBERS_KEY).arg(name);
    cmd
}

impl Beat {
    pub fn parse(answer: Value) -> Option<Self> {
        let Value::Array(parts) = answer else { return None };
        let [Value::Int(now), Value::Int(incarnation), Value::Array(members)] =
            <[Value; 3]>::try_from(parts).ok()?
        else {
            return None;
        };
        let members = members.into_iter().filter_map(first_text).filter(|name| is_node_name(name)).collect();
        let (now, incarnation) = (u64::try_from(now).ok()?, u64::try_from(incarnation).ok()?);
        Some(Self { now: UnixMicros(now), incarnation, members })
    }

    /// Members come in the order of when they were heard; ranks go by names, so that all nodes see the same.
    pub fn share(&self, own: &str) -> Option<Share> {
        let nodes = NonZeroU32::new(u32::try_from(self.members.len()).ok()?)?;
        let rank = self.members.iter().filter(|member| member.as_str() < own).count();
        Some(Share::new(nodes, u32::try_from(rank).ok()?))
    }
}

/// Which lives of which servers these are: a server that starts again has another.
pub fn run_ids(value: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    collect_run_ids(value, &mut ids);
    ids.sort_unstable();
    ids
}

fn collect_run_ids(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_run_ids(value, ids)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| collect_run_ids(value, ids)),
        other => {
            let text = first_text(other.clone()).unwrap_or_default();
            ids.extend(
                text.lines().filter_map(|line| line.strip_prefix("run_id:")).map(|id| id.trim().to_owned()),
            );
        }
    }
}

/// The text of a reply; of one from several servers, any one's.
pub fn first_text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        Value::Array(values) => first_text(values.into_iter().next()?),
        Value::Map(pairs) => first_text(pairs.into_iter().next()?.1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_clock_was_ahead_was_seen_before_it_is_seen_again() {
        let seen =
            |at| Seen { servers: Vec::new(), at: UnixMicros(at), heard: Instant::now(), incarnation: 1 };
        let now = UnixMicros(5_000_000);
        let at = |seen: Seen| seen.at_by_clock_of(now, Duration::from_millis(250)).0;
        assert_eq!([at(seen(4_740_000)), at(seen(5_000_000))], [4_740_000, 5_000_000]);
        assert_eq!([at(seen(5_000_001)), at(seen(9_000_000))], [4_750_000; 2]);
    }
}
