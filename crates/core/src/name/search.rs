//! Which whole names are asked for, one after another, for a name that may be a part of one, and how: as resolv.conf(5)
//! says, and glibc reads it.

use std::time::Duration;

/// However much an option says, as glibc has it.
const MOST_DOTS: usize = 15;
const MOST_TIMEOUT_SECS: usize = 30;
const MOST_ATTEMPTS: usize = 5;
/// RFC 1035 section 2.3.4, as text without the dot at the end.
const LONGEST_NAME_BYTES: usize = 253;

/// The search list, and when it comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// Without dots at their ends; the root is empty.
    domains: Vec<String>,
    dots: usize,
}

impl Search {
    /// Names with fewer than so many dots are looked for in the domains first.
    pub fn new(domains: impl IntoIterator<Item = impl AsRef<str>>, dots: usize) -> Self {
        let domain = |text: &str| text.strip_suffix('.').unwrap_or(text).to_owned();
        Self { domains: domains.into_iter().map(|text| domain(text.as_ref())).collect(), dots }
    }

    /// Whole names, each once and with a dot at its end. A name that has one already is whole.
    pub fn candidates(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let as_is = format!("{name}.");
        let searched = self.domains.iter().map(|domain| match domain.as_str() {
            "" => as_is.clone(),
            domain => format!("{name}.{domain}."),
        });
        let mut candidates = Vec::with_capacity(self.domains.len() + 1);
        let is_rather_whole = name.bytes().filter(|&byte| byte == b'.').count() >= self.dots;
        let before = is_rather_whole.then(|| as_is.clone());
        for candidate in before.into_iter().chain(searched).chain([as_is.clone()]) {
            if candidate.len() <= LONGEST_NAME_BYTES + 1 && !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        candidates
    }
}

/// How servers are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// `ndots`.
    pub dots: usize,
    /// For one server's answer.
    pub timeout: Duration,
    pub attempts: usize,
}

impl ServerOptions {
    /// These, but for what `RES_OPTIONS` says otherwise. Options that are not known are passed over, as are numbers that
    /// are none.
    #[must_use]
    pub fn overridden_by(mut self, res_options: &str) -> Self {
        for option in res_options.split([' ', '\t', '\n']) {
            let Some((option, number)) = option.split_once(':') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match option {
                "ndots" => self.dots = number.min(MOST_DOTS),
                "timeout" => {
                    let secs = number.clamp(1, MOST_TIMEOUT_SECS);
                    self.timeout = Duration::from_secs(u64::try_from(secs).unwrap_or(u64::MAX));
                }
                "attempts" => self.attempts = number.clamp(1, MOST_ATTEMPTS),
                _ => {}
            }
        }
        self
    }
}

/// The search list that `LOCALDOMAIN` says: what is on its first line, between blanks.
pub fn local_domains(text: &str) -> impl Iterator<Item = &str> {
    let line = text.lines().next().unwrap_or_default();
    line.split([' ', '\t']).filter(|domain| !domain.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOMAINS: [&str; 3] = ["shop.svc.cluster.local", "svc.cluster.local.", "example.com"];

    #[test]
    fn a_name_with_few_dots_is_looked_for_in_the_domains_first() {
        let search = Search::new(DOMAINS, 2);
        let expected = [
            "api.shop.shop.svc.cluster.local.",
            "api.shop.svc.cluster.local.",
            "api.shop.example.com.",
            "api.shop.",
        ];
        assert_eq!(search.candidates("api.shop"), expected);
    }

    #[test]
    fn a_name_with_dots_enough_is_asked_for_as_it_is_first() {
        let search = Search::new(["example.com"], 1);
        assert_eq!(search.candidates("api.test"), ["api.test.", "api.test.example.com."]);
        assert_eq!(search.candidates("api"), ["api.example.com.", "api."]);
        assert_eq!(Search::new(["example.com"], 0).candidates("api"), ["api.", "api.example.com."]);
    }

    #[test]
    fn a_name_is_whole_where_it_says_so_or_there_are_no_domains() {
        assert_eq!(Search::new(DOMAINS, 5).candidates("api.test."), ["api.test."]);
        assert_eq!(Search::default().candidates("api"), ["api."]);
    }

    #[test]
    fn each_name_is_asked_for_once_and_none_that_is_too_long() {
        let search = Search::new([".", "example.com", "example.com."], 1);
        assert_eq!(search.candidates("api"), ["api.", "api.example.com."]);
        let long = ["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".");
        assert_eq!(search.candidates(&long), [format!("{long}.")]);
    }

    #[test]
    fn options_of_the_environment_come_before_the_file_s() {
        let of_file = ServerOptions { dots: 1, timeout: Duration::from_secs(5), attempts: 2 };
        let said = of_file.overridden_by("rotate ndots:5\ttimeout:1 attempts:3 edns0 no-aaaa");
        assert_eq!(said, ServerOptions { dots: 5, timeout: Duration::from_secs(1), attempts: 3 });
        assert_eq!(of_file.overridden_by(""), of_file);
        assert_eq!(of_file.overridden_by("ndots: ndots:many timeout attempts:-1"), of_file);
        let most = of_file.overridden_by("ndots:16 timeout:31 attempts:6");
        assert_eq!(most, ServerOptions { dots: 15, timeout: Duration::from_secs(30), attempts: 5 });
        let least = of_file.overridden_by("ndots:0 timeout:0 attempts:0");
        assert_eq!(least, ServerOptions { dots: 0, timeout: Duration::from_secs(1), attempts: 1 });
        assert_eq!(of_file.overridden_by("ndots:2 ndots:3").dots, 3, "the last one counts");
    }

    #[test]
    fn a_search_list_of_the_environment_is_one_line() {
        let domains = |text| local_domains(text).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(domains("shop.test\t example.com\nother.test"), ["shop.test", "example.com"]);
        assert!(domains("").is_empty());
    }
}
