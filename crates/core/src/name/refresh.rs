//! Which of a name's addresses are in force, by what has been answered so far, and when to ask again.
//!
//! Invariants:
//! - Addresses that are answered are in force at once.
//! - Silence changes nothing: where no answer comes, what was in force stays so, for however long.
//! - A denial alone changes nothing either: addresses end when a denial comes at least [`CONFIRMED_AFTER`] after the
//!   first one, and no addresses were answered between them.
//! - A name is asked for again after a second at the earliest, and five minutes at the latest; one that is denied after
//!   half a minute.

use std::net::IpAddr;
use std::time::Duration;

use crate::uptime::Uptime;

/// However short a time to live is, and however long.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
/// However long a denial's is: nothing works meanwhile.
const LONGEST_DENIAL: Duration = Duration::from_secs(30);
/// How soon a first denial is asked about again.
const SOON: Duration = Duration::from_secs(1);
/// How much later a denial confirms the first one: longer than it takes to put a record back in place.
const CONFIRMED_AFTER: Duration = Duration::from_secs(5);
/// Where no answer comes, doubling.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// A name that has never had an address.
const UNRESOLVED: Duration = Duration::from_secs(2);

/// What came of asking for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// At least one, and for how long they are good.
    Addresses { ips: Vec<IpAddr>, time_to_live: Duration },
    /// The name does not exist, or has no address, and for how long that is so (RFC 2308 section 5).
    Nothing { time_to_live: Duration },
    /// Nobody says: there is no answer, or a failure for one.
    Unknown,
}

/// What is in force from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InForce {
    /// These, as was just answered.
    Answered(Vec<IpAddr>),
    /// The addresses of before.
    Kept(Doubt),
    /// The name had addresses, and has none any more.
    Nothing,
    /// The name has never had any.
    Unresolved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The answer before had addresses.
    Begins,
    Lasts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub in_force: InForce,
    pub ask_again_after: Duration,
}

/// What is remembered of a name's answers.
#[derive(Debug, Default)]
pub struct Refresh {
    standing: Standing,
    /// In a row that did not come.
    silences: u32,
}

#[derive(Debug, Default)]
enum Standing {
    #[default]
    Unresolved,
    Certain,
    /// No addresses have been answered since there were some.
    Doubted {
        denied_since: Option<Uptime>,
    },
    Gone,
}

impl Refresh {
    /// What follows from an answer.
    pub fn answered(&mut self, answer: Answer, now: Uptime) -> Step {
        match answer {
            Answer::Addresses { ips, time_to_live } => {
                *self = Self { standing: Standing::Certain, silences: 0 };
                let ask_again_after = time_to_live.clamp(SHORTEST, LONGEST);
                Step { in_force: InForce::Answered(ips), ask_again_after }
            }
            Answer::Nothing { time_to_live } => {
                self.silences = 0;
                self.denied(time_to_live.clamp(SHORTEST, LONGEST_DENIAL), now)
            }
            Answer::Unknown => self.unanswered(),
        }
    }

    fn denied(&mut self, time_to_live: Duration, now: Uptime) -> Step {
        let (standing, in_force, ask_again_after) = match self.standing {
            Standing::Unresolved => (Standing::Unresolved, InForce::Unresolved, UNRESOLVED),
            Standing::Certain => (denied_since(now), InForce::Kept(Doubt::Begins), SOON),
            Standing::Doubted { denied_since: None } => {
                (denied_since(now), InForce::Kept(Doubt::Lasts), SOON)
            }
            Standing::Doubted { denied_since: Some(first) } if now.since(first) < CONFIRMED_AFTER => {
                (denied_since(first), InForce::Kept(Doubt::Lasts), time_to_live.min(CONFIRMED_AFTER))
            }
            Standing::Doubted { denied_since: Some(_) } | Standing::Gone => {
                (Standing::Gone, InForce::Nothing, time_to_live)
            }
        };
        self.standing = standing;
        Step { in_force, ask_again_after }
    }

    fn unanswered(&mut self) -> Step {
        let doubling = 2_u32.saturating_pow(self.silences);
        let ask_again_after = FIRST_RETRY.saturating_mul(doubling).min(LONGEST_RETRY);
        self.silences = self.silences.saturating_add(1);
        let in_force = match self.standing {
            Standing::Unresolved => {
                return Step { in_force: InForce::Unresolved, ask_again_after: UNRESOLVED };
            }
            Standing::Certain => {
                self.standing = Standing::Doubted { denied_since: None };
                InForce::Kept(Doubt::Begins)
            }
            Standing::Doubted { .. } => InForce::Kept(Doubt::Lasts),
            Standing::Gone => InForce::Nothing,
        };
        Step { in_force, ask_again_after }
    }
}

