//! The addresses of one target: requests take turns at all of them, and one that cannot be reached is gone around.
//!
//! Invariants:
//! - While there is an address, it is somebody's turn.
//! - One that is avoided has no turn, unless all are avoided; when its time is over, one request at a time tries it, over
//!   a new connection.
//! - Those that are well have equally many turns, whether or not others are avoided between them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::uptime::Uptime;

/// How long an address that could not be reached is gone around.
const AVOIDED_FOR: Duration = Duration::from_secs(10);
/// How long the one request that tries it again is waited for.
const TRIED_FOR: Duration = Duration::from_secs(1);

/// In order, whichever way the name's servers shuffle them.
#[derive(Debug, Default)]
pub struct Addresses(Box<[Address]>);

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    /// An [`Uptime`]; zero for one that is well.
    avoided_until: AtomicU64,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Any connection to it will do.
    At(IpAddr),
    /// It could not be reached a while ago: only a new connection tells whether it can be.
    Trial(IpAddr),
}

impl Turn {
    pub const fn ip(self) -> IpAddr {
        match self {
            Self::At(ip) | Self::Trial(ip) => ip,
        }
    }
}

impl Addresses {
    /// Of more than so many, the rest is left out.
    pub const MOST: usize = 64;

    /// Each once. What is known of an address that was there `before` is kept.
    pub fn new(ips: impl IntoIterator<Item = IpAddr>, before: Option<&Self>) -> Self {
        let mut ips: Vec<_> = ips.into_iter().collect();
        ips.sort_unstable();
        ips.dedup();
        ips.truncate(Self::MOST);
        let known = |ip| before.and_then(|before| before.find(ip));
        let address = |ip| {
            let avoided_until = known(ip).map_or(0, |known| known.avoided_until.load(Ordering::Relaxed));
            Address { ip, avoided_until: AtomicU64::new(avoided_until) }
        };
        Self(ips.into_iter().map(address).collect())
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = IpAddr> + '_ {
        self.0.iter().map(|address| address.ip)
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        self.find(ip).is_some()
    }

    /// Where in the order of [`Addresses::iter`] it is.
    pub fn place(&self, ip: IpAddr) -> Option<usize> {
        self.0.binary_search_by_key(&ip, |address| address.ip).ok()
    }

    /// Whose turn it is, and with the cursor whose it is next; `None` where there is no address.
    pub fn take_turn(&self, cursor: &mut usize, now: Uptime) -> Option<Turn> {
        let start = cursor.checked_rem(self.0.len())?;
        let places = || (start..self.0.len()).chain(0..start);
        let (place, turn) = places()
            .find_map(|place| Some((place, self.0[place].turn(now)?)))
            .unwrap_or_else(|| (start, Turn::At(self.0[start].ip)));
        *cursor = place + 1;
        Some(turn)
    }

    /// All of them as they are tried one after another: this one, those that are well, those that are avoided.
    pub fn beginning_with(&self, first: IpAddr, now: Uptime) -> Vec<IpAddr> {
        let others = || self.0.iter().filter(|address| address.ip != first);
        let (mut order, is_avoided) = (vec![first], |address: &&Address| address.is_avoided(now));
        order.extend(others().filter(|address| !is_avoided(address)).map(|address| address.ip));
        order.extend(others().filter(is_avoided).map(|address| address.ip));
        order
    }

    /// It could not be reached, while another could.
    pub fn avoid(&self, ip: IpAddr, now: Uptime) {
        if let Some(address) = self.find(ip) {
            address.avoided_until.store(now.after(AVOIDED_FOR).0, Ordering::Relaxed);
        }
    }

    /// It was reached.
    pub fn note_reached(&self, ip: IpAddr) {
        if let Some(address) = self.find(ip).filter(|address| !address.is_well()) {
            address.avoided_until.store(0, Ordering::Relaxed);
        }
    }

    fn find(&self, ip: IpAddr) -> Option<&Address> {
        self.place(ip).and_then(|place| self.0.get(place))
    }
}

impl Address {
    fn is_well(&self) -> bool {
        self.avoided_until.load(Ordering::Relaxed) == 0
    }

    fn is_avoided(&self, now: Uptime) -> bool {
        self.avoided_until.load(Ordering::Relaxed) > now.0
    }

    /// Whoever is told so of one whose time is over is the one that tries it.
    fn turn(&self, now: Uptime) -> Option<Turn> {
        let until = self.avoided_until.load(Ordering::Relaxed);
        if until == 0 {
            return Some(Turn::At(self.ip));
        }
        let next = now.after(TRIED_FOR).0;
        let is_first =
            || self.avoided_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        (until <= now.0 && is_first()).then_some(Turn::Trial(self.ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Uptime = Uptime::from_secs(100);

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn three() -> Addresses {
        Addresses::new([ip(3), ip(1), ip(2), ip(1)], None)
    }

    fn turns(addresses: &Addresses, now: Uptime) -> Vec<Turn> {
        let mut cursor = 0;
        (0..6).filter_map(|_| addresses.take_turn(&mut cursor, now)).collect()
    }

    fn at(last_octets: &[u8]) -> Vec<Turn> {
        last_octets.iter().map(|&last| Turn::At(ip(last))).collect()
    }

    #[test]
    fn requests_take_turns_whatever_order_the_answer_had() {
        assert_eq!(turns(&three(), NOW), at(&[1, 2, 3, 1, 2, 3]));
        assert_eq!(turns(&Addresses::default(), NOW), []);
    }

    #[test]
    fn turns_go_on_from_wherever_the_cursor_was() {
        let mut cursor = usize::MAX;
        let taken: Vec<_> = (0..3).filter_map(|_| three().take_turn(&mut cursor, NOW)).collect();
        assert_eq!(taken, at(&[1, 2, 3]));
    }

    #[test]
    fn one_that_cannot_be_reached_is_gone_around_and_tried_again_by_one_request() {
        let addresses = three();
        addresses.avoid(ip(2), NOW);
        assert_eq!(turns(&addresses, Uptime::from_secs(109)), at(&[1, 3, 1, 3, 1, 3]), "in equal parts");
        assert_eq!(addresses.beginning_with(ip(3), NOW), [ip(3), ip(1), ip(2)]);
        let later = Uptime::from_secs(111);
        let tried = [at(&[1]), vec![Turn::Trial(ip(2))], at(&[3, 1, 3, 1])].concat();
        assert_eq!(turns(&addresses, later), tried);
        addresses.note_reached(ip(2));
        assert_eq!(turns(&addresses, later), turns(&three(), later));
    }

    #[test]
    fn it_is_somebody_s_turn_though_all_are_avoided() {
        let addresses = three();
        addresses.iter().for_each(|ip| addresses.avoid(ip, NOW));
        assert_eq!(turns(&addresses, NOW), turns(&three(), NOW));
    }

    #[test]
    fn a_new_answer_forgets_nothing_of_those_that_stay() {
        let before = three();
        before.avoid(ip(1), NOW);
        let after = Addresses::new([ip(1), ip(4)], Some(&before));
        assert_eq!(turns(&after, NOW), at(&[4; 6]));
        assert!(after.contains(ip(4)) && !after.contains(ip(3)));
    }

    #[test]
    fn there_are_at_most_so_many() {
        let many = (0..=u8::MAX).map(ip);
        assert_eq!(Addresses::new(many, None).iter().len(), Addresses::MOST);
    }
}
