//! One service, as one worker knows it: who takes requests, whose turn it is, and what may be retried.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tollgate_core::balance::{
    Load, Serving, SmoothWeighted, Standing, TargetSet, Unpicked, least_requests, lowest_latency,
    pick_permitted, serving,
};
use tollgate_core::breaker::Refused;
use tollgate_core::draws::Draws;
use tollgate_core::health::Verdict;
use tollgate_core::resource::TargetId;
use tollgate_core::retry::{Budget, BudgetRules, Withdrawal};
use tollgate_core::snapshot::{Circuits, Picking, Service, Target, Traffic};
use tollgate_core::uptime::Uptime;

use super::picked::{AtTarget, Picked};
use super::{ServiceLive, TargetLive};

pub(crate) struct LocalService {
    pub shared: Arc<ServiceLive>,
    view: RefCell<Option<View>>,
    budget: RefCell<Budget>,
}

/// Derived from the service as one revision has it, and from what is known of its targets.
struct View {
    revision: u64,
    epoch: u64,
    ids: Box<[TargetId]>,
    targets: Rc<[Arc<TargetLive>]>,
    serving: Serving,
    cursor: SmoothWeighted,
}

/// What a pick depends on besides.
pub(crate) struct Asked {
    /// Of the snapshot that the service is from.
    pub revision: u64,
    pub now: Uptime,
    pub random: u64,
    /// Not to be picked again.
    pub tried: TargetSet,
    /// What is hashed, where the service's requests are told apart.
    pub key: u64,
}

impl LocalService {
    pub fn new(shared: Arc<ServiceLive>) -> Self {
        Self { shared, view: RefCell::default(), budget: RefCell::default() }
    }

    /// A target that takes requests and was not tried, and whose own circuit, where it has one, lets the request through.
    pub fn pick<'s>(
        &self,
        service: &'s Service,
        traffic: &'s Traffic,
        asked: &Asked,
    ) -> Result<Picked<'s>, Unpicked> {
        let mut slot = self.view.borrow_mut();
        let view = self.current(&mut slot, service, traffic, asked);
        let (place, permit) = match &traffic.circuits {
            Circuits::Nobody | Circuits::Service(_) => {
                (view.pick_with_doubts(traffic, asked, asked.tried).ok_or(Unpicked::Nobody)?, None)
            }
            Circuits::EachTarget(rules) => {
                let targets = Rc::clone(&view.targets);
                let ask = |place| AtTarget { targets: Rc::clone(&targets), place }.ask(rules, asked.now);
                let next = |left_out| view.pick_with_doubts(traffic, asked, left_out);
                let picked = pick_permitted(asked.tried, next, ask);
                let (place, permit) = picked.map_err(|refused| match view.serving.reopens_at {
                    Some(at) => refused.or_sooner(Refused::OpenFor(at.since(asked.now))),
                    None => refused,
                })?;
                (place, Some(permit))
            }
        };
        let target = service.targets.get(place).ok_or(Unpicked::Nobody)?;
        Ok(Picked::begin(target, AtTarget { targets: Rc::clone(&view.targets), place }, permit))
    }

    pub fn deposit(&self, rules: &BudgetRules, now: Uptime) {
        self.budget.borrow_mut().deposit(rules, now);
    }

    pub fn withdraw(&self, rules: &BudgetRules, now: Uptime) -> Withdrawal {
        self.budget.borrow_mut().withdraw(rules, now)
    }

    /// The view, derived anew where it no longer holds.
    fn current<'v>(
        &self,
        slot: &'v mut Option<View>,
        service: &Service,
        traffic: &Traffic,
        asked: &Asked,
    ) -> &'v mut View {
        let epoch = self.shared.epoch();
        if let Some(view) = slot
            && (view.revision != asked.revision
                || view.epoch != epoch
                || view.serving.valid_until <= asked.now)
        {
            view.renew(&self.shared, service, traffic, asked, epoch);
        }
        slot.get_or_insert_with(|| View::new(&self.shared, service, traffic, asked, epoch))
    }
}

