//! The data directory: for its owner alone, and for one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::Config;

const LOCK_FILE: &str = "tollgate.lock";
const DATABASE_FILE: &str = "tollgate.db";

/// Held for as long as this lives; the kernel gives it back however the process ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    database: PathBuf,
    _locks: Vec<File>,
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
}

impl DataDir {
    /// Creates what is missing, and takes the lock.
    pub fn open(config: &Config) -> Result<Self, DataDirError> {
        let path = config.data_dir.clone();
        let unusable = |source| DataDirError::Unusable { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(unusable)?;
        let mut locks = vec![lock(&path, &path.join(LOCK_FILE), unusable)?];
        let database = match &config.database_file {
            None => path.join(DATABASE_FILE),
            Some(file) => {
                // Another server's data directory may lie elsewhere, and its database be this one.
                let mut lock_file = file.clone().into_os_string();
                lock_file.push(".lock");
                let unusable = |source| DataDirError::Database { path: file.clone(), source };
                locks.push(lock(file, Path::new(&lock_file), unusable)?);
                file.clone()
            }
        };
        create_private(&database)?;
        Ok(Self { path, database, _locks: locks })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> &Path {
        &self.database
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