const fn denied_since(first: Uptime) -> Standing {
    Standing::Doubted { denied_since: Some(first) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses() -> Answer {
        Answer::Addresses { ips: vec![IpAddr::from([192, 0, 2, 1])], time_to_live: Duration::from_secs(9) }
    }

    fn nothing(secs: u64) -> Answer {
        Answer::Nothing { time_to_live: Duration::from_secs(secs) }
    }

    /// Asks again when it is told to, after so many seconds.
    fn run(refresh: &mut Refresh, answers: &[Answer]) -> Vec<(u64, InForce)> {
        let mut now = Uptime::from_secs(100);
        let mut step = |answer: &Answer| {
            let Step { in_force, ask_again_after } = refresh.answered(answer.clone(), now);
            let at = now.since(Uptime::from_secs(100)).as_secs();
            now = now.after(ask_again_after);
            (at, in_force)
        };
        answers.iter().map(&mut step).collect()
    }

    fn resolved() -> Refresh {
        let mut refresh = Refresh::default();
        refresh.answered(addresses(), Uptime::from_secs(91));
        refresh
    }

    const BEGINS: InForce = InForce::Kept(Doubt::Begins);
    const LASTS: InForce = InForce::Kept(Doubt::Lasts);

    #[test]
    fn addresses_stay_while_nobody_answers_and_are_asked_for_less_and_less() {
        let times: Vec<_> = run(&mut resolved(), &vec![Answer::Unknown; 8]);
        let seconds = [0, 1, 3, 7, 15, 31, 61, 91];
        let expected = seconds.map(|at| (at, if at == 0 { BEGINS } else { LASTS }));
        assert_eq!(times, expected);
    }

    #[test]
    fn a_name_that_is_denied_has_no_address_once_that_is_confirmed() {
        let expected = [(0, BEGINS), (1, LASTS), (3, LASTS), (5, InForce::Nothing), (7, InForce::Nothing)];
        assert_eq!(run(&mut resolved(), &vec![nothing(2); 5]), expected);
        let expected = [(0, BEGINS), (1, LASTS), (6, InForce::Nothing), (36, InForce::Nothing)];
        assert_eq!(run(&mut resolved(), &vec![nothing(3_600); 4]), expected);
    }

    #[test]
    fn what_comes_back_is_in_force_at_once_and_denied_anew() {
        let mut refresh = resolved();
        run(&mut refresh, &vec![nothing(9); 3]);
        let step = refresh.answered(addresses(), Uptime::from_secs(200));
        assert!(matches!(step.in_force, InForce::Answered(_)), "{step:?}");
        assert_eq!(run(&mut refresh, &[nothing(9), nothing(9)]), [(0, BEGINS), (1, LASTS)]);
    }

    #[test]
    fn silence_neither_confirms_a_denial_nor_ends_it() {
        let answers = [nothing(1), Answer::Unknown, Answer::Unknown, Answer::Unknown, nothing(1)];
        let steps = run(&mut resolved(), &answers);
        assert_eq!(steps, [(0, BEGINS), (1, LASTS), (2, LASTS), (4, LASTS), (8, InForce::Nothing)]);
        assert_eq!(
            run(&mut resolved(), &[Answer::Unknown, nothing(1)]),
            [(0, BEGINS), (1, LASTS)],
            "nobody denied it while nobody answered"
        );
    }

    #[test]
    fn a_name_that_never_had_an_address_is_asked_for_again_after_two_seconds() {
        for answer in [nothing(60), Answer::Unknown] {
            let steps = run(&mut Refresh::default(), &[answer.clone(), answer]);
            assert_eq!(steps, [(0, InForce::Unresolved), (2, InForce::Unresolved)]);
        }
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            1 => (0u64..1_000).prop_map(|secs| Answer::Addresses {
                ips: vec![IpAddr::from([192, 0, 2, 1])],
                time_to_live: Duration::from_secs(secs),
            }),
            4 => (0u64..60).prop_map(nothing),
            2 => Just(Answer::Unknown),
        ]
    }

    proptest! {
        /// The invariants, over whatever is answered, whenever it is asked for.
        #[test]
        fn the_invariants_hold(answers in prop::collection::vec((any_answer(), 0u64..10_000), 1..60)) {
            let (mut refresh, mut now) = (Refresh::default(), Uptime::from_secs(100));
            let (mut has_addresses, mut has_resolved, mut first_denial) = (false, false, None);
            for (answer, millis) in answers {
                let step = refresh.answered(answer.clone(), now);
                let longest = match &answer {
                    Answer::Addresses { ips, .. } => {
                        (has_addresses, has_resolved, first_denial) = (true, true, None);
                        prop_assert_eq!(&step.in_force, &InForce::Answered(ips.clone()));
                        LONGEST
                    }
                    Answer::Nothing { .. } => {
                        let first = *first_denial.get_or_insert(now);
                        has_addresses &= now.since(first) < CONFIRMED_AFTER;
                        LONGEST_DENIAL
                    }
                    Answer::Unknown => LONGEST_RETRY,
                };
                prop_assert!((SHORTEST..=longest).contains(&step.ask_again_after), "{:?}", step);
                match step.in_force {
                    InForce::Answered(_) | InForce::Kept(_) => prop_assert!(has_addresses),
                    InForce::Nothing => prop_assert!(has_resolved && !has_addresses),
                    InForce::Unresolved => prop_assert!(!has_resolved),
                }
                now = now.after(Duration::from_millis(millis));
            }
        }

        /// Whatever was answered before.
        #[test]
        fn a_name_that_is_only_denied_is_gone_in_time(
            before in prop::collection::vec(any_answer(), 0..10),
            secs in 0u64..100,
        ) {
            let answers = [before.as_slice(), &vec![nothing(secs); 8]].concat();
            let steps = &run(&mut resolved(), &answers)[before.len()..];
            let gone = steps.iter().find(|(_, in_force)| *in_force == InForce::Nothing);
            prop_assert!(gone.is_some_and(|(at, _)| *at <= steps[0].0 + 31), "{:?}", steps);
        }
    }
}