impl View {
    fn new(shared: &ServiceLive, service: &Service, traffic: &Traffic, asked: &Asked, epoch: u64) -> Self {
        let ids: Box<[TargetId]> = service.targets.iter().map(|target| target.id).collect();
        let targets: Rc<[Arc<TargetLive>]> = ids.iter().map(|&id| shared.target(id)).collect();
        let serving = derive(&targets, service, traffic, asked.now);
        let cursor = SmoothWeighted::default();
        Self { revision: asked.revision, epoch, ids, targets, serving, cursor }
    }

    /// Another attempt goes to one that is in doubt only where there is nobody else.
    fn pick_with_doubts(&mut self, traffic: &Traffic, asked: &Asked, left_out: TargetSet) -> Option<usize> {
        if asked.tried.is_empty() {
            return self.pick(traffic, asked, left_out);
        }
        let with_doubtful = left_out.union(self.serving.doubtful);
        self.pick(traffic, asked, with_doubtful).or_else(|| self.pick(traffic, asked, left_out))
    }

    fn pick(&mut self, traffic: &Traffic, asked: &Asked, left_out: TargetSet) -> Option<usize> {
        let Self { targets, serving, cursor, .. } = self;
        let shares = &serving.shares;
        let load = |place: usize| targets.get(place).map(|target| target.load());
        let mut draws = Draws::new(asked.random);
        match &traffic.picking {
            Picking::RoundRobin => cursor.pick(shares.without(left_out)),
            Picking::LeastRequests => least_requests(shares, left_out, load, asked.now, &mut draws),
            Picking::LowestLatency => lowest_latency(shares, left_out, load, asked.now, &mut draws),
            Picking::Hash { rendezvous, most_load_percent, .. } => {
                let in_flight = |place| load(place).map_or(0, Load::in_flight);
                rendezvous.pick(asked.key, shares, left_out, in_flight, *most_load_percent)
            }
        }
    }

    fn renew(
        &mut self,
        shared: &ServiceLive,
        service: &Service,
        traffic: &Traffic,
        asked: &Asked,
        epoch: u64,
    ) {
        if self.revision != asked.revision
            && !self.ids.iter().eq(service.targets.iter().map(|target| &target.id))
        {
            let before = |target: &Target| self.ids.iter().position(|&id| id == target.id);
            let new = Self::new(shared, service, traffic, asked, epoch);
            let (old_shares, shares) = (&self.serving.shares, &new.serving.shares);
            let cursor = self.cursor.moved(old_shares, shares, service.targets.iter().map(before));
            *self = Self { cursor, ..new };
            return;
        }
        let serving = derive(&self.targets, service, traffic, asked.now);
        let places = (0..self.ids.len()).map(Some);
        self.cursor = self.cursor.moved(&self.serving.shares, &serving.shares, places);
        self.serving = serving;
        (self.revision, self.epoch) = (asked.revision, epoch);
    }
}

fn derive(targets: &[Arc<TargetLive>], service: &Service, traffic: &Traffic, now: Uptime) -> Serving {
    let standings: Vec<_> = service
        .targets
        .iter()
        .zip(targets)
        .map(|(target, live)| {
            // What a check on demand has found decides nothing.
            let (health, back_since) =
                if traffic.health_check.is_some() { live.checked() } else { (Verdict::Unknown, None) };
            let ejected_until = traffic.outlier.and_then(|_| live.ejected_until());
            let open_until = match traffic.circuits {
                Circuits::EachTarget(_) => live.breaker.open_until(),
                Circuits::Nobody | Circuits::Service(_) => None,
            };
            let (weight, duty) = (target.weight, target.duty);
            Standing { weight, duty, health, ejected_until, open_until, back_since }
        })
        .collect();
    let most_ejected_percent = traffic.outlier.map_or(0, |rules| rules.most_ejected_percent);
    serving(&standings, most_ejected_percent, traffic.slow_start, now)
}
