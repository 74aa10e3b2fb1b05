//! Key sets on disk: an issuer that is away during a restart opens what it opened before. A file for each place, named by
//! the hash of its address, which may hold what is nobody's business: seconds since the epoch at which the keys were
//! fetched, a line end, and what the issuer answered.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tollgate_core::snapshot::KeySource;
use tollgate_core::token::KeySet;

use super::held::STALE;

const ENDING: &str = "jwks";
/// Of a file that is being written.
const ENDING_COMING: &str = "coming";

/// The files' directory; `None` where nothing is kept.
pub(super) struct KeptKeySets(Option<Arc<Path>>);

/// What was kept, and how old it is.
pub(super) struct Kept {
    pub keys: KeySet,
    pub age: Duration,
}

impl KeptKeySets {
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self(directory.map(Into::into))
    }

    /// `None` too where the keys are too old to be used. What does not read is logged, and not there.
    pub async fn load(&self, source: &KeySource) -> Option<Kept> {
        let file = self.0.as_ref()?.join(file_name(source));
        let (path, now) = (file.clone(), SystemTime::now());
        match spawn_blocking(move || read(&path, now)).await.ok()? {
            Ok(kept) => kept,
            Err(error) => {
                let file = file.display();
                tracing::warn!(%error, %file, jwks_url = %source, "the kept keys of an issuer cannot be read");
                None
            }
        }
    }

    /// A failure is logged: the keys are there until the next restart all the same.
    pub async fn save(&self, source: &KeySource, answer: Vec<u8>) {
        let Some(directory) = self.0.clone() else { return };
        let (name, now) = (file_name(source), SystemTime::now());
        let saved = spawn_blocking(move || {
            fs::create_dir_all(&directory)?;
            write(&directory.join(name), &answer, now)?;
            remove_old(&directory, now)
        });
        if let Ok(Err(error)) = saved.await {
            tracing::warn!(%error, jwks_url = %source, "the keys of an issuer cannot be kept for a restart");
        }
    }
}

fn file_name(source: &KeySource) -> String {
    let KeySource { endpoint, authority, target } = source;
    let address = format!("{}://{authority}{target}", endpoint.scheme.as_str());
    let mut name = String::new();
    for byte in Sha256::digest(address) {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name + "." + ENDING
}

fn read(file: &Path, now: SystemTime) -> io::Result<Option<Kept>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (fetched_at, keys) = parse(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it holds no time and key set"))?;
    // A clock that was set back since makes them new.
    let age = now.duration_since(fetched_at).unwrap_or_default();
    Ok((age < STALE).then_some(Kept { keys, age }))
}

fn parse(text: &str) -> Option<(SystemTime, KeySet)> {
    let (secs, answer) = text.split_once('\n')?;
    let fetched_at = UNIX_EPOCH.checked_add(Duration::from_secs(secs.parse().ok()?))?;
    Some((fetched_at, KeySet::parse(answer.as_bytes()).ok()?))
}

/// Whole or not at all.
fn write(file: &Path, answer: &[u8], now: SystemTime) -> io::Result<()> {
    let secs = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let coming = file.with_extension(ENDING_COMING);
    fs::write(&coming, [format!("{secs}\n").as_bytes(), answer].concat())?;
    fs::rename(coming, file)
}

/// Removes what will not be used any more, and nothing of other names. What can't be removed is passed over,
/// and told as the first of the errors.
fn remove_old(directory: &Path, now: SystemTime) -> io::Result<()> {
    let mut outcome = Ok(());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING || ending == ENDING_COMING) {
            outcome = outcome.and(remove_if_old(&path, now));
        }
    }
    outcome
}

fn remove_if_old(file: &Path, now: SystemTime) -> io::Result<()> {
    let age = now.duration_since(fs::metadata(file)?.modified()?).unwrap_or_default();
    if age >= STALE { fs::remove_file(file) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    #[test]
    fn keys_are_read_until_they_are_old() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("set.jwks");
        let now = UNIX_EPOCH + Duration::from_hours(500_000);
        assert!(read(&file, now).unwrap().is_none());
        write(&file, SET, now).unwrap();
        let kept = read(&file, now + STALE / 2).unwrap().unwrap();
        assert_eq!(kept.age, STALE / 2);
        assert!(kept.keys.has(Some("one")) && !kept.keys.has(Some("two")));
        assert_eq!(read(&file, now - STALE).unwrap().unwrap().age, Duration::ZERO);
        assert!(read(&file, now + STALE).unwrap().is_none());
    }

    #[test]
    fn what_does_not_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("set.jwks");
        for damaged in
            [&b""[..], b"1", b"soon\n{\"keys\":[]}", b"99999999999999999999\n{}", b"7\n{\"keys\":", b"\xff\n"]
        {
            fs::write(&file, damaged).unwrap();
            assert!(read(&file, UNIX_EPOCH + Duration::from_secs(8)).is_err(), "{damaged:?}");
        }
    }

    #[test]
    fn only_what_is_too_old_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let [kept, coming, foreign] =
            ["set.jwks", "other.coming", "notes"].map(|name| directory.path().join(name));
        write(&kept, SET, SystemTime::now()).unwrap();
        fs::write(&coming, "cut off").unwrap();
        fs::write(&foreign, "somebody's").unwrap();
        remove_old(directory.path(), SystemTime::now()).unwrap();
        assert!(kept.exists() && coming.exists());
        remove_old(directory.path(), SystemTime::now() + STALE).unwrap();
        assert!(!kept.exists() && !coming.exists() && foreign.exists());
    }

    #[test]
    fn what_cannot_be_removed_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.jwks", "c.jwks"] {
            write(&directory.path().join(name), SET, SystemTime::now()).unwrap();
        }
        fs::create_dir(directory.path().join("b.jwks")).unwrap();
        assert!(remove_old(directory.path(), SystemTime::now() + STALE * 2).is_err());
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["b.jwks"]);
    }
}
