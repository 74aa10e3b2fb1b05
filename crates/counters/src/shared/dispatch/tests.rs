use tollgate_core::limit::Subject;
use tollgate_core::time::UnixMicros;

use super::*;
use crate::shared::call::WHICHEVER;
use crate::shared::doubles::Packed;
use crate::shared::unanswered::unanswered;

/// What a command has of its own: behind the time and the incarnation.
fn said_in(op: &Op) -> [u8; 8] {
    let numbers = op.cmd.args_iter().filter_map(|arg| match arg {
        redis::Arg::Simple(bytes) => <[u8; 24]>::try_from(bytes).ok(),
        _ => None,
    });
    let [.., last] = *numbers.last().unwrap().as_chunks::<8>().0 else { panic!("there are three") };
    last
}

/// One unit less, where the counts are said in this incarnation.
fn less(said_in: u64) -> (About, Then) {
    let subject = Subject(uuid::Uuid::from_u128(2));
    let about = About { subject, rules: Arc::new([]), sent: Instant::now() };
    let amounts = [Amount::Less { units: 1, charged_at: UnixMicros(1), depth: 0 }].into();
    (about, Then::Told(Told { amounts, said_in }))
}

#[test]
fn what_could_not_be_given_back_is_not_taken_off_what_is_put_back_without_it() {
    let (shared, [mut asked, _]) = unanswered();
    shared.incarnation.meet(7);
    let (about, told) = less(7);
    shared.incarnation.follow(9, UnixMicros(8));
    shared.was_not_sent(&about, told);
    shared.status.is_back();
    shared.give_back_late();
    assert_eq!(said_in(&asked.try_recv().unwrap()), 7f64.to_le_bytes());
}

#[test]
fn what_could_not_be_given_back_twice_is_given_back_as_it_was_to_be() {
    let (shared, [mut asked, _]) = unanswered();
    shared.incarnation.meet(7);
    for its in [WHICHEVER, 5, 7] {
        let (about, mut told) = less(its);
        for _ in 0..2 {
            shared.status.is_lost(shared.status.losses());
            shared.was_not_sent(&about, told);
            shared.status.is_back();
            shared.give_back_late();
            let op = asked.try_recv().unwrap();
            assert_eq!(said_in(&op), Packed::of(&[its]).bytes());
            told = op.then;
        }
    }
}

#[test]
fn what_could_not_be_given_back_to_a_store_that_is_back_meanwhile_waits_for_no_other_loss() {
    let (shared, [mut asked, _]) = unanswered();
    shared.status.is_back();
    let (about, told) = less(WHICHEVER);
    shared.was_not_sent(&about, told);
    assert!(asked.try_recv().is_ok());
}
