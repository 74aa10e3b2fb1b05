//! The data directory: for its owner alone, and for one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tollgate_admin::{NoRandomness, SealingSecret};
use tollgate_node::Coming;

use crate::config::Config;

const SECRET_BYTES: usize = SealingSecret::BYTES;
const LOCK_FILE: &str = "tollgate.lock";
const DATABASE_FILE: &str = "tollgate.db";
const SECRET_FILE: &str = "tollgate.secret";

/// Held for as long as this lives; the kernel gives it back however the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The database's file, which may lie elsewhere; held in the same way.
#[derive(Debug)]
pub struct DatabaseFile {
    path: PathBuf,
    age: Age,
    _lock: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    New,
    Old,
}

#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("the data directory {path} cannot be used (data_dir, --data-dir): {source}", path = .path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error(
        "{path} is in use by another tollgate{holder}: stop that one, or use another (data_dir, --data-dir, database_url)",
        path = .path.display()
    )]
    InUse {
        path: PathBuf,
        /// ` (process 42)`, where it is known.
        holder: String,
    },
    #[error("the database file {path} cannot be created: {source}", path = .path.display())]
    Database { path: PathBuf, source: io::Error },
    #[error("the secret file {path} cannot be used: {source}", path = .path.display())]
    Secret { path: PathBuf, source: io::Error },
    #[error(
        "the secret file {path} is damaged: it has {bytes} bytes and not {SECRET_BYTES}; restore it, or delete it to have a new one made, which ends all tokens",
        path = .path.display()
    )]
    DamagedSecret { path: PathBuf, bytes: usize },
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl DataDir {
    /// Creates it where it is missing, and takes the lock.
    pub fn open(config: &Config) -> Result<Self, DataDirError> {
        let path = config.data_dir.clone();
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(unusable)?;
        let lock = lock(&path, &path.join(LOCK_FILE), unusable)?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says so where the database is new and the secret is not: who has lost one of two files would else see that everything is
    /// gone, and not why.
    pub fn warn_of_lost_database(&self, database: &DatabaseFile) {
        let secret = self.path.join(SECRET_FILE);
        if database.age == Age::New && secret.exists() {
            tracing::warn!(
                database = %database.path.display(),
                secret = %secret.display(),
                "the database is new, but its secret file is of an earlier one: tenants, keys, users, counts and the admin token of \
                 before are not there. If they should be, stop, put the database's file back, and start again; else nothing has \
                 to be done"
            );
        }
    }

    /// What seals the private keys in the database, made at the first start. It stays here even where the
    /// database is elsewhere: apart from each other, neither is of use.
    pub fn sealing_secret(&self) -> Result<SealingSecret, DataDirError> {
        let path = self.path.join(SECRET_FILE);
        let unusable = |source| DataDirError::Secret { path: path.clone(), source };
        match std::fs::read(&path) {
            Ok(bytes) => match <[u8; SECRET_BYTES]>::try_from(bytes) {
                Ok(bytes) => Ok(SealingSecret::from_bytes(bytes)),
                Err(bytes) => Err(DataDirError::DamagedSecret { path, bytes: bytes.len() }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = SealingSecret::generate()?;
                write_private(&path, secret.as_bytes()).map_err(unusable)?;
                Ok(secret)
            }
            Err(error) => Err(unusable(error)),
        }
    }
}

impl DatabaseFile {
    /// Creates it where it is missing.
    pub fn open(data_dir: &DataDir, config: &Config) -> Result<Self, DataDirError> {
        let path = config.database_file.clone().unwrap_or_else(|| data_dir.path.join(DATABASE_FILE));
        let unusable = |source| DataDirError::Database { path: path.clone(), source };
        create_private(&path)?;
        let bytes = path.metadata().map_err(unusable)?.len();
        // Another server's data directory may lie elsewhere, and its database be this one, by whatever path.
        let mut lock_file = path.canonicalize().map_err(unusable)?.into_os_string();
        lock_file.push(".lock");
        let lock = lock(&path, Path::new(&lock_file), unusable)?;
        let age = if bytes == 0 { Age::New } else { Age::Old };
        Ok(Self { path, age, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn lock(
    what: &Path,
    lock_file: &Path,
    unusable: impl Fn(io::Error) -> DataDirError,
) -> Result<File, DataDirError> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(lock_file)
        .map_err(&unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(unusable(source)),
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse { path: what.to_owned(), holder: holder(file) });
        }
    }
    // Who holds it, for the message that the next one gets.
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(unusable)?;
    Ok(file)
}

/// Whole or not at all, for its owner alone.
fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let (coming, mut file) = Coming::begin(path)?;
    file.write_all(contents)?;
    file.sync_all()?;
    coming.take_place()?.make_name_last()
}

fn holder(mut file: File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if text.parse::<u32>().is_ok() => format!(" (process {text})"),
        Ok(_) | Err(_) => String::new(),
    }
}

/// The files that `SQLite` puts beside the database have its permissions.
fn create_private(database: &Path) -> Result<(), DataDirError> {
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(database) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(DataDirError::Database { path: database.to_owned(), source }),
    }
}
