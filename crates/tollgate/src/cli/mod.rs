//! The command line: what can be typed, and who does it.

mod consumers;
mod dispatch;
mod events;
mod fields;
mod keys;
mod limit;
mod node_tokens;
mod nodes;
mod plans;
mod resource;
mod routes;
mod server;
mod services;
mod tenants;
mod users;
mod webhooks;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use dispatch::run;
pub use server::Server;

use crate::config::{self, Setting};
use crate::remote::ApiError;
use resource::{ResourceVerb, Session};

#[derive(Parser)]
#[command(name = "tollgate", version, about = "A multi-tenant API gateway.")]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Options {
    /// The configuration file; ./tollgate.toml where it exists.
    #[arg(long, global = true, value_name = "FILE", env = config::CONFIG)]
    pub config: Option<PathBuf>,
    /// Where data is kept; ./tollgate-data where nothing else is said.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Output for machines: JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve, with a demo upstream and demo data; prints what to try.
    Quickstart(QuickstartFlags),
    /// Run the control plane and the proxy.
    Serve(ServeFlags),
    /// Run the control plane alone; it feeds proxy nodes.
    Control(ControlFlags),
    /// Run a proxy node alone, fed by a control plane.
    Proxy(ProxyFlags),
    /// Tenants: organisations with services, plans, consumers and keys of their own.
    Tenants(Verbs<tenants::Verb>),
    /// Users of the control plane.
    Users(Verbs<users::Verb>),
    /// Services: upstreams behind a name.
    Services(TenantVerbs<services::Verb>),
    /// Routes: which requests go to which services, by host, path, method, header or query.
    Routes(TenantVerbs<routes::Verb>),
    /// Plans: sets of limits.
    Plans(TenantVerbs<plans::Verb>),
    /// Consumers: whom keys speak for.
    Consumers(TenantVerbs<consumers::Verb>),
    /// API keys.
    Keys(TenantVerbs<keys::Verb>),
    /// Where events are sent.
    Webhooks(TenantVerbs<webhooks::Verb>),
    /// What has happened: thresholds of limits that were reached.
    Events(TenantVerbs<events::Verb>),
    /// Tokens that proxy nodes present to the control plane.
    NodeTokens(Verbs<node_tokens::Verb>),
    /// Proxy nodes, and where they stand.
    Nodes(Verbs<nodes::Verb>),
    /// Declarative files: tenants, services, routes, plans, consumers, keys and users in YAML, TOML or JSON.
    Config(Verbs<ConfigVerb>),
    /// Put the demo data in: through the admin API, or into the data directory while no server runs.
    Seed(SeedFlags),
    /// Run the demo upstream alone.
    DemoUpstream(DemoFlags),
    /// Create the database, or bring its schema up to date.
    Migrate,
    /// Print the version.
    Version,
}

#[derive(Args)]
pub struct ServeFlags {
    /// Where clients connect (proxy.listen).
    #[arg(long, value_name = "ADDRESS")]
    proxy_listen: Option<String>,
    /// Where the admin API is (admin.listen).
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Threads of the proxy, or "auto" (proxy.workers).
    #[arg(long, value_name = "NUMBER")]
    workers: Option<String>,
}

#[derive(Args)]
pub struct ControlFlags {
    /// Where the admin API is, and where nodes are fed (admin.listen).
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
}

#[derive(Args)]
pub struct ProxyFlags {
    /// The control plane's admin API (control.url).
    #[arg(long, value_name = "URL")]
    control_url: Option<String>,
    /// The node token; better in the environment, since other users of this machine may see it here.
    #[arg(long, value_name = "TOKEN", env = config::NODE_TOKEN, hide_env_values = true)]
    pub node_token: Option<String>,
    /// Where clients connect (proxy.listen).
    #[arg(long, value_name = "ADDRESS")]
    proxy_listen: Option<String>,
    /// Threads of the proxy, or "auto" (proxy.workers).
    #[arg(long, value_name = "NUMBER")]
    workers: Option<String>,
}

