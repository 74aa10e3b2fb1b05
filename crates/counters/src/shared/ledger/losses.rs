//! What the store may have lost of what this node knows of a subject, and whether it has it again.

use std::sync::Arc;

use tollgate_core::limit::{self, LimitRule, SubjectWindows, Window};
use tollgate_core::time::UnixMicros;

use super::Ledger;
use crate::shared::call::Answer;

impl Ledger {
    /// Whether the store answers as if it had not said what this node knows. It has lost something then, or all that was used
    /// was given back elsewhere. Until it is known which, what is answered after that is in doubt as well: it goes on from the
    /// count that has begun anew.
    pub fn doubts(&mut self, rules: &[LimitRule], answer: &Answer) -> bool {
        if self.is_less_than_known(rules, answer) {
            if !self.is_in_doubt && answer.was_said_in.contains(&0) {
                // It has seen the count that is gone: what is in hand was a part of that.
                self.began_at = UnixMicros(0);
            }
            self.is_in_doubt = true;
            return true;
        }
        self.was_before_put_back(answer.number)
    }

    /// Takes over what is heard in passing, unless it may be less than what was said before: nobody waits for that to be known, and
    /// who takes more for used than is lets nothing through that is not left.
    pub fn note_unless_less(&mut self, rules: &[LimitRule], answer: &Answer) {
        if !self.is_less_than_known(rules, answer) && !self.was_before_put_back(answer.number) {
            self.note(rules, answer);
        }
    }

    fn is_less_than_known(&self, rules: &[LimitRule], answer: &Answer) -> bool {
        let is_unheard = |(rule, &was_said_in): (&LimitRule, &u64)| {
            let used = |windows| limit::used(std::slice::from_ref(rule), windows, answer.now)[0];
            let known = used(&self.mirror);
            // Another node may have been there since, and made the count anew: others give back, but seldom as much.
            let is_much_less = || used(&answer.windows) < known / 2;
            let is_anew = was_said_in == 0 || was_said_in > self.known_in(rule.window);
            known > 0 && (self.is_in_doubt || is_anew || is_much_less())
        };
        let is_next = self.mirror_number > 0 && answer.number > self.mirror_number;
        is_next && rules.iter().zip(&answer.was_said_in).any(is_unheard)
    }

    /// Whether what was charged with this answer is a part of what was put back after it: the larger of both counts.
    pub const fn was_before_put_back(&self, answer_number: u64) -> bool {
        answer_number < self.put_back_number
    }

    fn known_in(&self, window: Window) -> u64 {
        self.known_in.iter().find(|(known, _)| *known == window).map_or(0, |(_, incarnation)| *incarnation)
    }

    pub(super) fn is_known_in(&mut self, rules: &[LimitRule], incarnation: u64) {
        for rule in rules {
            match self.known_in.iter_mut().find(|(window, _)| *window == rule.window) {
                Some((_, known_in)) => *known_in = incarnation,
                None => self.known_in.push((rule.window, incarnation)),
            }
        }
    }

    /// What a store of this incarnation may not know any more of these limits; it counts as told from here on.
    pub fn take_lost(&mut self, since: u64) -> Option<SubjectWindows> {
        let mut lost = SubjectWindows::default();
        for rule in self.rules.iter().filter(|rule| self.known_in(rule.window) < since) {
            if let Some(counted) = self.mirror.find(rule.window) {
                lost.put(rule.window, counted.clone());
            }
        }
        if lost.is_empty() {
            return None;
        }
        let rules = Arc::clone(&self.rules);
        self.is_known_in(&rules, since);
        self.is_in_doubt = false;
        self.put_back_number = u64::MAX;
        Some(lost)
    }

    /// Which answers come after what was put back.
    pub const fn is_put_back(&mut self, number: u64) {
        self.put_back_number = number;
    }

    /// Ends slices that perhaps an emptied store has granted, of limits that it was not seen to count before: another node may put
    /// back more than it counted then, and what would be given back would be taken off that.
    pub fn end_granted_since(&mut self, sound_until: UnixMicros) {
        if self.began_at > sound_until {
            let _not_given_back = self.slices.end();
        }
    }

    /// What was taken to be put back was not heard.
    pub fn is_not_put_back(&mut self, rules: &[LimitRule]) {
        self.is_known_in(rules, 0);
        self.put_back_number = 0;
    }
}
