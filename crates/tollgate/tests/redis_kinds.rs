//! Every kind of counter store: Valkey, a cluster, sentinels, TLS with a password, a Unix socket.

mod harness;

use std::sync::Arc;

use harness::{Certificate, Fleet, Security, Sentinels, StoreCluster, StoreProgram, StoreServer, eventually};

/// What may be let through twice where a replica takes the place of a master that had acknowledged more.
const MOST_LOST: usize = 200;

/// Four nodes let through a limit together, counted either way.
#[track_caller]
fn counts_together(environment: &[(&'static str, &str)]) -> Fleet {
    let fleet = Fleet::start_with(environment);
    for (counting, all) in [("exact", 2_000), ("leased", 4_000)] {
        let key = fleet.key(2_000, counting, "deny");
        let tally = fleet.load(&key, 2_500).finish();
        assert_eq!(tally.only(&[200, 429, 503]).lost, 0, "{tally:?}");
        fleet.use_up(&key, all);
    }
    fleet
}

#[test]
fn valkey_counts_as_redis_does() {
    let store = StoreServer::start(StoreProgram::Valkey);
    counts_together(&[("REDIS_URL", &store.url())]);
}

#[test]
fn a_cluster_counts_together() {
    for program in [StoreProgram::Redis, StoreProgram::Valkey] {
        let cluster = StoreCluster::start(program);
        let fleet = counts_together(&[("REDIS_URL", &cluster.url())]);
        // Its keys are spread over all of its servers: by chance, so that a few may all miss one.
        for number in 0..100 {
            let key = fleet.key(100 + number, "exact", "deny");
            fleet.ask(&key, 20).only(&[200, 503]);
            if number >= 12 && cluster.masters.iter().all(|master| master.call(&["DBSIZE"]) != "0") {
                break;
            }
        }
        for master in &cluster.masters {
            assert_ne!(master.call(&["DBSIZE"]), "0");
        }
    }
}

#[test]
fn a_cluster_that_is_away_is_logged_once_and_not_at_every_attempt_to_reach_it() {
    let mut cluster = StoreCluster::start(StoreProgram::Redis);
    let fleet = Fleet::start_with(&[("REDIS_URL", &cluster.url())]);
    let key = fleet.key(1_000, "exact", "allow");
    assert_eq!(fleet.ask(&key, 40).of(200), 40);
    for master in &mut cluster.masters {
        master.kill();
    }
    assert_eq!(fleet.ask(&key, 40).of(200), 40);
    for node in &fleet.nodes {
        node.await_store("down");
        let warnings = || -> Vec<String> {
            node.log().into_iter().filter(|line| line.contains(r#""level":"WARN""#)).collect()
        };
        eventually("the log says so", || !warnings().is_empty());
        assert_eq!(warnings().len(), 1, "{:?}", warnings());
    }
}

#[test]
fn a_server_over_tls_with_a_password_counts_together() {
    let certificate = Arc::new(Certificate::new(&["IP:127.0.0.1"]));
    let authority = certificate.certificate_file().display().to_string();
    for program in [StoreProgram::Redis, StoreProgram::Valkey] {
        let security = Security { password: Some("s3cret"), certificate: Some(Arc::clone(&certificate)) };
        let store = StoreServer::start_with(program, security, &[]);
        let fleet = counts_together(&[("REDIS_URL", &store.url()), ("TOLLGATE_REDIS__CA_FILE", &authority)]);
        for node in &fleet.nodes {
            assert!(node.log().iter().all(|line| !line.contains("s3cret")));
        }
    }
}

#[test]
fn a_server_at_a_unix_socket_and_in_another_database_counts_together() {
    let store = StoreServer::start(StoreProgram::Redis);
    let url = format!("redis+unix://{}?db=3", store.socket().display());
    counts_together(&[("REDIS_URL", &url)]);
    assert_eq!(store.call(&["DBSIZE"]), "0");
    assert!(store.call(&["INFO", "keyspace"]).contains("db3:keys="));
}

#[test]
fn sentinels_lead_to_the_master_that_takes_the_other_s_place() {
    for (program, password) in [(StoreProgram::Redis, Some("s3cret")), (StoreProgram::Valkey, None)] {
        let mut stores = Sentinels::start(program, password);
        let fleet = counts_together(&[("REDIS_URL", &stores.url())]);
        let before = fleet.admitted();
        let key = fleet.key(3_000, "exact", "local");
        assert_eq!(fleet.ask(&key, 1_000).of(200), 1_000);
        stores.master.kill();
        let tally = fleet.ask(&key, 500);
        assert_eq!(tally.only(&[200, 429]).lost, 0, "{tally:?}");
        stores.await_failover();
        for node in &fleet.nodes {
            node.await_store("up");
        }
        eventually("the limit is used up", || {
            (0..5).all(|_| fleet.ask(&key, 500).only(&[200, 429]).of(200) == 0)
        });
        let admitted = fleet.admitted() - before;
        eprintln!("{program:?}: {admitted} of 3000");
        assert!((3_000 - MOST_LOST..=3_000 + MOST_LOST).contains(&admitted), "{admitted}");
    }
}

#[test]
fn long_replicas_of_a_cluster_take_their_masters_places() {
    for program in [StoreProgram::Redis, StoreProgram::Valkey] {
        let mut cluster = StoreCluster::start_with_replicas(program);
        let fleet = counts_together(&[("REDIS_URL", &cluster.url())]);
        let before = fleet.admitted();
        let keys: Vec<String> = (0..6).map(|number| fleet.key(600 + number, "exact", "local")).collect();
        for key in &keys {
            assert_eq!(fleet.ask(key, 300).of(200), 300);
        }
        cluster.masters[0].kill();
        for key in &keys {
            fleet.ask(key, 20).only(&[200, 429]);
        }
        cluster.replicas[0].await_info("replication", "role:master");
        for node in &fleet.nodes {
            node.await_store("up");
        }
        for key in &keys {
            eventually("the limit is used up", || {
                (0..3).all(|_| fleet.ask(key, 300).only(&[200, 429]).of(200) == 0)
            });
        }
        let (admitted, limit) = (fleet.admitted() - before, (600..606).sum::<usize>());
        eprintln!("{program:?}: {admitted} of {limit}");
        assert!((limit - MOST_LOST..=limit + MOST_LOST).contains(&admitted), "{admitted} of {limit}");
    }
}
