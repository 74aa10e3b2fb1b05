//! A target that was picked, as long as a request is under way there.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use tollgate_core::balance::{Load, Underway};
use tollgate_core::breaker::{Breaker, BreakerRules, Permit, Refused, State, Transition};
use tollgate_core::outlier::Outcome;
use tollgate_core::snapshot::{Circuits, Target};
use tollgate_core::uptime::Uptime;

use super::TargetLive;

/// Counts the request as under way at the target until this is dropped.
pub(crate) struct Picked<'s> {
    pub target: &'s Target,
    pub place: usize,
    underway: Underway<AtTarget>,
    /// Of the target's own circuit, until that is told how the request went. Boxed: few services have such circuits, and
    /// every request has room for this.
    permit: RefCell<Option<Box<TargetPermit<'s>>>>,
}

pub(super) type TargetPermit<'s> = Permit<'s, CircuitAt>;

/// Counted within one thread, where the target's own count would travel between cores.
pub(super) struct AtTarget {
    pub targets: Rc<[Arc<TargetLive>]>,
    pub place: usize,
}

pub(super) struct CircuitAt(AtTarget);

impl AtTarget {
    fn live(&self) -> &TargetLive {
        &self.targets[self.place]
    }
}

impl Deref for AtTarget {
    type Target = Load;

    fn deref(&self) -> &Load {
        self.live().load()
    }
}

impl Deref for CircuitAt {
    type Target = Breaker;

    fn deref(&self) -> &Breaker {
        &self.0.live().breaker
    }
}

impl AtTarget {
    /// Asks the target's own circuit.
    pub fn ask(self, rules: &BreakerRules, now: Uptime) -> Result<Box<TargetPermit<'_>>, Refused> {
        Permit::ask(CircuitAt(self), rules, now).map(Box::new)
    }
}

impl<'s> Picked<'s> {
    pub(super) fn begin(target: &'s Target, at: AtTarget, permit: Option<Box<TargetPermit<'s>>>) -> Self {
        let place = at.place;
        Self { target, place, underway: Underway::begin(at), permit: RefCell::new(permit) }
    }

    pub fn live(&self) -> &TargetLive {
        self.underway.load().live()
    }

    /// The state of the target's own circuit that the request has met, and whether it has become so with this request;
    /// `None` where the target has none, or it was told how the request went.
    pub fn circuit(&self) -> Option<(State, Option<Transition>)> {
        self.permit.borrow().as_ref().map(|permit| (permit.state(), permit.transition()))
    }

    /// Asks the target's own circuit to let another attempt through, where it was told how the one before went; says so
    /// where that changes its state.
    pub fn ask_again(&self, circuits: &'s Circuits, now: Uptime) -> Result<Option<Transition>, Refused> {
        let Circuits::EachTarget(rules) = circuits else { return Ok(None) };
        let mut held = self.permit.borrow_mut();
        if held.is_some() {
            return Ok(None);
        }
        let targets = Rc::clone(&self.underway.load().targets);
        let permit = AtTarget { targets, place: self.place }.ask(rules, now)?;
        Ok(held.insert(permit).transition())
    }

    /// There is no other attempt that it was asked to let through.
    pub fn give_up(&self) {
        drop(self.permit.take());
    }

    /// Tells the target's own circuit how the request went; says so where that changes its state.
    pub fn report(&self, outcome: Outcome, now: Uptime) -> Option<Transition> {
        self.permit.take()?.report(outcome, now)
    }

    /// The target has answered to the end: it has the request no longer.
    pub fn end(&self) {
        self.underway.end();
    }
}
