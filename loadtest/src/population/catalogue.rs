//! What one unit of the population is made of: 1,000 series that one node, its ten pods and their exporters would
//! have. The names are those that node_exporter, cAdvisor and kube-state-metrics use.

use super::signal::Shape;

/// A label name and the values it takes; a family has one series per combination.
pub(crate) type Dimension = (&'static str, &'static [&'static str]);

/// A metric of a target.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) dimensions: &'static [Dimension],
}

/// A classic histogram: its buckets, `_sum` and `_count`, per combination of its dimensions.
pub(crate) struct HistogramFamily {
    pub(crate) name: &'static str,
    pub(crate) dimensions: &'static [Dimension],
    pub(crate) bounds: &'static [&'static str],
}

/// Pods on one node.
pub(crate) const PODS: usize = 10;
/// Pods of them that run an application with metrics of its own.
pub(crate) const APPLICATIONS: usize = 5;
/// Series in one unit.
pub(crate) const UNIT_SERIES: usize = 1_000;

const CPUS: Dimension = ("cpu", &["0", "1", "2", "3", "4", "5", "6", "7"]);
const MODES: Dimension = ("mode", &["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"]);
const DISKS: Dimension = ("device", &["nvme0n1", "nvme1n1", "sda", "sdb"]);
const NICS: Dimension = ("device", &["cni0", "eth0", "eth1", "lo", "veth4f1d2c"]);
const MOUNTS: Dimension =
    ("mountpoint", &["/", "/boot", "/home", "/run", "/var/lib/containerd", "/var/lib/kubelet"]);
const EXT4: Dimension = ("fstype", &["ext4"]);
const NVME: Dimension = ("device", &["/dev/nvme0n1p1"]);

const fn plain(name: &'static str, shape: Shape) -> Family {
    Family { name, shape, dimensions: &[] }
}

const fn disk(name: &'static str, shape: Shape) -> Family {
    Family { name, shape, dimensions: &[DISKS] }
}

const fn nic(name: &'static str, shape: Shape) -> Family {
    Family { name, shape, dimensions: &[NICS] }
}

const fn mount(name: &'static str, shape: Shape) -> Family {
    Family { name, shape, dimensions: &[NVME, EXT4, MOUNTS] }
}

