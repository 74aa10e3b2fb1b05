//! The keys of one place, as all workers know them: which are used, and when newer ones are fetched.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tollgate_core::token::KeySet;

use super::kept::Kept;

/// Keys older than this are fetched anew while they are used on.
const FRESH: Duration = Duration::from_mins(10);
/// For so long keys are used while their issuer is away.
pub(super) const STALE: Duration = Duration::from_hours(24);
/// Between two fetches for keys that were not known: whoever makes up `kid`s causes no more than this.
const COOL_DOWN: Duration = Duration::from_secs(30);
/// Between two fetches where the last one failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The keys of one place.
pub(super) struct Held {
    state: Mutex<State>,
    /// Counts the fetches that have ended, and what was found on disk.
    pub ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    is_fetching: bool,
    /// When a fetch last failed.
    failed_at: Option<Instant>,
    /// When a key that was not known last caused a fetch.
    missed_at: Option<Instant>,
}

/// What to do about a token's key.
#[derive(Debug)]
pub(super) enum Step {
    Use(Arc<KeySet>),
    /// And have newer ones fetched meanwhile.
    UseAndFetch(Arc<KeySet>),
    FetchAndWait,
    Wait,
    Unavailable,
}

impl Held {
    pub fn new() -> Self {
        Self { state: Mutex::default(), ended: watch::Sender::new(0) }
    }

    /// What to do; a fetch that is to be done counts as begun.
    pub fn begin(&self, key_id: Option<&str>, now: Instant) -> Step {
        let mut state = self.state.lock();
        let step = state.step(key_id, now);
        match step {
            Step::FetchAndWait => {
                state.is_fetching = true;
                if state.keys.is_some() {
                    state.missed_at = Some(now);
                }
            }
            Step::UseAndFetch(_) => state.is_fetching = true,
            Step::Use(_) | Step::Wait | Step::Unavailable => {}
        }
        step
    }

    pub fn present(&self, now: Instant) -> Option<Arc<KeySet>> {
        let state = self.state.lock();
        let (keys, at) = state.keys.as_ref()?;
        (now.saturating_duration_since(*at) < STALE).then(|| Arc::clone(keys))
    }

    /// Whether there is no use in waiting on.
    pub fn answers(&self, key_id: Option<&str>) -> bool {
        let state = self.state.lock();
        !state.is_fetching || state.keys.as_ref().is_some_and(|(keys, _)| keys.has(key_id))
    }

    pub fn is_empty(&self) -> bool {
        self.state.lock().keys.is_none()
    }

    /// Takes over what was kept before the restart, while it is asked for newer keys.
    pub fn restore(&self, Kept { keys, age }: Kept, now: Instant) {
        // A clock that began later than that can't say when it was.
        let Some(at) = now.checked_sub(age) else { return };
        self.state.lock().keys.get_or_insert_with(|| (Arc::new(keys), at));
        self.ended.send_modify(|count| *count += 1);
    }

    pub fn end(&self, outcome: Option<KeySet>, now: Instant) {
        let mut state = self.state.lock();
        state.is_fetching = false;
        match outcome {
            Some(keys) => {
                state.keys = Some((Arc::new(keys), now));
                state.failed_at = None;
            }
            None => state.failed_at = Some(now),
        }
        drop(state);
        self.ended.send_modify(|count| *count += 1);
    }
}

impl State {
    fn step(&self, key_id: Option<&str>, now: Instant) -> Step {
        let is_within = |at: Option<Instant>, time: Duration| {
            at.is_some_and(|at| now.saturating_duration_since(at) < time)
        };
        let may_fetch = !self.is_fetching && !is_within(self.failed_at, RETRY_AFTER);
        match &self.keys {
            Some((keys, at)) if is_within(Some(*at), STALE) => {
                let is_known = keys.has(key_id);
                let is_fresh = is_within(Some(*at), FRESH);
                match (is_known, may_fetch) {
                    (true, true) if !is_fresh => Step::UseAndFetch(Arc::clone(keys)),
                    (false, true) if !is_within(self.missed_at, COOL_DOWN) => Step::FetchAndWait,
                    (false, false) if self.is_fetching => Step::Wait,
                    (true | false, true | false) => Step::Use(Arc::clone(keys)),
                }
            }
            Some(_) | None if self.is_fetching => Step::Wait,
            Some(_) | None if may_fetch => Step::FetchAndWait,
            Some(_) | None => Step::Unavailable,
        }
    }
}

