use std::future::ready;

use tollgate_core::limit::{LevelLimits, LimitRule, Subject};
use tollgate_core::resource::LimitDraft;
use tollgate_core::time::UnixMicros;

use super::*;
use crate::shared::call::WHICHEVER;
use crate::shared::doubles::Packed;
use crate::shared::keeper::wall;
use crate::shared::unanswered::unanswered;

const SUBJECT: Subject = Subject(uuid::Uuid::from_u128(2));

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
    let about = About { subject: SUBJECT, rules: Arc::new([]), sent: Instant::now() };
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

/// Its limit is none that a plan can have: whatever is counted under it panics.
fn panicking() -> Op {
    let limit = LimitDraft { requests: 1, per: "hour".into(), ..LimitDraft::default() };
    let [rule] = &*LevelLimits::of_plan(&[limit.parse().unwrap()], None).rules else { panic!("it is one") };
    let rules = Arc::new([LimitRule { requests: 0, ..rule.clone() }]);
    let about = About { subject: Subject(uuid::Uuid::nil()), rules, sent: Instant::now() };
    let told = Told { amounts: [Amount::More(1)].into(), said_in: WHICHEVER };
    Op { cmd: redis::cmd("PING"), about, then: Then::Told(told) }
}

#[tokio::test]
async fn what_is_asked_of_a_lane_that_has_panicked_is_answered_by_nobody_and_owed() {
    let (shared, [asked, _]) = unanswered();
    let shared = Arc::new(shared);
    let running = tokio::spawn(run(Arc::clone(&shared), asked));
    drop(shared.lanes[0].send(panicking()));
    assert!(running.await.unwrap_err().is_panic());

    let limit = LimitDraft { requests: 10, per: "hour".into(), ..LimitDraft::default() };
    let rules = LevelLimits::of_plan(&[limit.parse().unwrap()], None).rules;
    let (waiter, answered) = oneshot::channel();
    let told = Told { amounts: [Amount::More(3)].into(), said_in: WHICHEVER };
    for then in [Then::Told(told), Then::Decide { cost: 1, waiter }] {
        shared.send_within(SUBJECT, &rules, Instant::now(), redis::cmd("PING"), then);
    }
    assert!(matches!(answered.await, Ok(Err(Unavailable))));
    let (_, owed) = shared.local.tally_and_owed(SUBJECT, &rules, shared.nodes(), wall());
    assert_eq!(owed[..], [3]);
}

#[tokio::test]
async fn a_panic_in_a_batch_that_the_store_was_lost_over_is_seen() {
    let (go_on, gone_on) = oneshot::channel::<()>();
    let seeing = tokio::spawn(async {
        let mut under_way = UnderWay::default();
        let batch = tokio::spawn(async {
            drop(gone_on.await);
            panic!("it has to");
        });
        under_way.follow(batch, ready(())).await;
        drop(go_on);
        under_way.none_panics().await;
    });
    assert!(timeout(Duration::from_secs(20), seeing).await.unwrap().unwrap_err().is_panic());
}
