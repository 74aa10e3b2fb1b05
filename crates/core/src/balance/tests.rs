//! What balancers promise, over many picks.

mod simulation;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::draws::Draws;
use crate::resource::TargetId;
use crate::uptime::Uptime;

const PICKS: u32 = 100_000;
const WEIGHTS: [u32; 4] = [5, 3, 1, 1];

fn target(number: u128) -> TargetId {
    // Version 7: ids made one after the other differ in a few bits.
    TargetId(Uuid::from_u128(0x0197_0000_0000_7000_8000_0000_0000_0000 + number))
}

fn loads(count: usize) -> Vec<Load> {
    (0..count).map(|_| Load::default()).collect()
}

fn shares_of(weights: &[u32]) -> Shares {
    Shares::new(weights.iter().map(|weight| weight * Shares::WHOLE))
}

fn assert_within_a_percent(counts: &[u32], weights: &[u32]) {
    let (picks, total) = (counts.iter().sum::<u32>(), weights.iter().sum::<u32>());
    for (count, weight) in counts.iter().zip(weights) {
        let expected = picks * weight / total;
        assert!(count.abs_diff(expected) <= picks / 100, "{counts:?} for {weights:?}");
    }
}

fn counts(targets: usize, mut pick: impl FnMut(u64) -> Option<usize>) -> Vec<u32> {
    let mut counts = vec![0; targets];
    let mut draws = Draws::new(7);
    for _ in 0..PICKS {
        counts[pick(draws.next()).unwrap()] += 1;
    }
    counts
}

#[test]
fn round_robin_spreads_requests_as_the_weights_say() {
    let (mut cursor, shares) = (SmoothWeighted::default(), shares_of(&WEIGHTS));
    let counts = counts(4, |_| cursor.pick(shares.without(TargetSet::default())));
    assert_eq!(counts, [50_000, 30_000, 10_000, 10_000]);
}

#[test]
fn least_requests_spreads_requests_as_the_weights_say() {
    let (shares, loads) = (shares_of(&WEIGHTS), loads(4));
    let idle = counts(4, |random| {
        least_requests(
            &shares,
            TargetSet::default(),
            |place| loads.get(place),
            Uptime(0),
            &mut Draws::new(random),
        )
    });
    assert_within_a_percent(&idle, &WEIGHTS);
    // The same while a hundred requests are always under way.
    let mut under_way = std::collections::VecDeque::new();
    let busy = counts(4, |random| {
        let load = |place| loads.get(place);
        let picked = least_requests(&shares, TargetSet::default(), load, Uptime(0), &mut Draws::new(random));
        under_way.push_back(Underway::begin(&loads[picked.unwrap()]));
        if under_way.len() > 100 {
            under_way.pop_front();
        }
        picked
    });
    assert_within_a_percent(&busy, &WEIGHTS);
    drop(under_way);
    assert!(loads.iter().all(|load| load.in_flight() == 0));
}

#[test]
fn lowest_latency_spreads_requests_as_the_weights_say_where_all_are_alike() {
    let (shares, loads) = (shares_of(&WEIGHTS), loads(4));
    for load in &loads {
        load.latency.observe(std::time::Duration::from_millis(5), Uptime(0));
    }
    let load = |place| loads.get(place);
    let counts = counts(4, |random| {
        lowest_latency(&shares, TargetSet::default(), load, Uptime(0), &mut Draws::new(random))
    });
    assert_within_a_percent(&counts, &WEIGHTS);
}

#[test]
fn nobody_is_picked_where_nobody_takes_requests() {
    let (shares, loads) = (Shares::new([0, 0]), loads(2));
    let (none, mut draws) = (TargetSet::default(), Draws::new(1));
    assert_eq!(SmoothWeighted::default().pick(shares.without(none)), None);
    assert_eq!(least_requests(&shares, none, |place| loads.get(place), Uptime(0), &mut draws), None);
    assert_eq!(lowest_latency(&shares, none, |place| loads.get(place), Uptime(0), &mut draws), None);
    assert_eq!(Rendezvous::new(&equal(2)).pick(9, &shares, none, |_| 0, 125), None);
}

#[test]
fn the_only_one_left_is_picked() {
    let (shares, loads) = (shares_of(&[1, 1]), loads(2));
    let (first, mut draws) = (TargetSet::default().with(0), Draws::new(1));
    let _busy = Underway::begin(&loads[1]);
    assert_eq!(SmoothWeighted::default().pick(shares.without(first)), Some(1));
    assert_eq!(least_requests(&shares, first, |place| loads.get(place), Uptime(0), &mut draws), Some(1));
    assert_eq!(lowest_latency(&shares, first, |place| loads.get(place), Uptime(0), &mut draws), Some(1));
    assert_eq!(
        Rendezvous::new(&equal(2)).pick(9, &shares, first, |place| loads[place].in_flight(), 125),
        Some(1)
    );
}

fn equal(targets: u128) -> Vec<(TargetId, u32)> {
    (0..targets).map(|number| (target(number), 1)).collect()
}