/// A fetch that is under way. One that panics has ended in vain, or nobody would fetch the issuer's keys any more.
pub(super) struct Fetching(pub Arc<Held>);

impl Drop for Fetching {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.end(None, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn begin(held: &Held, key_id: &str, now: Instant) -> &'static str {
        match held.begin(Some(key_id), now) {
            Step::Use(_) => "use",
            Step::UseAndFetch(_) => "use and fetch",
            Step::FetchAndWait => "fetch",
            Step::Wait => "wait",
            Step::Unavailable => "unavailable",
        }
    }

    fn keys() -> Option<KeySet> {
        KeySet::parse(SET).ok()
    }

    #[test]
    fn keys_are_fetched_once_and_used_until_they_are_old() {
        let (held, now) = (Held::new(), Instant::now());
        assert_eq!(begin(&held, "one", now), "fetch");
        assert_eq!(begin(&held, "one", now), "wait");
        held.end(keys(), now);
        assert_eq!(begin(&held, "one", now + FRESH / 2), "use");
        assert_eq!(begin(&held, "one", now + FRESH), "use and fetch");
        assert_eq!(begin(&held, "one", now + FRESH), "use");
        // The issuer is away: used on, asked now and then, given up in the end.
        held.end(None, now + FRESH);
        assert_eq!(begin(&held, "one", now + FRESH), "use");
        assert_eq!(begin(&held, "one", now + FRESH + RETRY_AFTER), "use and fetch");
        held.end(None, now + STALE);
        assert_eq!(begin(&held, "one", now + STALE), "unavailable");
        assert!(held.present(now + STALE).is_none());
        assert_eq!(begin(&held, "one", now + STALE + RETRY_AFTER), "fetch");
    }

    #[test]
    fn an_unknown_key_causes_one_fetch_until_the_cool_down_is_over() {
        let (held, now) = (Held::new(), Instant::now());
        begin(&held, "one", now);
        held.end(keys(), now);
        assert_eq!(begin(&held, "two", now), "fetch");
        assert_eq!(begin(&held, "three", now), "wait");
        assert_eq!(begin(&held, "one", now), "use");
        held.end(keys(), now);
        assert_eq!(begin(&held, "two", now + COOL_DOWN / 2), "use");
        assert_eq!(begin(&held, "two", now + COOL_DOWN), "fetch");
    }

    #[test]
    fn without_any_keys_a_failure_is_not_asked_for_again_at_once() {
        let (held, now) = (Held::new(), Instant::now());
        assert_eq!(begin(&held, "one", now), "fetch");
        held.end(None, now);
        assert_eq!(begin(&held, "one", now), "unavailable");
        assert_eq!(begin(&held, "one", now + RETRY_AFTER), "fetch");
    }

    #[test]
    fn a_fetch_that_panics_is_not_the_last() {
        let (held, now) = (Arc::new(Held::new()), Instant::now());
        assert_eq!(begin(&held, "one", now), "fetch");
        let fetching = Fetching(Arc::clone(&held));
        let fetch = move || {
            let _fetching = fetching;
            panic!("it has to");
        };
        thread::spawn(fetch).join().unwrap_err();
        assert_eq!(begin(&held, "one", Instant::now() + RETRY_AFTER), "fetch");
    }

    #[test]
    fn keys_from_before_a_restart_are_used_while_newer_ones_are_asked_for() {
        let (held, now) = (Held::new(), Instant::now());
        assert_eq!(begin(&held, "one", now), "fetch");
        held.restore(Kept { keys: keys().unwrap(), age: STALE / 2 }, now);
        assert!(held.answers(Some("one")) && !held.answers(Some("two")));
        assert_eq!((begin(&held, "one", now), begin(&held, "two", now)), ("use", "wait"));
        held.end(None, now);
        assert!(held.answers(Some("two")));
        assert_eq!(begin(&held, "one", now + RETRY_AFTER), "use and fetch");
        assert_eq!(begin(&held, "one", now + STALE / 2), "wait");
    }
}
