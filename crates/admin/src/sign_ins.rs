//! How often signing in may fail: for each name from a network, so that a password is not guessed, and for a network whatever
//! the names, because each attempt takes a hash, and there are never too few names.

use std::net::IpAddr;
use std::time::Instant;

use crate::throttle::{Attempt, Throttle, TooManyFailures};

const FAILURES_A_NETWORK: u32 = 50;

#[derive(Debug)]
pub struct SignIns {
    by_name: Throttle,
    by_network: Throttle,
}

/// An attempt to sign in; dropped, it has failed.
#[derive(Debug)]
pub struct SignIn<'s> {
    by_name: Attempt<'s>,
    by_network: Attempt<'s>,
}

impl SignIns {
    pub fn new() -> Self {
        Self { by_name: Throttle::default(), by_network: Throttle::allowing(FAILURES_A_NETWORK) }
    }

    pub fn begin(
        &self,
        username: &str,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<SignIn<'_>, TooManyFailures> {
        let by_network = self.by_network.begin("", peer, now)?;
        match self.by_name.begin(username, peer, now) {
            Ok(by_name) => Ok(SignIn { by_name, by_network }),
            Err(too_many) => {
                // Nothing was hashed for it.
                by_network.withdraw();
                Err(too_many)
            }
        }
    }
}

impl SignIn<'_> {
    /// The failures with the name are forgotten; whoever has one good password may still guess at others.
    pub fn succeed(self) {
        self.by_name.succeed();
        self.by_network.withdraw();
    }

    /// Whether the password is right was not found out.
    pub fn withdraw(self) {
        self.by_name.withdraw();
        self.by_network.withdraw();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TOO_MANY: TooManyFailures = TooManyFailures { retry_after_secs: 300 };

    #[test]
    fn made_up_names_are_held_up_as_well() {
        let (sign_ins, now) = (SignIns::new(), Instant::now());
        let (here, there) = (Some([10, 0, 0, 1].into()), Some([10, 0, 0, 2].into()));
        let fail = |name: &str| sign_ins.begin(name, here, now).map(drop);
        for number in 0..FAILURES_A_NETWORK {
            assert_eq!(fail(&number.to_string()), Ok(()));
        }
        assert_eq!(fail("another"), Err(TOO_MANY));
        assert!(sign_ins.begin("another", there, now).is_ok());
        assert!(sign_ins.begin("another", here, now + Duration::from_mins(5)).is_ok());
    }

    #[test]
    fn a_good_password_forgets_what_failed_with_its_name_alone() {
        let (sign_ins, now) = (SignIns::new(), Instant::now());
        for number in 1..FAILURES_A_NETWORK {
            drop(sign_ins.begin(&number.to_string(), None, now).unwrap());
            sign_ins.begin("ann", None, now).unwrap().succeed();
        }
        drop(sign_ins.begin("bob", None, now).unwrap());
        assert_eq!(sign_ins.begin("ann", None, now).unwrap_err(), TOO_MANY);
    }

    #[test]
    fn what_is_refused_for_its_name_and_what_is_withdrawn_is_no_failure_of_the_network() {
        let (sign_ins, now) = (SignIns::new(), Instant::now());
        while sign_ins.begin("ann", None, now).is_ok() {}
        for _ in 0..FAILURES_A_NETWORK {
            assert_eq!(sign_ins.begin("ann", None, now).unwrap_err(), TOO_MANY);
            sign_ins.begin("bob", None, now).unwrap().withdraw();
        }
        assert!(sign_ins.begin("bob", None, now).is_ok());
    }
}
