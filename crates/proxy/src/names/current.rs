//! Keeps one name current, in the background: asks for it, carries out what follows from the answer, and waits.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tollgate_core::balance::Addresses;
use tollgate_core::name::{Answer, Doubt, InForce, Refresh, Step};
use tollgate_core::uptime::{Uptime, micros};

use super::name::Name;
use super::resolver::{Failure, Found};
use super::{LookupError, Names};

/// A name that no request has needed for so long is not looked up any more.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(10);

/// Looks a name up for as long as it is needed; one that has never had an address once, so that the next request asks
/// anew.
pub(super) async fn keep(names: Weak<Names>, name: Arc<Name>) {
    let kept = Kept { names, name };
    let (mut known, mut unused) = (Known::default(), Duration::ZERO);
    while unused < FORGOTTEN_AFTER {
        let Some(held) = kept.names.upgrade() else { return };
        let wait = held.look_up(&kept.name, &mut known).await;
        drop(held);
        tokio::time::sleep(wait).await;
        if kept.name.is_unresolved() {
            break;
        }
        unused = if kept.name.take_used() { Duration::ZERO } else { unused + wait };
    }
}

/// A name that is looked up; forgotten once it is not, by a panic too, so that the next request has it looked up anew.
struct Kept {
    names: Weak<Names>,
    name: Arc<Name>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(names) = self.names.upgrade() {
            names.forget(&self.name);
        }
    }
}

/// What is known of a name from one answer to the next.
#[derive(Default)]
struct Known {
    refresh: Refresh,
    /// What is in force.
    found: Option<Found>,
}

impl Names {
    /// Looks the name up once; says after how long that has to be done again.
    async fn look_up(&self, name: &Name, known: &mut Known) -> Duration {
        let outcome = self.resolver.look_up(name.text(), known.found.as_ref(), name.askers()).await;
        let (answer, error) = answer_of(&outcome);
        let now = Uptime(micros(self.started.elapsed()));
        let Step { in_force, ask_again_after } = known.refresh.answered(answer, now);
        match in_force {
            InForce::Answered(ips) => {
                known.found = outcome.ok();
                self.found(name, ips);
            }
            InForce::Kept(Doubt::Lasts) => {}
            InForce::Kept(Doubt::Begins) => {
                tracing::warn!(
                    name = name.text(),
                    %error,
                    "a name does not resolve any more: its addresses stay in use"
                );
            }
            InForce::Nothing => {
                known.found = None;
                self.gone(name, error);
            }
            InForce::Unresolved => {
                tracing::warn!(name = name.text(), %error, "a name does not resolve");
                name.unresolved(error);
            }
        }
        ask_again_after
    }

    /// Where the addresses are those of before, what is known of each stays in one place.
    fn found(&self, name: &Name, ips: Vec<IpAddr>) {
        let (count, before) = (ips.len(), name.known());
        let addresses = Addresses::new(ips, before.as_deref());
        if before.as_ref().is_some_and(|before| before.iter().eq(addresses.iter())) {
            return;
        }
        if count > Addresses::MOST {
            let (name, addresses, most) = (name.text(), count, Addresses::MOST);
            tracing::warn!(name, addresses, most, "a name has more addresses than are used");
        }
        if before.is_some() {
            let (name, addresses) = (name.text(), addresses.iter().len());
            tracing::info!(name, addresses, "a name has other addresses");
        }
        name.found(addresses);
        self.note_change();
    }

    fn gone(&self, name: &Name, error: LookupError) {
        if !name.is_gone() {
            tracing::warn!(name = name.text(), %error, "a name has no address any more");
            name.gone(error);
            self.note_change();
        }
    }
}

/// And why, where there is none.
fn answer_of(outcome: &Result<Found, Failure>) -> (Answer, LookupError) {
    match outcome {
        Ok(Found { ips, time_to_live, .. }) => {
            let answer = Answer::Addresses { ips: ips.clone(), time_to_live: *time_to_live };
            (answer, LookupError::nothing())
        }
        Err(Failure::Denied { error, time_to_live }) => {
            (Answer::Nothing { time_to_live: *time_to_live }, error.clone())
        }
        Err(Failure::Unknown(error)) => (Answer::Unknown, error.clone()),
    }
}
