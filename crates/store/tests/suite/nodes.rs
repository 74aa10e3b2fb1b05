use tollgate_core::credential::KeyHash;
use tollgate_core::feed::Epoch;
use tollgate_store::{Heard, NodeTokenRecord, SealedStep, Store};
use uuid::Uuid;

use super::*;

pub async fn a_report_of_a_node_is_heard_once(store: &Store) {
    let [token, other] = ["one", "two"].map(node_token);
    let mut write = writing(store).await;
    write.insert_node_token(&token).await.unwrap();
    write.insert_node_token(&other).await.unwrap();
    let [run, next_run, other_run] = [(); 3].map(|()| Uuid::now_v7());
    for (of, session, number, heard) in [
        (&token, run, 1, Heard::First),
        (&token, run, 1, Heard::Before),
        (&token, run, 3, Heard::First),
        (&token, run, 2, Heard::Before),
        (&token, next_run, 1, Heard::First),
        (&other, other_run, 1, Heard::First),
    ] {
        assert_eq!(write.hear_node(of.id, session, number).await.unwrap(), heard, "{number}");
    }
    write.commit().await.unwrap();
    // Nothing is forgotten that was heard since; afterwards it is as if it had never been.
    let mut write = store.write(NOW + 10).await.unwrap();
    write.forget_node_runs(NOW).await.unwrap();
    assert_eq!(write.hear_node(token.id, run, 3).await.unwrap(), Heard::Before);
    write.forget_node_runs(NOW + 1).await.unwrap();
    assert_eq!(write.hear_node(token.id, run, 3).await.unwrap(), Heard::First);
    // Many runs of one token do not push out another's.
    assert_eq!(write.hear_node(other.id, other_run, 1).await.unwrap(), Heard::First);
    for _ in 0..1_001 {
        write.hear_node(token.id, Uuid::now_v7(), 1).await.unwrap();
    }
    write.forget_node_runs(NOW).await.unwrap();
    assert_eq!(write.hear_node(token.id, run, 3).await.unwrap(), Heard::First);
    assert_eq!(write.hear_node(other.id, other_run, 1).await.unwrap(), Heard::Before);
    write.delete_node_token(token.id).await.unwrap();
    assert_eq!(write.hear_node(token.id, run, 9).await.unwrap(), Heard::TokenGone);
    assert_eq!(write.hear_node(token.id, run, 3).await.unwrap(), Heard::TokenGone, "heard before or not");
}

pub async fn a_report_is_heard_once_when_the_token_was_changed_in_between(store: &Store) {
    let [old, new] = ["old", "new"].map(node_token);
    let run = Uuid::now_v7();
    let mut write = writing(store).await;
    write.insert_node_token(&old).await.unwrap();
    assert_eq!(write.hear_node(old.id, run, 4).await.unwrap(), Heard::First);
    write.delete_node_token(old.id).await.unwrap();
    write.insert_node_token(&new).await.unwrap();
    assert_eq!(write.hear_node(new.id, run, 4).await.unwrap(), Heard::Before);
    assert_eq!(write.hear_node(new.id, run, 5).await.unwrap(), Heard::First);
    write.forget_node_runs(NOW + 1).await.unwrap();
    assert_eq!(write.hear_node(new.id, run, 4).await.unwrap(), Heard::First);
}

fn node_token(name: &str) -> NodeTokenRecord {
    NodeTokenRecord {
        id: Uuid::now_v7(),
        name: DisplayName::parse(name).unwrap(),
        hash: KeyHash::of(name.as_bytes()),
        prefix: "tgn_".into(),
        created_at_secs: NOW,
    }
}

pub async fn the_last_changes_are_kept_in_order_until_they_are_forgotten(store: &Store) {
    let step = |revision: u64| SealedStep {
        revision,
        before: Epoch(Uuid::from_u128(u128::from(revision))),
        sealed: vec![7; 100],
    };
    let mut write = writing(store).await;
    for revision in [3, 2, 4] {
        write.append_feed_step(&step(revision), 1).await.unwrap();
    }
    write.append_feed_step(&step(5), 2).await.unwrap();
    assert_eq!(write.feed_steps(1).await.unwrap(), [2, 3, 4].map(step));
    write.forget_feed_steps(3).await.unwrap();
    assert_eq!(write.feed_steps(1).await.unwrap(), [step(4)]);
    assert_eq!(write.feed_steps(2).await.unwrap(), [step(5)]);
}
