//! The process itself, under the names that every Prometheus client uses. Read from `/proc` at each scrape; what the
//! system does not tell is left out.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::gauges::one;

#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let to = &mut encoder;
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            // Shown as a gauge is, without another `_total`.
            let cpu = ConstGauge::new(stat.cpu_seconds);
            let help = "CPU time spent, in seconds.";
            cpu.encode(to.encode_descriptor("process_cpu_seconds_total", help, None, MetricType::Counter)?)?;
            let help = "Memory in use, in bytes.";
            one(to, "process_resident_memory_bytes", help, stat.resident_bytes)?;
            let help = "Address space in use, in bytes.";
            one(to, "process_virtual_memory_bytes", help, stat.virtual_bytes)?;
            if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
                let help = "When the process began, in seconds since 1970.";
                one(to, "process_start_time_seconds", help, boot + stat.started_after_boot)?;
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // Looking takes one itself.
            let open = entries.count().saturating_sub(1) as u64;
            one(to, "process_open_fds", "Open file descriptors.", open)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            one(to, "process_max_fds", "Most file descriptors that may be open.", most)?;
        }
        Ok(())
    }
}

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The command's name stands in parentheses and may hold anything, so what follows its end is counted from there.
        let (_, after) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        // By the numbers of the manual, of which the first here is 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
            started_after_boot: field(22)? as f64 / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as u64,
        })
    }
}

/// When the machine began, in seconds since 1970.
fn boot_time(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_of_the_process_moves_no_field() {
        let rest = "S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 700 4096000 10 18446744073709551615 1 1";
        let stat = Stat::parse(&format!("7 (a) R 1 2 (b) {rest}")).unwrap();
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(stat.cpu_seconds, 300.0 / ticks);
        assert_eq!(stat.started_after_boot, 700.0 / ticks);
        assert_eq!((stat.virtual_bytes, stat.resident_bytes), (4_096_000, 10 * page_size() as u64));
        assert_eq!(Stat::parse("7 (short) S 1"), None);
    }
}
