//! What this machine has: found once, in `main`, and passed down, so that nothing below reads the environment.

use std::fs;
use std::thread;

/// Memory that is assumed where the system does not say how much there is.
const MEMORY_UNKNOWN_BYTES: u64 = 4 << 30;

/// The part of the machine that this process may use.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// CPUs, within the process's affinity and quota; at least 1.
    pub(crate) cpu_count: usize,
    /// Memory in bytes, within the control group's limit.
    pub(crate) memory_bytes: u64,
    /// The host's name, for its certificate.
    pub(crate) host_name: Option<String>,
}

impl Machine {
    /// Looks at the machine.
    pub(crate) fn detect() -> Self {
        let limits = [
            fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text)),
            fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok()),
            fs::read_to_string("/sys/fs/cgroup/memory/memory.limit_in_bytes")
                .ok()
                .and_then(|text| text.trim().parse().ok()),
        ];
        let host_name = fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| fs::read_to_string("/etc/hostname"))
            .ok()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty());
        Self {
            cpu_count: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: limits.into_iter().flatten().min().unwrap_or(MEMORY_UNKNOWN_BYTES),
            host_name,
        }
    }

    /// What queries may use when the configuration leaves it to us: half of the memory. The other half is for the
    /// page cache, which holds the shards, and for everything else that runs here.
    pub(crate) fn query_memory_bytes(&self) -> u64 {
        self.memory_bytes / 2
    }
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_total_is_read_in_bytes() {
        let text = "MemTotal:       24580068 kB\nMemFree:        20000000 kB\n";
        assert_eq!(mem_total(text), Some(24_580_068 * 1024));
        assert_eq!(mem_total("MemFree: 1 kB"), None);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::detect();
        assert!(machine.cpu_count >= 1);
        assert!(machine.query_memory_bytes() > 0);
    }
}
