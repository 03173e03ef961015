//! How many workers this machine bears: the cores the process may use, without those too slow to help.

use std::path::Path;

use super::pool::MAX_WORKERS;

/// A core with less than this share of the fastest one's capacity costs more at barriers than it computes: little cores of
/// phones have 20 to 35 % (`cpu_capacity` of Cortex-A55 and -A510 beside big cores), middle ones 60 % and more.
const USEFUL_PERCENT: usize = 40;

/// Workers to use unless the app says otherwise: cores that this process may use and that are fast enough to be of help.
pub fn default_workers() -> usize {
    let allowed = allowed_cores();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = allowed_ids(&status);
    let capacities: Vec<usize> = ids.iter().map_while(|&id| capacity(id)).collect();
    // Without all capacities (other systems, or a hidden /sys) every core counts.
    let useful = if capacities.is_empty() || capacities.len() < ids.len() { allowed } else { useful(&capacities) };
    useful.clamp(1, allowed.min(MAX_WORKERS))
}

/// Cores that this process may use, by its affinity mask and quota.
pub fn allowed_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The core ids of `Cpus_allowed_list: 0-3,6`.
fn allowed_ids(status: &str) -> Vec<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let bounds = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?))
    };
    let ranges = list.split(',').filter_map(bounds);
    ranges.flat_map(|(first, last)| first..=last.min(first + MAX_WORKERS)).collect()
}

/// A core's capacity by the kernel's own table, or its highest clock where there is none.
fn capacity(id: usize) -> Option<usize> {
    let folder = format!("/sys/devices/system/cpu/cpu{id}");
    let read = |name: &str| std::fs::read_to_string(Path::new(&folder).join(name)).ok()?.trim().parse().ok();
    read("cpu_capacity").or_else(|| read("cpufreq/cpuinfo_max_freq"))
}

/// How many of the cores are fast enough.
fn useful(capacities: &[usize]) -> usize {
    let fastest = capacities.iter().copied().max().unwrap_or(0);
    capacities.iter().filter(|&&c| c * 100 >= fastest * USEFUL_PERCENT).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_list_is_read() {
        let cases: [(&str, &[usize]); 4] = [
            ("Name:\tx\nCpus_allowed_list:\t0-3,6\nMems_allowed:\t1\n", &[0, 1, 2, 3, 6]),
            ("Cpus_allowed_list:\t5\n", &[5]),
            ("Cpus_allowed_list:\t\n", &[]),
            ("", &[]),
        ];
        for (status, expected) in cases {
            assert_eq!(allowed_ids(status), expected, "{status:?}");
        }
    }

    #[test]
    fn little_cores_are_left_out_and_middle_ones_are_not() {
        // Tensor G3: four Cortex-A510, four A715, one X3; in round numbers.
        assert_eq!(useful(&[150, 150, 150, 150, 680, 680, 680, 680, 1024]), 5);
        assert_eq!(useful(&[1024; 8]), 8);
        assert_eq!(useful(&[250, 250, 250, 250, 1024, 1024, 1024, 1024]), 4);
    }

    #[test]
    fn there_is_always_a_worker() {
        assert!((1..=MAX_WORKERS).contains(&default_workers()));
    }
}