/// What node_exporter reports: 300 series.
pub(crate) const NODE: &[Family] = &[
    Family { name: "node_cpu_seconds_total", shape: Shape::Seconds, dimensions: &[CPUS, MODES] },
    disk("node_disk_reads_completed_total", Shape::Busy),
    disk("node_disk_reads_merged_total", Shape::Slow),
    disk("node_disk_read_bytes_total", Shape::Busy),
    disk("node_disk_read_time_seconds_total", Shape::Seconds),
    disk("node_disk_writes_completed_total", Shape::Busy),
    disk("node_disk_writes_merged_total", Shape::Slow),
    disk("node_disk_written_bytes_total", Shape::Busy),
    disk("node_disk_write_time_seconds_total", Shape::Seconds),
    disk("node_disk_io_now", Shape::Flag),
    disk("node_disk_io_time_seconds_total", Shape::Seconds),
    disk("node_disk_io_time_weighted_seconds_total", Shape::Seconds),
    disk("node_disk_discards_completed_total", Shape::Idle),
    disk("node_disk_discards_merged_total", Shape::Idle),
    disk("node_disk_discarded_sectors_total", Shape::Idle),
    disk("node_disk_info", Shape::One),
    nic("node_network_receive_bytes_total", Shape::Busy),
    nic("node_network_receive_packets_total", Shape::Busy),
    nic("node_network_receive_errs_total", Shape::Idle),
    nic("node_network_receive_drop_total", Shape::Idle),
    nic("node_network_receive_fifo_total", Shape::Idle),
    nic("node_network_receive_multicast_total", Shape::Slow),
    nic("node_network_transmit_bytes_total", Shape::Busy),
    nic("node_network_transmit_packets_total", Shape::Busy),
    nic("node_network_transmit_errs_total", Shape::Idle),
    nic("node_network_transmit_drop_total", Shape::Idle),
    nic("node_network_transmit_fifo_total", Shape::Idle),
    nic("node_network_transmit_colls_total", Shape::Idle),
    nic("node_network_mtu_bytes", Shape::Since),
    nic("node_network_up", Shape::One),
    nic("node_network_carrier", Shape::Flag),
    nic("node_network_speed_bytes", Shape::Since),
    mount("node_filesystem_avail_bytes", Shape::Space),
    mount("node_filesystem_free_bytes", Shape::Space),
    mount("node_filesystem_size_bytes", Shape::Since),
    mount("node_filesystem_files", Shape::Since),
    mount("node_filesystem_files_free", Shape::Level),
    mount("node_filesystem_readonly", Shape::Flag),
    plain("node_memory_Active_anon_bytes", Shape::Bytes),
    plain("node_memory_Active_bytes", Shape::Bytes),
    plain("node_memory_Active_file_bytes", Shape::Bytes),
    plain("node_memory_AnonHugePages_bytes", Shape::Space),
    plain("node_memory_AnonPages_bytes", Shape::Bytes),
    plain("node_memory_Bounce_bytes", Shape::Flag),
    plain("node_memory_Buffers_bytes", Shape::Space),
    plain("node_memory_Cached_bytes", Shape::Bytes),
    plain("node_memory_CommitLimit_bytes", Shape::Since),
    plain("node_memory_Committed_AS_bytes", Shape::Bytes),
    plain("node_memory_DirectMap1G_bytes", Shape::Since),
    plain("node_memory_DirectMap2M_bytes", Shape::Since),
    plain("node_memory_DirectMap4k_bytes", Shape::Since),
    plain("node_memory_Dirty_bytes", Shape::Bytes),
    plain("node_memory_HugePages_Free", Shape::Flag),
    plain("node_memory_HugePages_Rsvd", Shape::Flag),
    plain("node_memory_HugePages_Surp", Shape::Flag),
    plain("node_memory_HugePages_Total", Shape::Flag),
    plain("node_memory_Hugepagesize_bytes", Shape::Since),
    plain("node_memory_Inactive_anon_bytes", Shape::Space),
    plain("node_memory_Inactive_bytes", Shape::Bytes),
    plain("node_memory_Inactive_file_bytes", Shape::Bytes),
    plain("node_memory_KReclaimable_bytes", Shape::Bytes),
    plain("node_memory_KernelStack_bytes", Shape::Bytes),
    plain("node_memory_Mapped_bytes", Shape::Space),
    plain("node_memory_MemAvailable_bytes", Shape::Bytes),
    plain("node_memory_MemFree_bytes", Shape::Bytes),
    plain("node_memory_MemTotal_bytes", Shape::Since),
    plain("node_memory_Mlocked_bytes", Shape::Flag),
    plain("node_memory_NFS_Unstable_bytes", Shape::Flag),
    plain("node_memory_PageTables_bytes", Shape::Bytes),
    plain("node_memory_Percpu_bytes", Shape::Space),
    plain("node_memory_SReclaimable_bytes", Shape::Bytes),
    plain("node_memory_SUnreclaim_bytes", Shape::Bytes),
    plain("node_memory_Shmem_bytes", Shape::Space),
    plain("node_memory_Slab_bytes", Shape::Bytes),
    plain("node_memory_SwapCached_bytes", Shape::Flag),
    plain("node_memory_SwapFree_bytes", Shape::Flag),
    plain("node_memory_SwapTotal_bytes", Shape::Flag),
    plain("node_memory_Unevictable_bytes", Shape::Flag),
    plain("node_memory_VmallocTotal_bytes", Shape::Since),
    plain("node_memory_VmallocUsed_bytes", Shape::Space),
    plain("node_memory_WritebackTmp_bytes", Shape::Flag),
    plain("node_memory_Writeback_bytes", Shape::Flag),
    plain("node_memory_Zswap_bytes", Shape::Flag),
    plain("node_load1", Shape::Decimal),
    plain("node_load5", Shape::Decimal),
    plain("node_load15", Shape::Decimal),
    plain("node_context_switches_total", Shape::Busy),
    plain("node_intr_total", Shape::Busy),
    plain("node_forks_total", Shape::Busy),
    plain("node_boot_time_seconds", Shape::Since),
    plain("node_procs_running", Shape::Level),
    plain("node_procs_blocked", Shape::Flag),
    plain("node_entropy_available_bits", Shape::Level),
    plain("node_filefd_allocated", Shape::Level),
    plain("node_netstat_Tcp_CurrEstab", Shape::Level),
    plain("node_vmstat_pgfault", Shape::Busy),
    plain("node_pressure_cpu_waiting_seconds_total", Shape::Nanos),
    plain("node_timex_offset_seconds", Shape::Ratio),
];