fn weighted(weights: &[u32]) -> Rendezvous {
    let targets: Vec<_> = (0..).map(target).zip(weights.iter().copied()).collect();
    Rendezvous::new(&targets)
}

fn key(number: u32) -> u64 {
    hash_key(format!("client-{number}").as_bytes())
}

fn place_of(hashing: &Rendezvous, weights: &[u32], key: u64) -> usize {
    hashing.pick(key, &shares_of(weights), TargetSet::default(), |_| 0, 125).unwrap()
}

#[test]
fn a_target_more_moves_few_keys_and_only_to_itself() {
    for targets in [2usize, 5, 10, 50] {
        let (before, after) =
            (Rendezvous::new(&equal(targets as u128)), Rendezvous::new(&equal(targets as u128 + 1)));
        let moved = (0..20_000).filter(|&number| {
            let old = place_of(&before, &vec![1; targets], key(number));
            let new = place_of(&after, &vec![1; targets + 1], key(number));
            assert!(new == old || new == targets, "a key moved from one old target to another");
            new != old
        });
        let share = f64::from(u32::try_from(moved.count()).unwrap()) / 20_000.0;
        let most = 1.3 / f64::from(u32::try_from(targets + 1).unwrap());
        assert!(share <= most, "{share} of the keys moved to one of {}", targets + 1);
    }
}

#[test]
fn a_target_that_is_out_moves_only_its_own_keys() {
    let hashing = Rendezvous::new(&equal(5));
    for number in 0..2_000 {
        let usual = place_of(&hashing, &[1; 5], key(number));
        let without = place_of(&hashing, &[1, 1, 0, 1, 1], key(number));
        assert!(without != 2 && (without == usual || usual == 2));
    }
}

#[test]
fn keys_are_spread_as_the_weights_say() {
    let hashing = weighted(&[4, 2, 1, 1]);
    let mut counts = [0u32; 4];
    for number in 0..40_000 {
        counts[place_of(&hashing, &[4, 2, 1, 1], key(number))] += 1;
    }
    for (count, expected) in counts.into_iter().zip([20_000, 10_000, 5_000, 5_000]) {
        assert!(count.abs_diff(expected) * 100 < expected * 5, "{counts:?}");
    }
}

#[test]
fn the_lightest_target_gets_its_part_beside_the_heaviest() {
    let (hashing, weights) = (weighted(&[65_535, 1]), [65_535, 1]);
    let light = (0..500_000).filter(|&number| place_of(&hashing, &weights, key(number)) == 1).count();
    assert!((1..=20).contains(&light), "{light} where some 8 are expected");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn keys_move_only_to_a_target_that_is_new_or_heavier(
        mut weights in prop_oneof![
            prop::collection::vec(80u32..=100, 2..10),
            prop::collection::vec(1u32..=65_535, 2..10),
            prop::collection::vec(prop_oneof![Just(1u32), Just(65_534)], 2..10),
        ],
        edited: prop::sample::Index,
        added in prop_oneof![Just(0u32), 80u32..=100, 1u32..=65_535],
    ) {
        const KEYS: u32 = 5_000;
        let before = weights.clone();
        // Either one more, or one heavier by one.
        let changed = if added == 0 {
            let place = edited.index(weights.len());
            weights[place] += 1;
            place
        } else {
            weights.push(added);
            before.len()
        };
        let (old, new) = (weighted(&before), weighted(&weights));
        let mut moved = 0;
        for number in 0..KEYS {
            let (from, to) = (place_of(&old, &before, key(number)), place_of(&new, &weights, key(number)));
            prop_assert!(to == from || to == changed, "from {from} to {to} of {weights:?}");
            moved += u32::from(to != from);
        }
        let total: u32 = weights.iter().sum();
        let part = f64::from(if added == 0 { 1 } else { added }) / f64::from(total);
        // Four standard deviations of chance for small parts, which three tenths of them leave no room for.
        let chance = 4.0 * (part / f64::from(KEYS)).sqrt() + 4.0 / f64::from(KEYS);
        let moved = f64::from(moved) / f64::from(KEYS);
        prop_assert!(moved <= part + f64::max(0.3 * part, chance), "{moved} for {part} of {weights:?}");
    }
}

#[test]
fn no_target_has_more_than_its_share_of_a_key_that_everybody_wants() {
    let (hashing, shares, loads) = (Rendezvous::new(&equal(5)), shares_of(&[1; 5]), loads(5));
    let mut under_way = Vec::new();
    for count in 1..=100u32 {
        let in_flight = |place: usize| loads[place].in_flight();
        let place = hashing.pick(key(1), &shares, TargetSet::default(), in_flight, 125).unwrap();
        under_way.push(Underway::begin(&loads[place]));
        let most = (count * 125).div_ceil(5 * 100);
        assert!(loads[place].in_flight() <= most, "{} of {count}", loads[place].in_flight());
    }
    assert_eq!(loads[place_of(&hashing, &[1; 5], key(1))].in_flight(), 25, "its own has as much as it may");
}

#[test]
fn where_a_key_lies_is_the_same_in_every_version() {
    // Two nodes of different builds must agree.
    assert_eq!(hash_key(b"client-1"), 4_085_887_618_957_778_098);
}
