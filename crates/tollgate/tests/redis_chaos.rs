//! What four gateway processes let through, all together, while one of them or their store is killed or frozen.

mod harness;

use harness::{Fleet, Load, StoreProgram, StoreServer, Tally, eventually};

/// What a node that is killed may hold of a leased limit: nobody has it until the period ends.
const MOST_STRANDED: usize = 1_250;

fn started(program: StoreProgram) -> (StoreServer, Fleet) {
    let store = StoreServer::start(program);
    let fleet = Fleet::start(&store.url());
    (store, fleet)
}

fn await_store(fleet: &Fleet, state: &str) {
    for node in &fleet.nodes {
        node.await_store(state);
    }
}

/// Asks until nothing is let through any more; gives how many came through in all.
#[track_caller]
fn use_up(fleet: &Fleet, key: &str) -> usize {
    let mut quiet = 0;
    eventually("the limit is used up", || {
        // What idle nodes hold comes back within a while: refused once does not mean refused for good.
        quiet = if fleet.ask(key, 200).only(&[200, 429]).of(200) == 0 { quiet + 1 } else { 0 };
        quiet == 20
    });
    fleet.admitted()
}

/// Kills a node amid the load, starts another in its place, and lets the load end.
#[track_caller]
fn kill_a_node(fleet: &mut Fleet, load: Load) -> Tally {
    load.await_more(2_000);
    let stopped = fleet.nodes.remove(1).end("KILL");
    load.await_more(2_000);
    fleet.nodes.push(stopped.start());
    let tally = load.finish();
    eprintln!("{tally:?}");
    tally
}

#[test]
fn a_gateway_that_is_killed_takes_nothing_with_it_but_what_was_under_way() {
    let (_store, mut fleet) = started(StoreProgram::Redis);
    let key = fleet.key(10_000, "exact", "local");
    let load = fleet.load(&key, 12_000);
    let tally = kill_a_node(&mut fleet, load);
    let admitted = use_up(&fleet, &key);
    // Its clients' requests were charged, and perhaps not answered.
    assert!(admitted <= 10_000 && admitted + tally.lost >= 10_000, "{admitted}, {tally:?}");
}

#[test]
fn a_gateway_that_is_killed_takes_its_slice_with_it_and_no_more() {
    let (_store, mut fleet) = started(StoreProgram::Redis);
    let key = fleet.key(10_000, "leased", "local");
    let load = fleet.load(&key, 12_000);
    let tally = kill_a_node(&mut fleet, load);
    let admitted = use_up(&fleet, &key);
    eprintln!("{admitted} of 10000, {} lost", tally.lost);
    assert!(admitted <= 10_000, "{admitted}");
    assert!(admitted + tally.lost + MOST_STRANDED >= 10_000, "{admitted}, {tally:?}");
}

/// Freezes the store amid the load, then kills it and starts it again; gives how many came through in all.
#[track_caller]
fn freeze_and_kill(
    store: &mut StoreServer,
    fleet: &Fleet,
    key: &str,
    restart: fn(&mut StoreServer),
) -> usize {
    let load = fleet.load(key, 12_000);
    load.await_more(1_500);
    store.freeze();
    load.await_more(1_000);
    await_store(fleet, "down");
    store.thaw();
    await_store(fleet, "up");
    load.await_more(1_000);
    store.kill();
    load.await_more(1_000);
    await_store(fleet, "down");
    restart(store);
    await_store(fleet, "up");
    let tally = load.finish();
    eprintln!("{tally:?}");
    assert_eq!(tally.only(&[200, 429]).lost, 0);
    use_up(fleet, key)
}

#[test]
fn exact_comes_to_the_limit_although_its_store_was_frozen_and_killed() {
    let (mut store, fleet) = started(StoreProgram::Redis);
    let key = fleet.key(10_000, "exact", "local");
    let admitted = freeze_and_kill(&mut store, &fleet, &key, StoreServer::restart);
    // What the store was asked and could not answer may have been charged for nothing.
    eprintln!("{admitted} of 10000");
    assert!((10_000 - MOST_STRANDED..=10_000).contains(&admitted), "{admitted}");
}

#[test]
fn leased_never_lets_through_more_although_its_store_was_frozen_and_killed() {
    let (mut store, fleet) = started(StoreProgram::Redis);
    let key = fleet.key(10_000, "leased", "local");
    let admitted = freeze_and_kill(&mut store, &fleet, &key, StoreServer::restart);
    eprintln!("{admitted} of 10000");
    assert!((10_000 - MOST_STRANDED..=10_000).contains(&admitted), "{admitted}");
}

#[test]
fn nodes_put_back_what_they_know_into_a_store_that_comes_back_empty() {
    for counting in ["exact", "leased"] {
        let (mut store, fleet) = started(StoreProgram::Redis);
        let key = fleet.key(10_000, counting, "local");
        let admitted = freeze_and_kill(&mut store, &fleet, &key, StoreServer::restart_empty);
        eprintln!("{counting}: {admitted} of 10000");
        assert!((10_000 - MOST_STRANDED..=10_000).contains(&admitted), "{counting}: {admitted}");
    }
}

#[test]
fn a_store_that_is_emptied_without_a_word_is_noticed() {
    let (store, fleet) = started(StoreProgram::Redis);
    let key = fleet.key(2_000, "exact", "local");
    assert_eq!(fleet.ask(&key, 1_000).of(200), 1_000);
    store.call(&["FLUSHALL"]);
    // It is asked every now and then whether it is the one that it was. What is let through until then is counted anew.
    eventually("what nodes know is put back", || fleet.usage(&fleet.nodes[0], &key) >= Some(950));
    let admitted = use_up(&fleet, &key);
    eprintln!("{admitted} of 2000");
    assert!((1_900..=2_000).contains(&admitted), "{admitted}");
}

#[test]
fn long_everything_happens_in_one_run() {
    for program in [StoreProgram::Redis, StoreProgram::Valkey] {
        for counting in ["exact", "leased"] {
            let (mut store, mut fleet) = started(program);
            let key = fleet.key(30_000, counting, "local");
            let load = fleet.load(&key, 60_000);
            let mut lost = 0;
            for round in 0..3 {
                load.await_more(3_000);
                store.freeze();
                load.await_more(1_000);
                store.thaw();
                load.await_more(2_000);
                let stopped = fleet.nodes.remove(round).end("KILL");
                load.await_more(1_000);
                store.kill();
                load.await_more(1_000);
                store.restart();
                fleet.nodes.push(stopped.start());
                await_store(&fleet, "up");
            }
            let tally = load.finish();
            lost += tally.lost;
            let admitted = use_up(&fleet, &key);
            eprintln!(
                "{program:?} {counting}: {admitted} of 30000, {lost} lost, slowest {:?}",
                tally.slowest
            );
            assert!(admitted <= 30_000, "{program:?} {counting}: {admitted}");
            assert!(admitted + lost + 3 * MOST_STRANDED >= 30_000, "{program:?} {counting}: {admitted}");
        }
    }
}
