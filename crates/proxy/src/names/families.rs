//! What DNS servers say of one whole name: IPv4 and IPv6 are asked for at once, so that the addresses of both are of the
//! same name.

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::timeout;

use super::LookupError;
use super::resolver::Failure;

/// How long one family of addresses is waited for once the other is there.
const OTHER_FAMILY: Duration = Duration::from_secs(1);
/// How long a denial is good that states no time to live.
const UNSTATED_DENIAL: Duration = Duration::from_secs(2);

/// The addresses of both families, at least one, and for how long they are good.
pub(super) type Joined = Result<(Vec<IpAddr>, Duration), Failure>;

/// What servers say of one family.
enum Family {
    Addresses(Vec<IpAddr>, Duration),
    /// The name has none, for so long.
    Empty(LookupError, Duration),
    /// They do not say.
    Unknown(LookupError),
}

/// Where one family's addresses do not come, those `before` stand in; one that is late once the other is there is done
/// without.
pub(super) async fn look_up(servers: &TokioResolver, whole_name: &str, before: &[IpAddr]) -> Joined {
    let of = |family| ask(servers, whole_name, family);
    let (mut v4, mut v6) = (pin!(of(RecordType::A)), pin!(of(RecordType::AAAA)));
    let (v4, v6) = tokio::select! {
        first = &mut v4 => {
            let second = beside(&first, v6).await;
            (first, second)
        }
        first = &mut v6 => {
            let second = beside(&first, v4).await;
            (second, first)
        }
    };
    joined(v4, v6, before)
}

async fn ask(servers: &TokioResolver, whole_name: &str, family: RecordType) -> Family {
    let name = match Name::from_str_relaxed(whole_name) {
        Ok(name) => name,
        Err(error) => return Family::Unknown(LookupError::of(error)),
    };
    match servers.lookup(name, family).await {
        Ok(lookup) => family_of(&lookup),
        Err(error) => match denial(&error) {
            Some(time_to_live) => Family::Empty(LookupError::of(error), time_to_live),
            None => Family::Unknown(LookupError::of(error)),
        },
    }
}

async fn beside(first: &Family, second: impl Future<Output = Family>) -> Family {
    match first {
        Family::Addresses(..) => timeout(OTHER_FAMILY, second)
            .await
            .unwrap_or_else(|_| Family::Unknown(LookupError("no answer in time".into()))),
        Family::Empty(..) | Family::Unknown(_) => second.await,
    }
}

fn family_of(lookup: &Lookup) -> Family {
    let ips = addresses_of(lookup);
    if ips.is_empty() {
        return Family::Empty(LookupError::nothing(), UNSTATED_DENIAL);
    }
    let secs = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    Family::Addresses(ips, Duration::from_secs(secs.into()))
}

/// For how long the name has no address, where that is what the servers say.
fn denial(error: &NetError) -> Option<Duration> {
    let NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, soa, ns, negative_ttl, .. })) =
        error
    else {
        return None;
    };
    let is_denied = match *response_code {
        ResponseCode::NXDomain => true,
        // Name servers alone mean that others know (RFC 2308 section 2.2).
        ResponseCode::NoError => soa.is_some() || ns.is_none(),
        _ => false,
    };
    let stated = || negative_ttl.map_or(UNSTATED_DENIAL, |secs| Duration::from_secs(secs.into()));
    is_denied.then(stated)
}

pub(super) fn addresses_of(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn joined(v4: Family, v6: Family, before: &[IpAddr]) -> Joined {
    match (v4, v6) {
        (Family::Empty(error, v4), Family::Empty(_, v6)) => {
            Err(Failure::Denied { error, time_to_live: v4.min(v6) })
        }
        (Family::Unknown(error), Family::Unknown(_) | Family::Empty(..))
        | (Family::Empty(..), Family::Unknown(error)) => Err(Failure::Unknown(error)),
        (v4, v6) => Ok(together(v4, v6, before)),
    }
}

fn together(v4: Family, v6: Family, before: &[IpAddr]) -> (Vec<IpAddr>, Duration) {
    let (mut all, mut shortest) = (Vec::new(), Duration::MAX);
    for (family, is_v4) in [(v4, true), (v6, false)] {
        match family {
            Family::Addresses(ips, time_to_live) => {
                all.extend(ips);
                shortest = shortest.min(time_to_live);
            }
            Family::Empty(..) => {}
            Family::Unknown(_) => {
                all.extend(before.iter().copied().filter(|ip| ip.is_ipv4() == is_v4));
            }
        }
    }
    (all, shortest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn error() -> LookupError {
        LookupError("no answer".into())
    }

    fn empty(secs: u64) -> Family {
        Family::Empty(error(), Duration::from_secs(secs))
    }

    #[test]
    fn a_family_that_servers_do_not_tell_of_stays_as_it_was() {
        let before = [ip("192.0.2.1"), ip("2001:db8::1")];
        let v6 = || Family::Addresses(vec![ip("2001:db8::2")], Duration::from_secs(9));
        let (kept, time_to_live) = joined(Family::Unknown(error()), v6(), &before).unwrap();
        assert_eq!(kept, [ip("192.0.2.1"), ip("2001:db8::2")]);
        assert_eq!(time_to_live, Duration::from_secs(9));
        assert_eq!(joined(empty(1), v6(), &before).unwrap().0, [ip("2001:db8::2")]);
    }

    #[test]
    fn a_name_is_denied_where_neither_family_is_there() {
        let denied = joined(empty(9), empty(4), &[]);
        let Err(Failure::Denied { time_to_live, .. }) = denied else { panic!("{denied:?}") };
        assert_eq!(time_to_live, Duration::from_secs(4));
        for unknown in
            [joined(empty(9), Family::Unknown(error()), &[]), joined(Family::Unknown(error()), empty(9), &[])]
        {
            assert!(matches!(unknown, Err(Failure::Unknown(_))), "{unknown:?}");
        }
    }

    #[test]
    fn servers_that_name_others_or_fail_deny_nothing() {
        let no_records = |response_code| {
            let query = hickory_resolver::proto::op::Query::new();
            NoRecords::new(query, response_code)
        };
        let denied_for = |no_records: NoRecords| denial(&no_records.into());
        assert_eq!(denied_for(no_records(ResponseCode::NXDomain)), Some(UNSTATED_DENIAL));
        assert_eq!(denied_for(no_records(ResponseCode::NoError)), Some(UNSTATED_DENIAL));
        let mut stated = no_records(ResponseCode::NXDomain);
        stated.negative_ttl = Some(7);
        assert_eq!(denied_for(stated), Some(Duration::from_secs(7)));
        let mut referral = no_records(ResponseCode::NoError);
        referral.ns = Some([].into());
        assert_eq!(denied_for(referral), None);
        assert_eq!(denied_for(no_records(ResponseCode::ServFail)), None);
        assert_eq!(denial(&NetError::Timeout), None);
    }
}
