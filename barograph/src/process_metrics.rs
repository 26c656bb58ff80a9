//! Metrics of the process itself, read when they are asked for: CPU, memory, file descriptors, the allocator.
//!
//! The first group has the names that every Prometheus client library uses, so that dashboards find them.

use std::fmt;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use telemetry::Registry;
use telemetry::metrics::{Collector, ConstCounter, ConstGauge, DescriptorEncoder, EncodeMetric};

/// Registers the metrics. `start_ms` is when the process started, in milliseconds since the Unix epoch.
pub(crate) fn register(registry: &Registry, start_ms: i64) {
    registry.register_collector(ProcessCollector { start_seconds: start_ms as f64 / 1_000.0 });
}

#[derive(Debug)]
struct ProcessCollector {
    start_seconds: f64,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge =
            |name: &str, help: &str, value: f64| put(&mut encoder, name, help, &ConstGauge::new(value));
        gauge(
            "process_start_time_seconds",
            "When the process started, since the Unix epoch",
            self.start_seconds,
        )?;
        if let Some(memory) = Memory::read() {
            gauge("process_resident_memory_bytes", "Resident memory", memory.resident)?;
            gauge("process_virtual_memory_bytes", "Virtual memory", memory.virtual_)?;
            gauge(
                "barograph_process_anonymous_memory_bytes",
                "Resident memory that is not pages of files: anonymous and shared",
                memory.anonymous,
            )?;
        }
        if let Some(open) = open_descriptors() {
            gauge("process_open_fds", "Open file descriptors", open)?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge("process_max_fds", "How many file descriptors may be open", most as f64)?;
        }
        allocator(&mut gauge)?;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let info = prometheus_client::metrics::info::Info::new(version);
        put(&mut encoder, "barograph_build", "The version that runs", &info)?;
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        put(&mut encoder, "process_cpu_seconds", "CPU time, user and system", &ConstCounter::new(seconds))
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// What jemalloc says of itself. Where it cannot say, the metrics are absent.
fn allocator(gauge: &mut impl FnMut(&str, &str, f64) -> fmt::Result) -> fmt::Result {
    use tikv_jemalloc_ctl::{epoch, stats};
    if epoch::advance().is_err() {
        return Ok(());
    }
    let figures = [
        ("allocated", "Memory that the program asked for", stats::allocated::read()),
        ("active", "Memory in pages that hold something", stats::active::read()),
        ("resident", "Memory that the allocator has mapped and touched", stats::resident::read()),
        ("retained", "Memory kept mapped for later, not resident", stats::retained::read()),
        ("metadata", "Memory that the allocator itself needs", stats::metadata::read()),
    ];
    for (name, help, figure) in figures {
        if let Ok(bytes) = figure {
            gauge(&format!("barograph_allocator_{name}_bytes"), help, bytes as f64)?;
        }
    }
    Ok(())
}

/// Memory in bytes, as the kernel counts it.
struct Memory {
    resident: f64,
    virtual_: f64,
    anonymous: f64,
}

impl Memory {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kibibytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(kibibytes * 1_024.0)
        };
        Some(Self {
            resident: bytes("VmRSS")?,
            virtual_: bytes("VmSize")?,
            anonymous: bytes("RssAnon")? + bytes("RssShmem")?,
        })
    }
}

/// Memory that only this process can give back: anonymous and shared pages, in bytes.
pub(crate) fn anonymous_bytes() -> Option<u64> {
    Memory::read().map(|memory| memory.anonymous as u64)
}

fn open_descriptors() -> Option<f64> {
    // The listing itself holds one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t    12 kB\nRssAnon:\t 8 kB\nRssFile:\t 3 kB\nRssShmem:\t 1 kB\n";
        let memory = Memory::parse(status).expect("complete");
        assert_eq!((memory.resident, memory.virtual_, memory.anonymous), (12_288.0, 2_097_152.0, 9_216.0));
        assert!(Memory::parse("VmRSS: 12 kB").is_none());
    }

    #[test]
    fn this_process_has_all_of_them() {
        let registry = Registry::new();
        register(&registry, 1_500);
        let samples = registry.gather();
        let value =
            |name: &str| samples.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name}")).value;
        assert_eq!(value("process_start_time_seconds"), 1.5);
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "barograph_build_info",
            "barograph_allocator_allocated_bytes",
        ] {
            assert!(value(name) > 0.0, "{name} is {}", value(name));
        }
    }
}
