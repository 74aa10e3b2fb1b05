//! Passwords: Argon2id with the crate's defaults (RFC 9106; 19 MiB, two passes), off the async threads, no more than a few at
//! a time, and with bounds on those that wait: on sign-ins and on new passwords, each for themselves, and on what one asks for.
//! So nobody keeps anybody else from signing in.

use std::hash::Hash;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tollgate_core::resource::{TenantId, Username};

use crate::shares::{Share, Shares};

/// Sign-ins must not take the machine's cores and memory from everything else.
const MOST_AT_A_TIME: usize = 2;
/// Some seconds of work. Whoever came behind would have given up before its turn.
const MOST_SIGN_INS: usize = 64;
const MOST_CHANGES: usize = 32;
/// With one name. Whoever knows its password may sign in as often as it likes.
const MOST_SIGN_INS_OF_A_NAME: u32 = 4;
const MOST_CHANGES_OF_A_TENANT: u32 = 2;

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
    /// A name that no user can have is `None`.
    sign_ins: Places<Option<Username>>,
    changes: Places<TenantId>,
    turns: Arc<Semaphore>,
}

/// For those that wait and those under way.
#[derive(Debug, Clone)]
struct Places<K> {
    free: Arc<Semaphore>,
    shares: Shares<K>,
}

/// Given back when it is dropped.
#[derive(Debug)]
struct Place<K: Eq + Hash> {
    _free: OwnedSemaphorePermit,
    _share: Option<Share<K>>,
}

impl Passwords {
    pub fn new() -> Self {
        Self {
            sign_ins: Places::new(MOST_SIGN_INS, MOST_SIGN_INS_OF_A_NAME),
            changes: Places::new(MOST_CHANGES, MOST_CHANGES_OF_A_TENANT),
            turns: Arc::new(Semaphore::new(MOST_AT_A_TIME)),
        }
    }

    /// Whether a sign-in's password is the one hashed; without a hash, never, and after the same time.
    pub async fn sign_in(
        &self,
        username: Option<Username>,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, HashingError> {
        let place = self.sign_ins.take(Some(username))?;
        self.off_thread(place, move || {
            let matches = is_of(hash.as_deref().unwrap_or(NOBODYS_HASH), &password);
            matches && hash.is_some()
        })
        .await
    }

    /// The PHC string of a new password: of a tenant's user, or of a platform administrator's making.
    pub async fn hash(&self, author: Option<TenantId>, password: String) -> Result<String, HashingError> {
        let place = self.changes.take(author)?;
        self.off_thread(place, move || {
            let hash = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| HashingError::Failed(error.to_string()))
        })
        .await?
    }

    /// Whether a password that a platform administrator has written is the one hashed.
    pub async fn is_held(&self, password: String, hash: String) -> Result<bool, HashingError> {
        let place = self.changes.take(None)?;
        self.off_thread(place, move || is_of(&hash, &password)).await
    }

    async fn off_thread<P: Send + 'static, T: Send + 'static>(
        &self,
        place: P,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashingError> {
        let failed = |error: &dyn std::fmt::Display| HashingError::Failed(error.to_string());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|error| failed(&error))?;
        // The work goes on when its caller has gone away, so it is the work that holds its turn.
        let work = move || {
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| failed(&error))
    }
}

impl<K: Clone + Eq + Hash> Places<K> {
    fn new(most_waiting: usize, most_of_one: u32) -> Self {
        let free = Arc::new(Semaphore::new(MOST_AT_A_TIME + most_waiting));
        Self { free, shares: Shares::new(most_of_one) }
    }

    /// `whose`: `None` for those who may have all.
    fn take(&self, whose: Option<K>) -> Result<Place<K>, HashingError> {
        let share = whose.map(|whose| self.shares.take(whose).ok_or(HashingError::Busy)).transpose()?;
        let free = Arc::clone(&self.free).try_acquire_owned().map_err(|_| HashingError::Busy)?;
        Ok(Place { _free: free, _share: share })
    }
}

fn is_of(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    #[tokio::test]
    async fn a_password_verifies_against_its_hash_alone() {
        let passwords = Passwords::new();
        let hash = passwords.hash(None, "correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"));
        let sign_in = |password: &str, hash| passwords.sign_in(Some(named("ann")), password.into(), hash);
        assert!(sign_in("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!sign_in("battery staple", Some(hash.clone())).await.unwrap());
        assert!(!sign_in("correct horse", None).await.unwrap());
        assert!(passwords.is_held("correct horse".into(), hash.clone()).await.unwrap());
        assert!(!passwords.is_held("battery staple".into(), hash).await.unwrap());
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
            caller.off_thread((), work).await
        });
        begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert_eq!(passwords.turns.available_permits(), MOST_AT_A_TIME - 1);
        drop(release);
    }

    #[test]
    fn who_would_wait_for_long_is_told_so_at_once() {
        let passwords = Passwords::new();
        let sign_in = |number: usize| passwords.sign_ins.take(Some(Some(named(&number.to_string()))));
        let places: Vec<_> =
            (0..MOST_AT_A_TIME + MOST_SIGN_INS).map(|number| sign_in(number).unwrap()).collect();
        assert!(matches!(sign_in(1_000), Err(HashingError::Busy)));
        drop(places);
        sign_in(1_000).unwrap();
    }

    #[test]
    fn nobody_keeps_anybody_else_from_signing_in() {
        let passwords = Passwords::new();
        let sign_in = |name: &str| passwords.sign_ins.take(Some(Some(named(name))));
        let change = |author| passwords.changes.take(author);
        let tenant = |number| Some(TenantId(uuid::Uuid::from_u128(number)));
        let anns: Vec<_> = std::iter::from_fn(|| sign_in("ann").ok()).collect();
        let tenants: Vec<_> = std::iter::from_fn(|| change(tenant(1)).ok()).collect();
        assert_eq!((anns.len(), tenants.len()), (4, 2));
        change(tenant(2)).unwrap();
        let operators: Vec<_> = std::iter::from_fn(|| change(None).ok()).collect();
        assert!(operators.len() >= MOST_CHANGES);
        sign_in("ben").unwrap();
        drop(anns);
        sign_in("ann").unwrap();
    }

    #[tokio::test]
    async fn an_unknown_user_costs_what_a_known_one_does() {
        let real = Passwords::new().hash(None, "password".into()).await.unwrap();
        let (real, nobodys) = (PasswordHash::new(&real).unwrap(), PasswordHash::new(NOBODYS_HASH).unwrap());
        assert_eq!(real.params, nobodys.params);
        assert_eq!((real.algorithm, real.version), (nobodys.algorithm, nobodys.version));
        assert_eq!(real.hash.unwrap().len(), nobodys.hash.unwrap().len());
    }
}
