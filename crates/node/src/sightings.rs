//! What the control plane was told of services, so that it is told only what has changed. What was not answered is not taken
//! for told: everything is told anew then.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use tollgate_core::feed::{Order, OrderId, Ordered};
use tollgate_core::resource::ServiceId;
use tollgate_core::sighting::{
    Begins, Ends, MOST_A_NODE, MOST_A_REPORT, ServiceSeen, Sighting, SightingReport,
};
use tollgate_core::uptime::Uptime;
use uuid::Uuid;

/// A check that finds what the one before has found is told this often.
const SAME_RESULT_EVERY: Duration = Duration::from_secs(15);

pub struct Sightings {
    told: HashMap<ServiceId, Told>,
    /// Checked because somebody asked for it: told whatever was found.
    asked_for: HashSet<ServiceId>,
    done: Vec<OrderId>,
    /// The last, until it was answered and after.
    report: SightingReport,
    begins: Begins,
}

struct Told {
    seen: ServiceSeen,
    at: Instant,
}

impl Sightings {
    pub fn new(session: Uuid) -> Self {
        let report = SightingReport {
            session,
            sequence: 0,
            now: Uptime::default(),
            begins: Begins::Anew,
            ends: Ends::Complete,
            services: Vec::new(),
            usual: Vec::new(),
            done: Vec::new(),
        };
        Self {
            told: HashMap::new(),
            asked_for: HashSet::new(),
            done: Vec::new(),
            report,
            begins: Begins::Anew,
        }
    }

    /// What is not told yet, or as much of it as goes into a report.
    pub fn next(&mut self, sighting: Sighting, now: Instant) -> &SightingReport {
        let mut report = self.empty(sighting.now);
        let mut known = self.told.len();
        let gone: HashSet<ServiceId> = if self.all_are_in(&sighting) {
            HashSet::new()
        } else {
            let seen: HashSet<_> = sighting.services.iter().map(|seen| seen.service).collect();
            self.told.keys().filter(|service| !seen.contains(service)).copied().collect()
        };
        report.usual.extend(gone.iter().take(MOST_A_REPORT));
        if gone.len() > MOST_A_REPORT {
            report.ends = Ends::Cut;
        }
        for seen in sighting.services {
            if !self.is_new(&seen, now) {
                continue;
            }
            if !self.told.contains_key(&seen.service) {
                if known >= MOST_A_NODE {
                    continue;
                }
                known += 1;
            }
            if !report.has_room() {
                report.ends = Ends::Cut;
                break;
            }
            report.services.push(seen);
        }
        self.report = report;
        &self.report
    }

    /// That there will be nothing more.
    pub fn last(&mut self) -> &SightingReport {
        self.report = SightingReport { ends: Ends::ForGood, ..self.empty(self.report.now) };
        &self.report
    }

    /// Whether there is something to be told.
    pub fn is_news(&self, sighting: &Sighting, now: Instant) -> bool {
        let has_room = self.told.len() < MOST_A_NODE;
        self.begins == Begins::Anew
            || !self.done.is_empty()
            || !self.all_are_in(sighting)
            || sighting
                .services
                .iter()
                .any(|seen| (has_room || self.told.contains_key(&seen.service)) && self.is_new(seen, now))
    }

    /// Whether more is to be told at once.
    pub fn is_cut(&self) -> bool {
        self.report.ends == Ends::Cut
    }

    /// The last report was answered.
    pub fn told(&mut self, now: Instant) {
        for seen in self.report.services.drain(..) {
            self.asked_for.remove(&seen.service);
            self.told.insert(seen.service, Told { seen, at: now });
        }
        for service in self.report.usual.drain(..) {
            self.told.remove(&service);
        }
        let answered = self.report.done.len().min(self.done.len());
        self.done.drain(..answered);
        self.begins = Begins::WhereItWas;
    }

    /// The control plane may know nothing of what it was told.
    pub fn begin_anew(&mut self) {
        self.told.clear();
        self.report.ends = Ends::Complete;
        self.begins = Begins::Anew;
    }

    pub fn note_done(&mut self, order: &Order) {
        // Nobody waits for an answer that has waited behind so many.
        if self.done.len() < MOST_A_REPORT {
            self.done.push(order.id);
        }
        match &order.what {
            Ordered::ResetCircuits(_) => {}
            Ordered::Check(services) => {
                self.asked_for.extend(services.iter().map(|(_, service)| service).take(MOST_A_NODE));
            }
        }
    }

    fn empty(&self, now: Uptime) -> SightingReport {
        SightingReport {
            session: self.report.session,
            sequence: self.report.sequence + 1,
            now,
            begins: self.begins,
            ends: Ends::Complete,
            services: Vec::new(),
            usual: Vec::new(),
            done: self.done.clone(),
        }
    }

    /// Whether there is still something to say of all services that something was said of.
    fn all_are_in(&self, sighting: &Sighting) -> bool {
        let known = sighting.services.iter().filter(|seen| self.told.contains_key(&seen.service));
        known.count() == self.told.len()
    }

