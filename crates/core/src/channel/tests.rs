use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::uptime::Uptime;

fn rules(limit: u32, most_queued: u32) -> ChannelRules {
    ChannelRules {
        concurrency: Concurrency::Fixed(NonZeroU32::new(limit).unwrap()),
        most_queued,
        longest_wait: Duration::from_secs(5),
    }
}

const NOW: Uptime = Uptime::from_secs(1);
const HELD: Duration = Duration::from_millis(100);

fn queued(arrived: Arrived) -> Ticket {
    match arrived {
        Arrived::Queued { ticket, evicted: None, .. } => ticket,
        other => panic!("not queued: {other:?}"),
    }
}

#[test]
fn so_many_go_at_once_then_so_many_wait_then_none_is_let_in() {
    let (mut channel, rules) = (Channel::default(), rules(2, 1));
    assert_eq!(channel.arrive(Flow(1), 1, &rules, NOW), Arrived::Go);
    assert_eq!(channel.arrive(Flow(1), 1, &rules, NOW), Arrived::Go);
    let waiting = queued(channel.arrive(Flow(1), 1, &rules, NOW));
    assert!(matches!(channel.arrive(Flow(1), 1, &rules, NOW), Arrived::Full(_)));
    assert_eq!(channel.call(&rules), None);
    channel.leave(HELD, None, &rules);
    assert_eq!(channel.call(&rules), Some(waiting));
    assert_eq!(channel.call(&rules), None);
    assert_eq!(channel.read(&rules), Reading { limit: 2, in_flight: 2, queued: 0, refused: 1 });
}

#[test]
fn a_quiet_consumer_does_not_wait_behind_a_noisy_one() {
    let (mut channel, rules) = (Channel::default(), rules(1, 100));
    channel.arrive(Flow(1), 1, &rules, NOW);
    for _ in 0..50 {
        queued(channel.arrive(Flow(1), 1, &rules, NOW));
    }
    let quiet = queued(channel.arrive(Flow(2), 1, &rules, NOW));
    let mut called = Vec::new();
    for _ in 0..2 {
        channel.leave(HELD, None, &rules);
        called.extend(channel.call(&rules));
    }
    assert!(called.contains(&quiet));
}

#[test]
fn a_quiet_consumer_finds_room_in_a_queue_that_a_noisy_one_has_filled() {
    let (mut channel, rules) = (Channel::default(), rules(1, 3));
    channel.arrive(Flow(1), 1, &rules, NOW);
    let noisy: Vec<_> = (0..3).map(|_| queued(channel.arrive(Flow(1), 1, &rules, NOW))).collect();
    assert!(matches!(channel.arrive(Flow(1), 1, &rules, NOW), Arrived::Full(_)));
    match channel.arrive(Flow(2), 1, &rules, NOW) {
        Arrived::Queued { evicted: Some((ticket, _)), .. } => assert_eq!(ticket, noisy[2], "the newest"),
        other => panic!("no room: {other:?}"),
    }
    assert_eq!(channel.queued(), 3);
}

#[test]
fn who_gives_up_is_not_called() {
    let (mut channel, rules) = (Channel::default(), rules(1, 9));
    channel.arrive(Flow(1), 1, &rules, NOW);
    let gone = queued(channel.arrive(Flow(1), 1, &rules, NOW));
    let next = queued(channel.arrive(Flow(2), 1, &rules, NOW));
    channel.give_up(Flow(1), gone);
    channel.leave(HELD, None, &rules);
    assert_eq!(channel.call(&rules), Some(next));
    assert_eq!((channel.queued(), channel.in_flight()), (0, 1));
}

#[test]
fn who_is_refused_is_told_when_those_that_wait_will_be_gone() {
    let (mut channel, rules) = (Channel::default(), rules(2, 8));
    for _ in 0..200 {
        channel.arrive(Flow(1), 1, &rules, NOW);
        channel.leave(Duration::from_secs(1), None, &rules);
    }
    for _ in 0..10 {
        channel.arrive(Flow(1), 1, &rules, NOW);
    }
    match channel.arrive(Flow(1), 1, &rules, NOW) {
        Arrived::Full(Full { retry_after }) => assert!((4_400..=4_500).contains(&retry_after.as_millis())),
        other => panic!("let in: {other:?}"),
    }
}

