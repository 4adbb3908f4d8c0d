//! How much memory runs take, and whether there is enough for another.

use std::fs;

/// A run beside others is begun where there is this much more memory than the largest has taken.
const MARGIN: f64 = 1.5;

/// Bytes that are free for another process; `None` where the system does not tell.
fn available() -> Option<u64> {
    line_in_kib("/proc/meminfo", "MemAvailable:")
}

/// The most bytes that a process has taken so far; `None` where the system does not tell.
pub(super) fn peak_of(process: u32) -> Option<u64> {
    line_in_kib(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Whether a run fits beside others, of which the largest has taken so many bytes.
pub(super) fn fits(largest: u64) -> bool {
    available().is_none_or(|available| available as f64 >= MARGIN * largest as f64)
}

/// A line of one of the system's files, such as `VmHWM:  1234 kB`.
fn line_in_kib(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_taken_some_memory_and_less_than_all() {
        let peak = peak_of(std::process::id()).expect("Linux tells");
        assert!(peak > 1 << 20, "{peak}");
        assert!(fits(1) && !fits(u64::MAX));
    }

    #[test]
    fn what_is_not_told_is_not_known() {
        assert_eq!(peak_of(u32::MAX), None);
    }
}