#[derive(Args)]
pub struct QuickstartFlags {
    #[command(flatten)]
    serve: ServeFlags,
    /// Where the demo upstream is (demo.listen).
    #[arg(long, value_name = "ADDRESS")]
    demo_listen: Option<String>,
}

#[derive(Args)]
pub struct DemoFlags {
    /// Where to listen (demo.listen).
    #[arg(long, visible_alias = "listen", value_name = "ADDRESS")]
    demo_listen: Option<String>,
}

#[derive(Args)]
pub struct SeedFlags {
    #[command(flatten)]
    pub server: Server,
    /// The upstream of the demo service; where quickstart runs one if nothing else is said.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
}

#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Check a file without a server: every problem with its field.
    Validate { file: PathBuf },
    /// Create and update what the file names; all else stays. Fields that an entry leaves out get their defaults.
    Apply {
        file: PathBuf,
        /// Say what would change, and change nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Verbs of what belongs to no tenant.
#[derive(Args)]
pub struct Verbs<V: Subcommand> {
    #[command(flatten)]
    pub server: Server,
    #[command(subcommand)]
    pub verb: V,
}

/// Verbs of what belongs to a tenant.
#[derive(Args)]
pub struct TenantVerbs<V: Subcommand> {
    #[command(flatten)]
    server: Server,
    /// The tenant's slug; a tenant's own user may leave it out.
    #[arg(long, global = true, value_name = "SLUG", help_heading = "Server")]
    tenant: Option<String>,
    #[command(subcommand)]
    verb: V,
}

impl<V: ResourceVerb> Verbs<V> {
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let api = self.server.api()?;
        self.verb.run(&Session { api: &api, resource: V::RESOURCE, tenant: None, json: options.json })
    }
}

impl<V: ResourceVerb> TenantVerbs<V> {
    pub fn run(self, options: &Options) -> anyhow::Result<()> {
        let (api, tenant) = (self.server.api()?, self.tenant);
        let is_named = tenant.is_some();
        let outcome =
            self.verb.run(&Session { api: &api, resource: V::RESOURCE, tenant, json: options.json });
        outcome.map_err(|error| match error.downcast_ref::<ApiError>() {
            Some(refusal) if !is_named && refusal.is_about("tenant") => {
                anyhow::anyhow!("name the tenant: --tenant SLUG")
            }
            Some(_) | None => error,
        })
    }
}

/// Settings given as flags.
type Flags = Vec<(&'static Setting, String)>;

impl Options {
    fn flags(&self) -> Flags {
        given([(&config::DATA_DIR, self.data_dir.clone())])
    }
}

impl ServeFlags {
    fn flags(self, options: &Options) -> Flags {
        let own = given([
            (&config::PROXY_LISTEN, self.proxy_listen),
            (&config::ADMIN_LISTEN, self.admin_listen),
            (&config::PROXY_WORKERS, self.workers),
        ]);
        [options.flags(), own].concat()
    }
}

impl ControlFlags {
    fn flags(self, options: &Options) -> Flags {
        [options.flags(), given([(&config::ADMIN_LISTEN, self.admin_listen)])].concat()
    }
}

impl ProxyFlags {
    fn flags(self, options: &Options) -> Flags {
        let own = given([
            (&config::CONTROL_URL, self.control_url),
            (&config::PROXY_LISTEN, self.proxy_listen),
            (&config::PROXY_WORKERS, self.workers),
        ]);
        [options.flags(), own].concat()
    }
}

impl QuickstartFlags {
    fn flags(self, options: &Options) -> Flags {
        [self.serve.flags(options), given([(&config::DEMO_LISTEN, self.demo_listen)])].concat()
    }
}

impl DemoFlags {
    fn flags(self, options: &Options) -> Flags {
        [options.flags(), given([(&config::DEMO_LISTEN, self.demo_listen)])].concat()
    }
}

fn given<const N: usize>(flags: [(&'static Setting, Option<String>); N]) -> Flags {
    flags.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
}
