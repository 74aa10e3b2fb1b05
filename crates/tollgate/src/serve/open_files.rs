//! How many files this process may have open, connections among them.

use std::fs;

/// Of the files, for the admin API: the rest are the proxy's, and the database's.
const SHARE: usize = 4;
/// The API can be reached whatever the limit is.
const FEWEST: usize = 16;

/// Most connections of the admin API: `usual`, or its share of the files where that is less.
pub fn admin_connections(usual: usize) -> usize {
    share(usual, limit())
}

fn share(usual: usize, files: Option<usize>) -> usize {
    files.map_or(usual, |files| usual.min((files / SHARE).max(FEWEST)))
}

/// The soft limit; `None` where there is none, or the system does not say.
fn limit() -> Option<usize> {
    soft_limit(&fs::read_to_string("/proc/self/limits").ok()?)
}

/// Of the table that `proc_pid_limits(5)` describes.
fn soft_limit(table: &str) -> Option<usize> {
    let row = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    row.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_api_takes_a_quarter_of_few_files() {
        let table = "Limit                     Soft Limit           Hard Limit           Units\n\
                     Max open files            200                  524288               files\n";
        assert_eq!(soft_limit(table), Some(200));
        assert_eq!(soft_limit(&table.replace("200   ", "unlimited")), None);
        assert_eq!(share(1_024, Some(200)), 50);
        assert_eq!(share(1_024, Some(20)), FEWEST);
        assert_eq!((share(1_024, Some(1 << 20)), share(1_024, None)), (1_024, 1_024));
    }
}