#[test]
fn the_first_request_that_ends_says_how_long_they_take() {
    let (mut channel, rules) = (Channel::default(), rules(1, 5));
    for _ in 0..6 {
        channel.arrive(Flow(1), 1, &rules, NOW);
    }
    channel.leave(Duration::from_secs(1), None, &rules);
    // A place that nobody took says nothing of that.
    channel.call(&rules).unwrap();
    channel.decline();
    channel.call(&rules).unwrap();
    for _ in 0..2 {
        channel.arrive(Flow(1), 1, &rules, NOW);
    }
    match channel.arrive(Flow(1), 1, &rules, NOW) {
        Arrived::Full(Full { retry_after }) => assert_eq!(retry_after.as_secs(), 6),
        other => panic!("let in: {other:?}"),
    }
}

#[test]
fn costly_requests_have_their_turn_less_often() {
    let (mut channel, rules) = (Channel::default(), rules(1, 100));
    channel.arrive(Flow(9), 1, &rules, NOW);
    let costly: HashSet<_> = (0..30).map(|_| queued(channel.arrive(Flow(1), 3, &rules, NOW))).collect();
    for _ in 0..30 {
        queued(channel.arrive(Flow(2), 1, &rules, NOW));
    }
    let mut called = 0;
    for _ in 0..20 {
        channel.leave(HELD, None, &rules);
        called += usize::from(costly.contains(&channel.call(&rules).unwrap()));
    }
    assert_eq!(called, 5);
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(u8, u32),
    Leave,
    GiveUp(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (0u8..5, 1u32..4).prop_map(|(flow, cost)| Event::Arrive(flow, cost)),
        3 => Just(Event::Leave),
        1 => any::<usize>().prop_map(Event::GiveUp),
    ]
}

fn length(waiting: &[(Ticket, Flow)], flow: Flow) -> usize {
    waiting.iter().filter(|&&(_, of)| of == flow).count()
}

fn longest(waiting: &[(Ticket, Flow)]) -> Option<usize> {
    waiting.iter().map(|&(_, flow)| length(waiting, flow)).max()
}

/// Nothing walks through all flows: that would be some minutes here, and as long under the lock of a service that is
/// overloaded.
#[test]
fn very_many_flows_are_refused_evicted_and_give_up_as_cheaply_as_few() {
    const FLOWS: u128 = 100_000;
    let (mut channel, rules) = (Channel::default(), rules(1, 100_000));
    channel.arrive(Flow(0), 1, &rules, NOW);
    let mut waiting: HashMap<Ticket, Flow> = HashMap::new();
    for number in 0..FLOWS {
        let flow = Flow(number / 2);
        waiting.insert(queued(channel.arrive(flow, 1, &rules, NOW)), flow);
    }
    for number in 0..FLOWS / 2 {
        let newcomer = Flow(FLOWS + number);
        match channel.arrive(newcomer, 1, &rules, NOW) {
            Arrived::Queued { ticket, evicted: Some((evicted, _)), .. } => {
                waiting.remove(&evicted).expect("it waited");
                waiting.insert(ticket, newcomer);
            }
            other => panic!("no room: {other:?}"),
        }
    }
    for number in 0..FLOWS {
        assert!(matches!(channel.arrive(Flow(2 * FLOWS + number), 1, &rules, NOW), Arrived::Full(_)));
    }
    for (ticket, flow) in waiting {
        channel.give_up(flow, ticket);
    }
    assert_eq!((channel.queued(), channel.call(&rules)), (0, None));
    channel.leave(HELD, None, &rules);
    assert_eq!(channel.arrive(Flow(1), 1, &rules, NOW), Arrived::Go);
}

