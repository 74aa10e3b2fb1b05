//! From what was typed to who does it.

use anyhow::{Context, Result};
use serde_json::json;
use tollgate_store::Store;

use super::{Command, ConfigVerb, DemoFlags, Flags, Options};
use crate::config::{self, Config, Sources};
use crate::declarative::{self, DryRun};
use crate::serve::{self, DataDir, DatabaseFile, LogFormat, Signals};
use crate::{demo, output, quickstart};

pub fn run(command: Command, options: &Options) -> Result<()> {
    match command {
        Command::Quickstart(flags) => {
            quickstart::run(&options.load(flags.flags(options))?, options.log_format())
        }
        Command::Serve(flags) => serve::run(&options.load(flags.flags(options))?, options.log_format()),
        Command::Control(flags) => {
            serve::run_control(&options.load(flags.flags(options))?, options.log_format())
        }
        Command::Proxy(flags) => {
            let token = flags.node_token.clone();
            serve::run_node(&options.load(flags.flags(options))?, token.as_deref(), options.log_format())
        }
        Command::Tenants(verbs) => verbs.run(options),
        Command::Users(verbs) => verbs.run(options),
        Command::Services(verbs) => verbs.run(options),
        Command::Routes(verbs) => verbs.run(options),
        Command::Plans(verbs) => verbs.run(options),
        Command::Consumers(verbs) => verbs.run(options),
        Command::Keys(verbs) => verbs.run(options),
        Command::Webhooks(verbs) => verbs.run(options),
        Command::Events(verbs) => verbs.run(options),
        Command::NodeTokens(verbs) => verbs.run(options),
        Command::Nodes(verbs) => verbs.run(options),
        Command::Config(verbs) => match verbs.verb {
            ConfigVerb::Validate { file } => declarative::validate(&file, options.json),
            ConfigVerb::Apply { file, dry_run } => {
                let dry_run = if dry_run { DryRun::Yes } else { DryRun::No };
                declarative::apply(&verbs.server.api()?, &file, dry_run, options.json)
            }
        },
        Command::Seed(flags) => quickstart::seed(&flags, &options.load(options.flags())?, options.json),
        Command::DemoUpstream(flags) => run_demo(flags, options),
        Command::Migrate => migrate(&options.load(options.flags())?, options.json),
        Command::Version => version(options.json),
    }
}

impl Options {
    fn load(&self, flags: Flags) -> Result<Config> {
        Ok(Sources::of_process(self.config.clone(), flags).load()?)
    }

    fn log_format(&self) -> LogFormat {
        if self.json { LogFormat::Json } else { LogFormat::suiting_stderr() }
    }
}

fn run_demo(flags: DemoFlags, options: &Options) -> Result<()> {
    let config = options.load(flags.flags(options))?;
    let _log = serve::start_logging(&config, options.log_format());
    serve::block_on(async {
        let mut signals = Signals::listen().context("signals cannot be listened for")?;
        let listener = serve::bind(&config::DEMO_LISTEN, config.demo_listen).await?;
        let address = listener.local_addr().context("the demo upstream's address is not known")?;
        output::announce(&format!("demo upstream listening on http://{address}"));
        tokio::select! {
            outcome = demo::serve(listener, std::future::pending()) => {
                outcome.context("the demo upstream failed")
            }
            () = signals.end() => Ok(()),
        }
    })
}

fn migrate(config: &Config, as_json: bool) -> Result<()> {
    serve::block_on(async {
        let data_dir = DataDir::open(config)?;
        let database = DatabaseFile::open(&data_dir, config)?;
        // Opening the database brings its schema up to date.
        Store::open(database.path()).await?.close().await;
        let database = database.path().display().to_string();
        if as_json {
            output::line(&json!({ "database": database }).to_string())?;
        } else {
            output::line(&format!("{database} is up to date"))?;
        }
        Ok(())
    })
}

fn version(as_json: bool) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    if as_json {
        output::line(&json!({ "version": version }).to_string())?;
    } else {
        output::line(&format!("tollgate {version}"))?;
    }
    Ok(())
}
