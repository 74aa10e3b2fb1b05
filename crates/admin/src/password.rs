//! Passwords: Argon2id with the crate's defaults (RFC 9106; 19 MiB, two passes), off the async threads, no more than a few at
//! a time, and with a bound on those that wait.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

/// Sign-ins must not take the machine's cores and memory from everything else.
const MOST_AT_A_TIME: usize = 2;
/// Some seconds of work. Whoever came behind would have given up before its turn.
const MOST_WAITING: usize = 64;

/// What an unknown user's password is compared with, so that the answer takes as long as for a known one. It
/// is the form of a hash with the default parameters, and of no password.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    #[error("passwords cannot be hashed: {0}")]
    Failed(String),
    #[error("too many passwords are waiting to be checked")]
    Busy,
}

#[derive(Debug, Clone)]
pub struct Passwords {
    /// Of those that wait and those under way.
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST_AT_A_TIME + MOST_WAITING)),
            turns: Arc::new(Semaphore::new(MOST_AT_A_TIME)),
        }
    }

    /// The PHC string of a password.
    pub async fn hash(&self, password: String) -> Result<String, HashingError> {
        self.off_thread(move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| HashingError::Failed(error.to_string()))
        })
        .await?
    }

    /// Whether the password is the one hashed; without a hash, never, and after the same time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, HashingError> {
        self.off_thread(move || {
            let is_known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(NOBODYS_HASH);
            let matches = PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            matches && is_known
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashingError> {
        let failed = |error: &dyn std::fmt::Display| HashingError::Failed(error.to_string());
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| HashingError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| failed(&error))?;
        // The work goes on when its caller has gone away, so it is the work that holds its turn.
        let work = move || {
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        assert!(passwords.verify("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("battery staple".into(), Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn work_whose_caller_has_gone_away_still_counts() {
        let passwords = Passwords::new();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let caller = passwords.clone();
        let caller = tokio::spawn(async move {
            let work = move || {
                begin.send(()).unwrap();
                held.recv()
            };
            caller.off_thread(work).await
        });
        begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.turns.available_permits(), MOST_AT_A_TIME - 1);
        drop(release);
    }

    #[tokio::test]
    async fn who_would_wait_for_long_is_told_so_at_once() {
        let passwords = Passwords::new();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let waiting: Vec<_> = (0..MOST_AT_A_TIME + MOST_WAITING)
            .map(|_| {
                let (passwords, held) = (passwords.clone(), Arc::clone(&held));
                tokio::spawn(async move {
                    passwords.off_thread(move || held.lock().unwrap().recv().is_ok()).await
                })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(passwords.off_thread(|| ()).await, Err(HashingError::Busy)));
        drop(release);
        for waiting in waiting {
            waiting.await.unwrap().unwrap();
        }
        assert!(passwords.off_thread(|| ()).await.is_ok());
    }

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_known_one_does() {
        let real = Passwords::new().hash("password".into()).await.unwrap();
        let (real, nobodys) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(NOBODYS_HASH).unwrap());
        assert_eq!(real.params, nobodys.params);
        assert_eq!((real.algorithm, real.version), (nobodys.algorithm, nobodys.version));
        assert_eq!(real.hash.unwrap().len(), nobodys.hash.unwrap().len());
    }
}
