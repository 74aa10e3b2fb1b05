//! A cluster of three masters, each perhaps with a replica.

use super::ports::free_port;
use super::{Security, StoreProgram, StoreServer};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;
/// After so many milliseconds of silence, a replica takes its master's place.
const NODE_TIMEOUT: &str = "1000";

pub struct StoreCluster {
    pub masters: Vec<StoreServer>,
    /// One each, in their order; none where the cluster has none.
    pub replicas: Vec<StoreServer>,
    security: Security,
}

impl StoreCluster {
    #[track_caller]
    pub fn start(program: StoreProgram) -> Self {
        Self::start_with(program, Security::default(), 0)
    }

    #[track_caller]
    pub fn start_with_replicas(program: StoreProgram) -> Self {
        Self::start_with(program, Security::default(), MASTERS)
    }

    #[track_caller]
    fn start_with(program: StoreProgram, security: Security, replicas: usize) -> Self {
        let start = |_| {
            // By itself it would be the port plus 10,000, which nobody has asked for.
            let bus = free_port().to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            let timeouts = ["--cluster-node-timeout", NODE_TIMEOUT, "--cluster-replica-validity-factor", "0"];
            StoreServer::start_with(program, security.clone(), &[&options[..], &timeouts[..]].concat())
        };
        let masters: Vec<StoreServer> = (0..MASTERS).map(start).collect();
        let replicas: Vec<StoreServer> = (0..replicas).map(start).collect();
        let cluster = Self { masters, replicas, security };
        cluster.join();
        cluster
    }

    fn servers(&self) -> impl Iterator<Item = &StoreServer> {
        self.masters.iter().chain(&self.replicas)
    }

    #[track_caller]
    fn join(&self) {
        for (index, master) in self.masters.iter().enumerate() {
            let (first, end) = (SLOTS * index / MASTERS, SLOTS * (index + 1) / MASTERS);
            master.call(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            master.call(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()]);
        }
        for server in self.servers().skip(1) {
            let bus = bus_port(server);
            let first = &self.masters[0];
            first.call(&["CLUSTER", "MEET", "127.0.0.1", &server.port().to_string(), &bus]);
        }
        let all = format!("cluster_known_nodes:{}", self.servers().count());
        for server in self.servers() {
            server.await_answer(&["CLUSTER", "INFO"], |info| info.contains(&all));
        }
        for (replica, master) in self.replicas.iter().zip(&self.masters) {
            let id = master.call(&["CLUSTER", "MYID"]);
            replica.call(&["CLUSTER", "REPLICATE", &id]);
            replica.await_info("replication", "master_link_status:up");
        }
        for server in self.servers() {
            server.await_answer(&["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok"));
        }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> =
            self.masters.iter().map(|master| format!("127.0.0.1:{}", master.port())).collect();
        let credentials = self.security.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis+cluster://{credentials}{}", hosts.join(","))
    }
}

fn bus_port(server: &StoreServer) -> String {
    server.call(&["CONFIG", "GET", "cluster-port"]).lines().last().expect("a port").to_owned()
}
