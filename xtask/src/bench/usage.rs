//! What processes have used, as the kernel counts it in /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The process and all its descendants that are alive.
pub fn process_tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, Stat::of(id).ok()?.parent)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    tree
}

/// CPU time in the program itself and in the kernel on its behalf.
#[derive(Clone, Copy, Default)]
pub struct CpuTime {
    pub user: Duration,
    pub system: Duration,
}

impl CpuTime {
    pub fn since(self, before: Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }

    pub fn whole(self) -> Duration {
        self.user + self.system
    }
}

/// Of the process and its descendants, those included that ended and were waited for.
pub fn cpu_time(root: u32) -> Result<CpuTime> {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let time = |ticks: u64| Duration::from_millis(ticks * 1000 / ticks_per_second);
    let mut sum = CpuTime::default();
    for id in process_tree(root) {
        let stat = Stat::of(id)?;
        sum.user += time(stat.user_ticks);
        sum.system += time(stat.system_ticks);
    }
    Ok(sum)
}

/// Memory held by the process and its descendants, in bytes.
pub fn resident_bytes(root: u32) -> Result<u64> {
    sum_status(root, "VmRSS:")
}

/// The most memory held since the last [`reset_peak`], in bytes. Each process's own peak is summed.
pub fn peak_resident_bytes(root: u32) -> Result<u64> {
    sum_status(root, "VmHWM:")
}

/// Lets the peak begin anew at what is held now.
pub fn reset_peak(root: u32) -> Result<()> {
    for id in process_tree(root) {
        // proc(5): 5 resets the peak resident set size.
        fs::write(format!("/proc/{id}/clear_refs"), "5").context("cannot reset the peak of memory")?;
    }
    Ok(())
}

struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    fn of(id: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).context("a process has ended")?;
        // The name is in parentheses and may hold anything, spaces and parentheses too.
        let (_, fields) = text.rsplit_once(')').context("no name in /proc/PID/stat")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // proc(5) numbers the fields from 1; the state, field 3, is the first after the name.
        let field = |number: usize| -> Result<u64> {
            let text = fields.get(number - 3).context("/proc/PID/stat is too short")?;
            text.parse().with_context(|| format!("field {number} of /proc/PID/stat"))
        };
        Ok(Self {
            parent: u32::try_from(field(4)?)?,
            user_ticks: field(14)? + field(16)?,
            system_ticks: field(15)? + field(17)?,
        })
    }
}

fn sum_status(root: u32, name: &str) -> Result<u64> {
    let mut kibibytes = 0;
    for id in process_tree(root) {
        let text = fs::read_to_string(format!("/proc/{id}/status")).context("a process has ended")?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        let number = value.trim().trim_end_matches(" kB");
        kibibytes += number.parse::<u64>().with_context(|| format!("{name} in /proc/PID/status"))?;
    }
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{peak_resident_bytes, process_tree, resident_bytes};

    #[test]
    fn a_process_tree_holds_children_of_children() {
        // The shell waits for the second command, so it cannot become the sleep itself.
        let mut shell = Command::new("sh").args(["-c", "sleep 60; true"]).spawn().unwrap();
        let mut tree = Vec::new();
        while tree.len() < 3 {
            tree = process_tree(std::process::id());
        }
        assert!(tree.contains(&shell.id()), "{tree:?}");
        for id in tree.into_iter().filter(|id| *id != std::process::id()) {
            Command::new("kill").arg(id.to_string()).status().unwrap();
        }
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_holds_some_memory_and_no_more_than_its_peak() {
        let id = std::process::id();
        let resident = resident_bytes(id).unwrap();
        assert!(resident > 0 && resident <= peak_resident_bytes(id).unwrap());
    }
}
