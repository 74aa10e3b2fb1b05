//! `tollgate users`

use std::path::Path;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};

use super::fields::{self, Fields, FieldsBuilder, Whole};
use super::resource::{PageFlags, Resource, ResourceVerb, Session};

#[derive(Subcommand)]
pub enum Verb {
    /// Create a user.
    Create {
        /// What the user signs in with.
        #[arg(long, required_unless_present = "file")]
        username: Option<String>,
        #[command(flatten)]
        password: Password,
        /// The one tenant that the user may see; a platform administrator has none.
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        #[command(flatten)]
        whole: Whole,
    },
    /// List users.
    List(PageFlags),
    /// Show a user.
    Get { username: String },
    /// Change a user. The password has to be given again; the sessions end.
    Update {
        username: String,
        #[command(flatten)]
        password: Password,
        /// The one tenant that the user may see; '' makes a platform administrator.
        #[arg(long, value_name = "SLUG")]
        tenant: Option<String>,
        #[command(flatten)]
        whole: Whole,
    },
    /// Delete a user.
    Delete { username: String },
}

#[derive(Args)]
pub struct Password {
    /// The password; other users of this machine may see it while the command runs.
    #[arg(long, conflicts_with = "password_stdin", required_unless_present_any = ["password_stdin", "file"])]
    password: Option<String>,
    /// Read the password from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl Password {
    fn read(self) -> Result<Option<String>> {
        if !self.password_stdin {
            ensure!(self.password.as_deref() != Some(""), "--password is empty");
            return Ok(self.password);
        }
        let text = fields::read(Path::new("-"))?;
        let password = text.trim_end_matches(['\r', '\n']);
        ensure!(!password.is_empty(), "there is no password on standard input, which --password-stdin reads");
        Ok(Some(password.to_owned()))
    }
}

impl ResourceVerb for Verb {
    const RESOURCE: &'static Resource = &Resource {
        path: "/api/users",
        columns: &["username", "tenant"],
        fields: &["username", "password", "tenant"],
    };

    fn run(self, session: &Session<'_>) -> Result<()> {
        match self {
            Self::Create { username, password, tenant, whole } => {
                session.create(whole.or(user(username, password, tenant)?)?)
            }
            Self::List(page) => session.list(page),
            Self::Get { username } => session.get(&username),
            Self::Update { username, password, tenant, whole } => {
                session.update(&username, whole.or(user(None, password, tenant)?)?)
            }
            Self::Delete { username } => session.delete(&username, "deleted"),
        }
    }
}

fn user(username: Option<String>, password: Password, tenant: Option<String>) -> Result<Fields> {
    let fields = FieldsBuilder::default().text("username", username).text("tenant", tenant);
    Ok(fields.value("password", password.read()?).build())
}
