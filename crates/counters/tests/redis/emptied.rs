//! A store that is emptied while it is asked: what a node knows to be used it does not let through again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tollgate_core::limit::{Demand, LevelLimits, Subject};
use tollgate_core::resource::{Counting, OnUnavailable};

use crate::node::{Node, demand, eventually_async, limit, monthly, now, plan, subject, undisturbed};
use crate::server::Redis;

const LIMIT: u64 = 200;

/// No request passes without the store.
fn of_algorithm(algorithm: &str, counting: Counting) -> LevelLimits {
    plan(&[limit(LIMIT, "720h", algorithm)], counting, OnUnavailable::Deny)
}

/// What is still let through, once what was granted and not used has come back.
async fn admitted_late(node: &Node, demand: &Demand<'_>) -> u64 {
    let (begun, mut admitted) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_millis(700) {
        admitted += node.admitted(demand, 20).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    admitted
}

/// How often a client asks, with how many requests each time.
#[derive(Clone, Copy)]
struct Pace {
    times: usize,
    requests: u64,
    pause_millis: u64,
}

/// Eight clients that ask for one subject, at the nodes in turn; each gives how many of its requests were let through.
fn clients<const N: usize>(
    nodes: &Arc<[Node; N]>,
    limits: &Arc<LevelLimits>,
    id: Subject,
    pace: Pace,
) -> JoinSet<u64> {
    let client = |number: usize| {
        let (nodes, limits) = (Arc::clone(nodes), Arc::clone(limits));
        async move {
            let mut admitted = 0;
            for _ in 0..pace.times {
                admitted += nodes[number % N].admitted(&demand(id, &limits), pace.requests).await;
                tokio::time::sleep(Duration::from_millis(pace.pause_millis)).await;
            }
            admitted
        }
    };
    (0..8).map(client).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_lets_through_what_was_left_and_no_more() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await];
    let algorithms = ["fixed_window", "token_bucket", "sliding_window", "sliding_log"];
    for (algorithm, before) in algorithms.into_iter().zip([200, 120, 1, 199]) {
        for counting in [Counting::Exact, Counting::Leased] {
            let limits = of_algorithm(algorithm, counting);
            let play = async |Subject(scene): Subject| {
                let id = format!("{scene}{algorithm}{counting:?}").into_bytes();
                let id = subject(id.iter().fold(0, |id, byte| (id << 3) ^ u128::from(*byte)));
                let demand = demand(id, &limits);
                assert_eq!(nodes[0].admitted(&demand, before).await, before);
                redis.run(&["FLUSHALL"]);
                // Nothing is left in the store: what it says is what this node has put back.
                let seen = nodes[0].remaining(&demand).await;
                (
                    seen,
                    before + nodes[0].admitted(&demand, 300).await + admitted_late(&nodes[0], &demand).await,
                )
            };
            let (_, (seen, all)) = undisturbed(&nodes, play).await;
            assert_eq!((seen, all), (LIMIT - before, LIMIT), "{algorithm} {counting:?}");
        }
    }
}

/// Whoever asks first is not told of: requests are on their way when the store is emptied, and slices too.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_so_in_the_middle_of_traffic_and_again() {
    let redis = Redis::start();
    let nodes = Arc::new([Node::start(redis.settings()).await]);
    for counting in [Counting::Exact, Counting::Leased] {
        let limits = Arc::new(monthly(2_000, counting));
        let play = async |Subject(scene): Subject| {
            let id = subject(scene.as_u128() << 8 | u128::from(counting == Counting::Leased));
            let running = clients(&nodes, &limits, id, Pace { times: 60, requests: 10, pause_millis: 10 });
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(130)).await;
                redis.run(&["FLUSHALL"]);
            }
            let admitted: u64 = running.join_all().await.into_iter().sum();
            admitted + admitted_late(&nodes[0], &demand(id, &limits)).await
        };
        let (_, admitted) = undisturbed(&nodes[..], play).await;
        assert!((1_950..=2_000).contains(&admitted), "{counting:?}: {admitted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_plan_of_the_subject_has_used_is_put_back_too() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await];
    let month = monthly(30, Counting::Exact);
    let hour = plan(&[limit(30, "hour", "token_bucket")], Counting::Exact, OnUnavailable::Deny);
    let play = async |subject| {
        let (month, hour) = (demand(subject, &month), demand(subject, &hour));
        let before = (nodes[0].admitted(&month, 40).await, nodes[0].admitted(&hour, 20).await);
        redis.run(&["FLUSHALL"]);
        (before, nodes[0].admitted(&hour, 40).await, nodes[0].admitted(&month, 40).await)
    };
    let (_, outcome) = undisturbed(&nodes, play).await;
    assert_eq!(outcome, ((30, 20), 10, 0));
}

/// A bucket that nobody misses anything of is forgotten as well, and has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_gave_back_is_not_taken_for_lost() {
    let redis = Redis::start();
    let nodes = [Node::start(redis.settings()).await, Node::start(redis.settings()).await];
    let limits = plan(&[limit(30, "720h", "token_bucket")], Counting::Exact, OnUnavailable::Deny);
    let play = async |subject| {
        let demand = demand(subject, &limits);
        let charged_at = now();
        assert!(nodes[0].decide(&[demand], 20, charged_at).await.verdict.is_admitted());
        let seen = nodes[1].remaining(&demand).await;
        let nothing =
            tollgate_core::limit::Settlement { charged: 20, charged_at: charged_at.wall, actual: 0 };
        nodes[0].counters.settle(&[demand], nothing, 0, now());
        eventually_async(async || nodes[0].remaining(&demand).await == 30).await;
        (seen, nodes[1].admitted(&demand, 40).await, nodes[0].remaining(&demand).await)
    };
    let (_, outcome) = undisturbed(&nodes, play).await;
    assert_eq!(outcome, (10, 30, 0));
}

/// What one is granted before it has noticed, and gives back, is not taken off what the other has put back.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_let_through_twice_only_what_passes_until_both_have_put_back_what_they_know() {
    let redis = Redis::start();
    let nodes = Arc::new([Node::start(redis.settings()).await, Node::start(redis.settings()).await]);
    for (number, counting) in [(1, Counting::Exact), (2, Counting::Leased), (3, Counting::Leased)] {
        let limits = Arc::new(monthly(600, counting));
        let play = async |Subject(scene): Subject| {
            let id = subject(scene.as_u128() << 8 | number);
            let running = clients(&nodes, &limits, id, Pace { times: 120, requests: 1, pause_millis: 8 });
            tokio::time::sleep(Duration::from_millis(430)).await;
            redis.run(&["FLUSHALL"]);
            let admitted: u64 = running.join_all().await.into_iter().sum();
            admitted + admitted_late(&nodes[0], &demand(id, &limits)).await
        };
        let (_, admitted) = undisturbed(&nodes[..], play).await;
        assert!((560..=630).contains(&admitted), "{counting:?}: {admitted}");
    }
}