/// What cAdvisor reports per pod: 25 series.
pub(crate) const CADVISOR: &[Family] = &[
    plain("container_cpu_usage_seconds_total", Shape::Nanos),
    plain("container_cpu_user_seconds_total", Shape::Seconds),
    plain("container_cpu_system_seconds_total", Shape::Seconds),
    plain("container_cpu_cfs_periods_total", Shape::Busy),
    plain("container_cpu_cfs_throttled_periods_total", Shape::Slow),
    plain("container_cpu_cfs_throttled_seconds_total", Shape::Nanos),
    plain("container_memory_usage_bytes", Shape::Bytes),
    plain("container_memory_working_set_bytes", Shape::Bytes),
    plain("container_memory_rss", Shape::Bytes),
    plain("container_memory_cache", Shape::Space),
    plain("container_memory_swap", Shape::Flag),
    plain("container_memory_failcnt", Shape::Idle),
    plain("container_memory_mapped_file", Shape::Space),
    plain("container_memory_max_usage_bytes", Shape::Since),
    plain("container_fs_reads_total", Shape::Slow),
    plain("container_fs_reads_bytes_total", Shape::Slow),
    plain("container_fs_writes_total", Shape::Busy),
    plain("container_fs_writes_bytes_total", Shape::Busy),
    plain("container_spec_cpu_quota", Shape::Since),
    plain("container_spec_cpu_shares", Shape::Since),
    plain("container_spec_memory_limit_bytes", Shape::Since),
    plain("container_start_time_seconds", Shape::Since),
    plain("container_threads", Shape::Level),
    plain("container_file_descriptors", Shape::Level),
    plain("container_oom_events_total", Shape::Idle),
];

/// What kube-state-metrics reports per pod: 20 series.
pub(crate) const STATE_METRICS: &[Family] = &[
    plain("kube_pod_info", Shape::One),
    plain("kube_pod_created", Shape::Since),
    plain("kube_pod_start_time", Shape::Since),
    plain("kube_pod_owner", Shape::One),
    Family {
        name: "kube_pod_status_phase",
        shape: Shape::Flag,
        dimensions: &[("phase", &["Failed", "Pending", "Running", "Succeeded", "Unknown"])],
    },
    Family {
        name: "kube_pod_status_ready",
        shape: Shape::Flag,
        dimensions: &[("condition", &["false", "true", "unknown"])],
    },
    plain("kube_pod_container_info", Shape::One),
    plain("kube_pod_container_status_ready", Shape::One),
    plain("kube_pod_container_status_running", Shape::One),
    plain("kube_pod_container_status_restarts_total", Shape::Idle),
    Family {
        name: "kube_pod_container_resource_requests",
        shape: Shape::Since,
        dimensions: &[("resource", &["cpu", "memory"])],
    },
    Family {
        name: "kube_pod_container_resource_limits",
        shape: Shape::Since,
        dimensions: &[("resource", &["cpu", "memory"])],
    },
];

const BOUNDS: &[&str] =
    &["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"];

/// The request histogram of an application pod: 2 × 14 series.
pub(crate) const REQUESTS: HistogramFamily = HistogramFamily {
    name: "http_server_request_duration_seconds",
    dimensions: &[("handler", &["/api/v1/orders", "/api/v1/orders/{id}"]), ("method", &["GET"])],
    bounds: BOUNDS,
};

/// What else an application pod reports: 22 series.
pub(crate) const APPLICATION: &[Family] = &[
    Family {
        name: "http_server_requests_total",
        shape: Shape::Busy,
        dimensions: &[("code", &["200", "404", "500"]), ("handler", &["/api/v1/orders", "/api/v1/users"])],
    },
    Family {
        name: "rpc_client_duration_seconds",
        shape: Shape::Native,
        dimensions: &[("method", &["Checkout", "GetCart", "ListOrders", "Pay"])],
    },
    plain("process_cpu_seconds_total", Shape::Seconds),
    plain("process_resident_memory_bytes", Shape::Bytes),
    plain("process_open_fds", Shape::Level),
    plain("process_start_time_seconds", Shape::Since),
    plain("runtime_goroutines", Shape::Level),
    plain("runtime_heap_alloc_bytes", Shape::Bytes),
    plain("runtime_heap_objects", Shape::Bytes),
    plain("runtime_allocations_total", Shape::Busy),
    plain("queue_depth", Shape::Level),
    plain("cache_hit_ratio", Shape::Ratio),
    plain("build_info", Shape::One),
    plain("up", Shape::One),
];