proptest! {
    /// Bounded, work-conserving, first come first served within a flow, each ticket once.
    #[test]
    fn the_invariants_hold(
        events in prop::collection::vec(any_event(), 1..300),
        limit in 1u32..5,
        most_queued in 0u32..8,
    ) {
        let (mut channel, rules) = (Channel::default(), rules(limit, most_queued));
        // What waits, in the order in which it came.
        let mut waiting: Vec<(Ticket, Flow)> = Vec::new();
        let mut under_way = 0;
        for event in events {
            match event {
                Event::Arrive(flow, cost) => {
                    let flow = Flow(flow.into());
                    match channel.arrive(flow, cost, &rules, NOW) {
                        Arrived::Go => {
                            prop_assert!(waiting.is_empty(), "nobody is overtaken");
                            under_way += 1;
                        }
                        Arrived::Queued { ticket, evicted, .. } => {
                            if let Some((evicted, _)) = evicted {
                                let of = waiting.iter().find(|(held, _)| *held == evicted).map(|&(_, of)| of);
                                prop_assert_eq!(of.map(|of| length(&waiting, of)), longest(&waiting));
                                let place = waiting.iter().position(|(held, _)| *held == evicted);
                                let (_, of) = waiting.remove(place.expect("it waited"));
                                prop_assert!(of != flow);
                                let newer = waiting.iter().any(|&(held, flow)| flow == of && held > evicted);
                                prop_assert!(!newer, "the newest makes way");
                            }
                            waiting.push((ticket, flow));
                        }
                        Arrived::Full(_) => {
                            prop_assert_eq!(channel.queued(), most_queued);
                            prop_assert!(longest(&waiting).is_none_or(|longest| longest <= length(&waiting, flow) + 1));
                        }
                    }
                }
                Event::Leave => {
                    if under_way > 0 {
                        under_way -= 1;
                        channel.leave(HELD, None, &rules);
                    }
                }
                Event::GiveUp(which) => {
                    if !waiting.is_empty() {
                        let (ticket, flow) = waiting.remove(which % waiting.len());
                        channel.give_up(flow, ticket);
                    }
                }
            }
            while let Some(ticket) = channel.call(&rules) {
                let place = waiting.iter().position(|(held, _)| *held == ticket);
                let (_, flow) = waiting.remove(place.expect("it waited"));
                let is_first = !waiting.iter().any(|&(held, of)| of == flow && held < ticket);
                prop_assert!(is_first, "first come, first served");
                under_way += 1;
            }
            prop_assert_eq!(channel.in_flight(), under_way);
            prop_assert_eq!(channel.queued() as usize, waiting.len());
            prop_assert!(under_way <= limit && channel.queued() <= most_queued, "bounded");
            prop_assert!(waiting.is_empty() || under_way == limit, "work-conserving");
        }
    }

    /// Flows that wait all the time get the same.
    #[test]
    fn it_is_fair(costs in prop::collection::vec(1u32..5, 2..6), rounds in 50usize..200) {
        let (mut channel, rules) = (Channel::default(), rules(1, 1_000));
        channel.arrive(Flow(99), 1, &rules, NOW);
        let mut of = HashMap::new();
        let mut spent = vec![0; costs.len()];
        let join = |channel: &mut Channel, flow: usize, of: &mut HashMap<Ticket, usize>| {
            let arrived = channel.arrive(Flow(flow as u128), costs[flow], &rules, NOW);
            of.insert(queued(arrived), flow);
        };
        for flow in 0..costs.len() {
            join(&mut channel, flow, &mut of);
            join(&mut channel, flow, &mut of);
        }
        for _ in 0..rounds {
            channel.leave(HELD, None, &rules);
            let flow = of[&channel.call(&rules).unwrap()];
            spent[flow] += costs[flow];
            join(&mut channel, flow, &mut of);
        }
        let (least, most) = (spent.iter().min().unwrap(), spent.iter().max().unwrap());
        prop_assert!(most - least <= costs.iter().max().unwrap() + 1, "{spent:?}");
    }
}