    fn is_new(&self, seen: &ServiceSeen, now: Instant) -> bool {
        match self.told.get(&seen.service) {
            None => true,
            Some(told) if told.seen == *seen => false,
            Some(told) => {
                !told.seen.is_like(seen)
                    || self.asked_for.contains(&seen.service)
                    || now.saturating_duration_since(told.at) >= SAME_RESULT_EVERY
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::breaker::State;
    use tollgate_core::health::{CheckOutcome, CheckResult, Verdict};
    use tollgate_core::resource::{TargetId, TenantId};
    use tollgate_core::sighting::{CircuitSeen, TargetSeen};
    use tollgate_core::time::UnixMicros;

    use super::*;

    const TENANT: TenantId = TenantId(Uuid::from_u128(1));

    fn id(number: u128) -> ServiceId {
        ServiceId(Uuid::from_u128(number))
    }

    fn open(number: u128) -> ServiceSeen {
        let circuit = CircuitSeen { state: State::Open, opened: 1, ..CircuitSeen::default() };
        ServiceSeen { tenant: TENANT, service: id(number), circuit, targets: Vec::new() }
    }

    fn checked(number: u128, at: u64) -> ServiceSeen {
        let last_check = Some(CheckResult {
            at: UnixMicros(at),
            latency: Duration::from_millis(1),
            outcome: CheckOutcome::Passed(200),
        });
        let target = TargetSeen {
            target: TargetId(Uuid::from_u128(9)),
            circuit: CircuitSeen::default(),
            verdict: Verdict::Healthy,
            ejected_until: None,
            last_check,
        };
        ServiceSeen { circuit: CircuitSeen::default(), targets: vec![target], ..open(number) }
    }

    fn sighting(services: Vec<ServiceSeen>) -> Sighting {
        Sighting { now: Uptime::from_secs(5), services }
    }

    fn sightings() -> (Sightings, Instant) {
        (Sightings::new(Uuid::from_u128(7)), Instant::now())
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let (mut sightings, now) = sightings();
        let first = sightings.next(sighting(vec![open(1), open(2)]), now).clone();
        assert_eq!((first.begins, first.ends, first.services.len()), (Begins::Anew, Ends::Complete, 2));
        sightings.told(now);
        assert!(!sightings.is_news(&sighting(vec![open(2), open(1)]), now));
        let mut again = open(2);
        again.circuit.opened = 2;
        let changed = sighting(vec![again.clone()]);
        assert!(sightings.is_news(&changed, now));
        let second = sightings.next(changed, now);
        assert_eq!((second.begins, second.sequence), (Begins::WhereItWas, first.sequence + 1));
        assert_eq!((&second.services, &second.usual), (&vec![again.clone()], &vec![id(1)]));
        sightings.told(now);
        assert!(!sightings.is_news(&sighting(vec![again]), now));
    }

    #[test]
    fn what_was_not_answered_is_told_anew_with_everything() {
        let (mut sightings, now) = sightings();
        sightings.next(sighting(vec![open(1)]), now);
        sightings.told(now);
        sightings.next(sighting(vec![open(1), open(2)]), now);
        sightings.begin_anew();
        let report = sightings.next(sighting(vec![open(1), open(2)]), now);
        assert_eq!((report.begins, report.services.len()), (Begins::Anew, 2));
    }

    #[test]
    fn much_is_told_in_several_reports() {
        let (mut sightings, now) = sightings();
        let all: Vec<_> = (0..150).map(open).collect();
        let mut reports = 0;
        loop {
            let report = sightings.next(sighting(all.clone()), now);
            assert_eq!(report.check(), Ok(()));
            sightings.told(now);
            reports += 1;
            if !sightings.is_cut() {
                break;
            }
        }
        assert_eq!((reports, sightings.told.len()), (3, 150));
    }

    #[test]
    fn a_check_that_finds_the_same_is_told_now_and_then_or_where_it_was_asked_for() {
        let (mut sightings, now) = sightings();
        sightings.next(sighting(vec![checked(1, 1)]), now);
        sightings.told(now);
        let later = sighting(vec![checked(1, 2)]);
        assert!(!sightings.is_news(&later, now));
        assert!(sightings.is_news(&later, now + SAME_RESULT_EVERY));
        let order = Order { id: OrderId(Uuid::nil()), what: Ordered::Check(vec![(TENANT, id(1))]) };
        sightings.note_done(&order);
        let report = sightings.next(later.clone(), now);
        assert_eq!((&report.services, &report.done), (&later.services, &vec![order.id]));
        sightings.told(now);
        assert!(!sightings.is_news(&later, now));
    }

    #[test]
    fn what_is_told_is_bounded() {
        let (mut sightings, now) = sightings();
        let all: Vec<_> = (0..MOST_A_NODE as u128 + 5).map(open).collect();
        loop {
            sightings.next(sighting(all.clone()), now);
            sightings.told(now);
            if !sightings.is_cut() {
                break;
            }
        }
        assert_eq!(sightings.told.len(), MOST_A_NODE);
        assert!(!sightings.is_news(&sighting(all), now));
    }
}
