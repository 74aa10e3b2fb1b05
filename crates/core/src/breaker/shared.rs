//! The breaker as workers share it.
//!
//! While all is well, asking and reporting is one look at a word that nobody writes: the lock is taken for failures,
//! while the breaker is not closed, and for every outcome where a window is counted in.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::machine::{Machine, Refused, State, Ticket, Transition};
use super::{BreakerRules, Trip};
use crate::outlier::Outcome;
use crate::uptime::Uptime;

#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Breaker {
    /// The generation, and below it in two bits whether the machine is closed and whether it is clean. Written under
    /// the lock.
    hint: AtomicU64,
    machine: Mutex<Machine>,
}

const CLOSED: u64 = 1;
const CLEAN: u64 = 2;
const FLAG_BITS: u32 = 2;

/// What people see of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    pub state: State,
    pub failures_in_a_row: u32,
    /// How often it has opened.
    pub opened: u64,
    /// How long it stays open.
    pub open_for: Option<Duration>,
}

/// A request that the breaker has let through. Dropped without a report it counts as neither success nor failure, and
/// gives its place back.
#[must_use]
#[derive(Debug)]
pub struct Permit<'r, B: Deref<Target = Breaker> = &'r Breaker> {
    breaker: B,
    rules: &'r BreakerRules,
    ticket: Option<Ticket>,
    state: State,
    transition: Option<Transition>,
}

impl Breaker {
    pub fn ask<'b>(&'b self, rules: &'b BreakerRules, now: Uptime) -> Result<Permit<'b>, Refused> {
        Permit::ask(self, rules, now)
    }

    /// The same of a request that went ahead unasked while the breaker was new: what has changed since is told from it
    /// by the breaker's generation, as with any other.
    pub fn asked_when_new<'b>(&'b self, rules: &'b BreakerRules, at: Uptime) -> Permit<'b> {
        let ticket = Some(Ticket { generation: 0, asked_at: at });
        Permit { breaker: self, rules, ticket, state: State::Closed, transition: None }
    }

    /// While it is open, when it lets the first request through.
    pub fn open_until(&self) -> Option<Uptime> {
        if self.hint() & CLOSED != 0 { None } else { self.machine.lock().open_until() }
    }

    /// Closes it, whatever has happened; says so where it was not closed.
    pub fn reset(&self) -> Option<Transition> {
        self.with(Machine::reset)
    }

    pub fn read(&self, now: Uptime) -> Reading {
        let machine = self.machine.lock();
        Reading {
            state: machine.state(),
            failures_in_a_row: machine.failures_in_a_row(),
            opened: machine.opened(),
            open_for: machine.open_until().map(|until| until.since(now)),
        }
    }

    /// A new one is closed and clean, and its hint is zero.
    fn hint(&self) -> u64 {
        match self.hint.load(Ordering::Acquire) {
            0 => CLOSED | CLEAN,
            hint => hint,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine.lock();
        let result = change(&mut machine);
        let closed = if machine.state() == State::Closed { CLOSED } else { 0 };
        let clean = if machine.is_clean() { CLEAN } else { 0 };
        let hint = (machine.generation() << FLAG_BITS) | closed | clean;
        if self.hint.load(Ordering::Relaxed) != hint {
            self.hint.store(hint, Ordering::Release);
        }
        result
    }
}

impl<'r, B: Deref<Target = Breaker>> Permit<'r, B> {
    /// The same as [`Breaker::ask`], for whoever holds the breaker in another way.
    pub fn ask(breaker: B, rules: &'r BreakerRules, now: Uptime) -> Result<Self, Refused> {
        let hint = breaker.hint();
        if hint & CLOSED != 0 {
            let ticket = Some(Ticket { generation: hint >> FLAG_BITS, asked_at: now });
            return Ok(Self { breaker, rules, ticket, state: State::Closed, transition: None });
        }
        let asked = breaker.with(|machine| {
            let (ticket, transition) = machine.ask(rules, now)?;
            Ok((ticket, transition, machine.state()))
        });
        let (ticket, transition, state) = asked?;
        Ok(Self { breaker, rules, ticket: Some(ticket), state, transition })
    }

    /// The breaker's state in which it was let through.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Where letting this request through has changed the breaker's state.
    pub const fn transition(&self) -> Option<Transition> {
        self.transition
    }

    /// What became of the request; says so where that changes the breaker's state.
    pub fn report(mut self, outcome: Outcome, now: Uptime) -> Option<Transition> {
        let ticket = self.ticket.take()?;
        let counts_in_a_row = matches!(self.rules.trip, Trip::Consecutive(_));
        let nothing_to_note = outcome == Outcome::Success
            && counts_in_a_row
            && self.breaker.hint() == (ticket.generation << FLAG_BITS) | CLOSED | CLEAN;
        if nothing_to_note {
            return None;
        }
        self.breaker.with(|machine| machine.report(ticket, outcome, self.rules, now))
    }
}

impl<B: Deref<Target = Breaker>> Drop for Permit<'_, B> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && self.breaker.hint() & CLOSED == 0
        {
            self.breaker.with(|machine| machine.cancel(ticket));
        }
    }
}
