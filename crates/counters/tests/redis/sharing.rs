//! Several nodes over one store: never over, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tollgate_core::limit::{LevelLimits, Subject};
use tollgate_core::resource::{Counting, OnUnavailable};

use crate::node::{Node, demand, limit, monthly, plan, subject, undisturbed};
use crate::server::Redis;

const NODES: usize = 4;

/// Nodes that all know of each other.
async fn nodes(redis: &Redis) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Node::start(redis.settings()).await);
    }
    nodes
}

/// So many requests at once to each of the nodes, each time until it is refused or has made its share of them.
async fn storm(
    nodes: &Arc<Vec<Node>>,
    subject: Subject,
    limits: &Arc<LevelLimits>,
    tasks: usize,
    requests: u64,
) -> u64 {
    let admitted = Arc::new(AtomicU64::new(0));
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (nodes, limits, admitted) = (Arc::clone(nodes), Arc::clone(limits), Arc::clone(&admitted));
            tokio::spawn(async move {
                let node = &nodes[task % nodes.len()];
                let got = node.admitted(&demand(subject, &limits), requests).await;
                admitted.fetch_add(got, Ordering::Relaxed);
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    admitted.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_limit_is_let_through_on_all_nodes_together() {
    let redis = Redis::start();
    let nodes = Arc::new(nodes(&redis).await);
    let limits = Arc::new(monthly(1_000, Counting::Exact));
    let (subject, admitted) =
        undisturbed(&nodes, async |subject| storm(&nodes, subject, &limits, 32, 40).await).await;
    assert_eq!(admitted, 1_000);
    assert_eq!(nodes[0].remaining(&demand(subject, &limits)).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_slices_never_more_is_let_through_and_in_the_end_all_of_it() {
    const LIMIT: u64 = 10_000;
    let redis = Redis::start();
    let nodes = Arc::new(nodes(&redis).await);
    // With `deny` a limit is never over, be the machine as slow as it may.
    let limit = limit(LIMIT, "month", "fixed_window");
    let limits = Arc::new(plan(&[limit], Counting::Leased, OnUnavailable::Deny));
    let mut admitted = storm(&nodes, subject(1), &limits, 16, 2_000).await;
    assert!(admitted <= LIMIT, "{admitted}");
    // Slices that nobody uses come back, whichever node has them.
    let begun = Instant::now();
    while admitted < LIMIT {
        assert!(begun.elapsed() < Duration::from_secs(20), "{admitted} were let through, and no more");
        tokio::time::sleep(Duration::from_millis(50)).await;
        admitted += nodes[0].admitted(&demand(subject(1), &limits), LIMIT).await;
    }
    assert_eq!(admitted, LIMIT);
    assert_eq!(storm(&nodes, subject(1), &limits, 16, 10).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn most_decisions_out_of_slices_do_not_ask_the_store() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let limits = monthly(1_000_000, Counting::Leased);
    assert_eq!(node.admitted(&demand(subject(1), &limits), 20_000).await, 20_000);
    let calls = redis.calls("evalsha");
    assert!(calls < 1_000, "the store was asked {calls} times");
}

/// In any stretch of time: what a full bucket holds, and what flows in meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn no_algorithm_lets_more_through_out_of_slices_than_it_says() {
    let redis = Redis::start();
    let nodes = Arc::new(nodes(&redis).await);
    for algorithm in ["token_bucket", "fixed_window", "sliding_window", "sliding_log"] {
        let limits = plan(&[limit(400, "1s", algorithm)], Counting::Leased, OnUnavailable::Deny);
        let (limits, own) =
            (Arc::new(limits), subject(algorithm.len() as u128 * 100 + u128::from(algorithm.as_bytes()[8])));
        let begun = Instant::now();
        let running: Vec<_> = (0..NODES)
            .map(|index| {
                let (nodes, limits) = (Arc::clone(&nodes), Arc::clone(&limits));
                tokio::spawn(async move {
                    let mut passed = Vec::new();
                    while begun.elapsed() < Duration::from_millis(2_500) {
                        // Workers have threads of their own; here they share with what asks the store.
                        tokio::task::yield_now().await;
                        let before = begun.elapsed();
                        if nodes[index].admits(&[demand(own, &limits)]).await {
                            passed.push((before, begun.elapsed()));
                        }
                    }
                    passed
                })
            })
            .collect();
        let mut passed = Vec::new();
        for task in running {
            passed.extend(task.await.unwrap());
        }
        passed.sort_unstable();
        assert!(passed.len() > 500, "{algorithm}: only {} were let through", passed.len());
        for (index, (start, _)) in passed.iter().enumerate() {
            // All that began and ended within a second from here.
            let within =
                passed[index..].iter().filter(|(_, end)| *end < *start + Duration::from_secs(1)).count();
            let most = if algorithm == "sliding_log" { 400 } else { 800 };
            assert!(within <= most, "{algorithm}: {within} within a second");
        }
        if algorithm == "token_bucket" {
            let seconds = begun.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "it is a small number")]
            let count = passed.len() as f64;
            assert!(count <= 400.0 + 400.0 * seconds, "{count} in {seconds} s");
        }
    }
}

#[test]
fn a_node_that_dies_takes_at_most_its_slices_with_it() {
    const LIMIT: u64 = 10_000;
    let redis = Redis::start();
    let limits = monthly(LIMIT, Counting::Leased);
    let demand = demand(subject(1), &limits);
    let (dying, living) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let node = dying.block_on(Node::start(redis.settings()));
    let other = living.block_on(Node::start(redis.settings()));
    let mut admitted = dying.block_on(node.admitted(&demand, 2_000));
    assert_eq!(admitted, 2_000);
    dying.shutdown_background();
    living.block_on(async {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            admitted += other.admitted(&demand, 1_000).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let stranded = LIMIT - admitted;
    println!("{stranded} of {LIMIT} went with the node");
    // A quarter of what was left at the most, as there are two nodes, and twice at the most.
    assert!(stranded <= LIMIT / 2, "{stranded}");
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_gives_its_slices_back() {
    let redis = Redis::start();
    let limits = monthly(10_000, Counting::Leased);
    let demand = demand(subject(1), &limits);
    let (first, second) = (Node::start(redis.settings()).await, Node::start(redis.settings()).await);
    assert_eq!(first.admitted(&demand, 500).await, 500);
    first.keeper.close().await;
    assert_eq!(second.remaining(&demand).await, 9_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_subjects_are_all_charged_or_none() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    for (counting, first) in [(Counting::Exact, 10), (Counting::Leased, 20)] {
        let (wide, narrow) = (monthly(100, counting), monthly(3, counting));
        let alone = plan(&[limit(100, "month", "fixed_window")], Counting::Local, OnUnavailable::Local);
        let demands = [
            demand(subject(first), &wide),
            demand(subject(first + 1), &alone),
            demand(subject(first + 2), &narrow),
        ];
        let mut admitted = 0;
        for _ in 0..20 {
            admitted += u64::from(node.admits(&demands).await);
        }
        assert_eq!(admitted, 3);
        let begun = Instant::now();
        // What was given back may still be on its way.
        while node.remaining(&demands[0]).await != 97 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{}", node.remaining(&demands[0]).await);
        }
        assert_eq!(node.remaining(&demands[1]).await, 97);
        assert_eq!(node.remaining(&demands[2]).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_limits_holds_for_slices_too() {
    let redis = Redis::start();
    let node = Node::start(redis.settings()).await;
    let (before, after) = (monthly(10_000, Counting::Leased), monthly(300, Counting::Leased));
    assert_eq!(node.admitted(&demand(subject(1), &before), 250).await, 250);
    let begun = Instant::now();
    let mut admitted = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        admitted += node.admitted(&demand(subject(1), &after), 100).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(admitted, 50);
}
