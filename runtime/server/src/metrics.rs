//! What is counted, and how Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the buckets of times, in seconds.
const BUCKETS_S: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Beginnings of the routes that take a photo.
const TAKES_PHOTOS: [&str; 4] = ["/v1/segment", "/v1/masks/", "/v1/cutouts/", "/api/remove"];

/// Counters since the start.
#[derive(Default)]
pub struct Metrics {
    /// By route and status.
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    /// Times of photos that were answered with a result.
    seconds: Mutex<Times>,
    /// Times of the stages of a photo.
    stages: Mutex<BTreeMap<&'static str, Sum>>,
    in_flight: AtomicUsize,
    connections: AtomicUsize,
    refused: AtomicU64,
    upload_bytes: AtomicU64,
}

#[derive(Default)]
struct Times {
    buckets: [u64; BUCKETS_S.len()],
    sum: Sum,
}

#[derive(Default, Clone, Copy)]
struct Sum {
    count: u64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, seconds: f64) {
        self.count += 1;
        self.seconds += seconds;
    }
}

/// What is told besides what was counted.
pub struct Now<'a> {
    /// Photos in work.
    pub running: usize,
    /// Photos that are being uploaded or wait.
    pub waiting: usize,
    /// Name of the open model, and what runs it.
    pub model: Option<(&'a str, clothseg::Provider)>,
}

/// Counts one up for as long as it lives.
pub struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(gauge: &'a AtomicUsize) -> Self {
        gauge.fetch_add(1, Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Metrics {
    /// A request that is being answered.
    pub fn in_flight(&self) -> Counted<'_> {
        Counted::new(&self.in_flight)
    }

    /// A connection that is open.
    pub fn connection(&self) -> Counted<'_> {
        Counted::new(&self.connections)
    }

    /// A request that was answered. `route` is one of ours, never what the client wrote.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        *locked(&self.requests).entry((route.to_owned(), status)).or_default() += 1;
        // Refusals are fast, and would hide how slow the others are.
        if status != 200 || !TAKES_PHOTOS.iter().any(|taking| route.starts_with(taking)) {
            return;
        }
        let seconds = took.as_secs_f64();
        let mut times = locked(&self.seconds);
        for (count, bound) in times.buckets.iter_mut().zip(BUCKETS_S) {
            *count += u64::from(seconds <= bound);
        }
        times.sum.add(seconds);
    }

    /// A photo that was refused because there was too much to do.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Bytes of an upload that was read.
    pub fn uploaded(&self, bytes: usize) {
        self.upload_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A stage of a photo that is over.
    pub fn stage(&self, name: &'static str, took: Duration) {
        locked(&self.stages).entry(name).or_default().add(took.as_secs_f64());
    }

    /// Mean time of a stage; 0 before there is any.
    pub fn mean_seconds(&self, stage: &str) -> f64 {
        let sum = locked(&self.stages).get(stage).copied().unwrap_or_default();
        sum.seconds / sum.count.max(1) as f64
    }
}

/// All of it in Prometheus' text format.
pub fn text(metrics: &Metrics, now: &Now<'_>) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: Vec<(String, f64)>| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let requests = locked(&metrics.requests);
    let requests = requests
        .iter()
        .map(|((route, status), count)| (format!("{{route=\"{}\",status=\"{status}\"}}", label(route)), *count as f64));
    family("clothseg_requests_total", "counter", "Requests answered.", requests.collect());
    let load = |gauge: &AtomicUsize| one(gauge.load(Relaxed) as f64);
    family("clothseg_requests_in_flight", "gauge", "Requests that are being answered.", load(&metrics.in_flight));
    family("clothseg_connections", "gauge", "Open connections.", load(&metrics.connections));
    family("clothseg_photos_running", "gauge", "Photos being processed.", one(now.running as f64));
    family("clothseg_photos_waiting", "gauge", "Photos that are being uploaded or wait.", one(now.waiting as f64));
    let refused = metrics.refused.load(Relaxed);
    family("clothseg_photos_refused_total", "counter", "Photos refused because of overload.", one(refused as f64));
    let bytes = metrics.upload_bytes.load(Relaxed);
    family("clothseg_upload_bytes_total", "counter", "Bytes of photos read.", one(bytes as f64));
    let mut stages = Vec::new();
    for (stage, sum) in locked(&metrics.stages).iter() {
        stages.push((format!("_sum{{stage=\"{stage}\"}}"), sum.seconds));
        stages.push((format!("_count{{stage=\"{stage}\"}}"), sum.count as f64));
    }
    family("clothseg_stage_seconds", "summary", "Time of the stages of a photo, in seconds.", stages);
    if let Some(bytes) = resident_bytes() {
        family("process_resident_memory_bytes", "gauge", "Resident memory.", one(bytes as f64));
    }
    if let Some((model, provider)) = now.model {
        let (version, model) = (env!("CARGO_PKG_VERSION"), label(model));
        let labels = format!("{{version=\"{version}\",model=\"{model}\",provider=\"{provider}\"}}");
        family("clothseg_build_info", "gauge", "What runs.", vec![(labels, 1.0)]);
    }
    histogram(&mut out, &locked(&metrics.seconds));
    out
}

fn histogram(out: &mut String, times: &Times) {
    let name = "clothseg_request_seconds";
    let _ = writeln!(out, "# HELP {name} Time of requests of the API, in seconds.\n# TYPE {name} histogram");
    for (bound, count) in BUCKETS_S.iter().zip(times.buckets) {
        let _ = writeln!(out, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let Sum { count, seconds } = times.sum;
    let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {seconds}\n{name}_count {count}");
}

/// A label's value: quotes, backslashes and line ends are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Memory of this process that is in use, where the system tells it in this way.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_all_buckets_that_hold_them() {
        let metrics = Metrics::default();
        metrics.answered("/v1/segment", 200, Duration::from_millis(30));
        metrics.answered("/healthz", 200, Duration::from_millis(30));
        let mut out = String::new();
        histogram(&mut out, &locked(&metrics.seconds));
        assert!(out.contains("_bucket{le=\"0.025\"} 0\n") && out.contains("_bucket{le=\"0.05\"} 1\n"), "{out}");
        assert!(out.contains("_bucket{le=\"+Inf\"} 1\n") && out.contains("_count 1\n"), "{out}");
    }

    #[test]
    fn means_of_stages_begin_at_nothing() {
        let metrics = Metrics::default();
        assert_eq!(metrics.mean_seconds("work"), 0.0);
        metrics.stage("work", Duration::from_secs(1));
        metrics.stage("work", Duration::from_secs(3));
        assert_eq!(metrics.mean_seconds("work"), 2.0);
        assert_eq!(label("a\"b\\\n"), "a\\\"b\\\\\\n");
    }

    #[test]
    fn gauges_go_back_to_nothing() {
        let metrics = Metrics::default();
        let both = (metrics.in_flight(), metrics.in_flight());
        assert_eq!(metrics.in_flight.load(Relaxed), 2);
        drop(both);
        assert_eq!(metrics.in_flight.load(Relaxed), 0);
    }
}
