//! The gateway's figures: for Prometheus, and per step as JSON. No label comes from a caller.

mod histogram;
mod steps;

use std::{fmt, time::Duration};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use schemars::JsonSchema;
use serde::Serialize;

pub use histogram::Histogram;
use steps::{StepLabels, Steps};

/// What is known of one finished call.
#[derive(Debug, Clone)]
pub struct CallObservation {
    /// The route's pattern.
    pub route: &'static str,
    /// `allow` or `block`.
    pub verdict: &'static str,
    /// The mode it was governed in.
    pub mode: &'static str,
    /// From the request's first byte to the answer's last.
    pub total: Duration,
    /// The part of it that was the gateway's own.
    pub overhead: Duration,
    /// The provider and its part, if it was called.
    pub upstream: Option<(String, Duration)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    route: &'static str,
    verdict: &'static str,
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DetectionLabels {
    step: String,
    kind: String,
}

/// All figures.
pub struct Metrics {
    registry: RwLock<Registry>,
    requests: Family<CallLabels, Counter>,
    duration: Histogram,
    overhead: Histogram,
    upstream: Family<ProviderLabels, Histogram>,
    detections: Family<DetectionLabels, Counter>,
    shed: Counter,
    audit_append: Histogram,
    steps: Steps,
    /// Streams being sent now.
    pub streams_open: Gauge,
    /// Questions that wait for a person, as of the last look.
    pub approvals_pending: Gauge,
}

/// `GET /admin/metrics`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// Model calls since the start, and how long they took.
    calls: Quantiles,
    /// The gateway's own part of them.
    overhead: Quantiles,
    /// Requests refused because there were too many at once.
    shed: u64,
    /// Each step that has run, by id.
    steps: Vec<StepReport>,
}

/// One step's figures.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepReport {
    /// The step's id.
    step: String,
    /// How often it found something.
    detections: u64,
    #[serde(flatten)]
    time: Quantiles,
}

/// Times in microseconds.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Quantiles {
    /// How many.
    count: u64,
    /// Half of them took no longer.
    p50_us: u64,
    /// 95 of 100 took no longer.
    p95_us: u64,
    /// 99 of 100 took no longer.
    p99_us: u64,
}

impl From<&Histogram> for Quantiles {
    fn from(h: &Histogram) -> Self {
        Self { count: h.count(), p50_us: h.quantile(0.5), p95_us: h.quantile(0.95), p99_us: h.quantile(0.99) }
    }
}

impl Metrics {
    /// Everything at zero.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self {
            registry: RwLock::default(),
            requests: Family::default(),
            duration: Histogram::default(),
            overhead: Histogram::default(),
            upstream: Family::default(),
            detections: Family::default(),
            shed: Counter::default(),
            audit_append: Histogram::default(),
            steps: Steps::default(),
            streams_open: Gauge::default(),
            approvals_pending: Gauge::default(),
        };
        metrics.register(&mut metrics.registry.write());
        metrics
    }

    fn register(&self, r: &mut Registry) {
        r.register("tappass_requests", "Model calls", self.requests.clone());
        r.register("tappass_request_duration_seconds", "Whole time of a model call", self.duration.clone());
        r.register("tappass_overhead_seconds", "The gateway's own part of a call", self.overhead.clone());
        r.register(
            "tappass_upstream_duration_seconds",
            "The provider's part of a call",
            self.upstream.clone(),
        );
        r.register("tappass_detections", "Findings", self.detections.clone());
        r.register("tappass_shed", "Requests refused because there were too many at once", self.shed.clone());
        r.register("tappass_audit_append_seconds", "Until a record was durable", self.audit_append.clone());
        r.register("tappass_streams_open", "Streams being sent", self.streams_open.clone());
        let pending = self.approvals_pending.clone();
        r.register("tappass_approvals_pending", "Questions that wait for a person", pending);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        r.register("tappass_build", "What runs", build);
        r.register_collector(Box::new(self.steps.clone()));
    }

    /// One run of a step: how long, and whether it found something.
    pub fn observe_step(&self, step: &str, us: u64, detected: bool) {
        self.steps.observe(step, us, detected);
    }

    /// Findings of one kind by one step.
    pub fn observe_detections(&self, step: &str, kind: &str, count: u64) {
        let labels = DetectionLabels { step: step.to_owned(), kind: kind.to_owned() };
        self.detections.get_or_create(&labels).inc_by(count);
    }

    /// One finished call.
    pub fn observe_call(&self, call: &CallObservation) {
        let labels = CallLabels { route: call.route, verdict: call.verdict, mode: call.mode };
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(call.total);
        self.overhead.observe(call.overhead);
        if let Some((provider, took)) = &call.upstream {
            self.upstream.get_or_create(&ProviderLabels { provider: provider.clone() }).observe(*took);
        }
    }

    /// How long one audit record took to be durable.
    pub fn observe_audit_append(&self, took: Duration) {
        self.audit_append.observe(took);
    }

    /// One request refused because there were too many.
    pub(crate) fn shed(&self) {
        self.shed.inc();
    }

    /// Everything in OpenMetrics text.
    ///
    /// # Errors
    /// When writing fails.
    pub fn to_text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry.read())?;
        Ok(out)
    }

    /// The figures of `GET /admin/metrics`.
    #[must_use]
    pub fn report(&self) -> Report {
        let steps = self.steps.each(|step, stats| StepReport {
            step: step.to_owned(),
            detections: stats.detections(),
            time: Quantiles::from(&stats.time),
        });
        Report {
            calls: Quantiles::from(&self.duration),
            overhead: Quantiles::from(&self.overhead),
            shed: self.shed.get(),
            steps,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The labels of one step's series.
fn step_labels(step: &str) -> StepLabels {
    StepLabels { step: step.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_observed_is_reported() {
        let metrics = Metrics::new();
        for us in 1..=100 {
            metrics.observe_step("detect_pii", us, us > 90);
        }
        metrics.observe_detections("detect_pii", "card", 2);
        metrics.observe_call(&CallObservation {
            route: "/chat/completions",
            verdict: "block",
            mode: "enforce",
            total: Duration::from_millis(3),
            overhead: Duration::from_micros(90),
            upstream: Some(("builtin".to_owned(), Duration::from_millis(2))),
        });
        let text = metrics.to_text().expect("writes");
        for line in [
            "tappass_requests_total{route=\"/chat/completions\",verdict=\"block\",mode=\"enforce\"} 1",
            "tappass_step_duration_seconds_count{step=\"detect_pii\"} 100",
            "tappass_detections_total{step=\"detect_pii\",kind=\"card\"} 2",
            "tappass_upstream_duration_seconds_count{provider=\"builtin\"} 1",
            "tappass_build_info{version=",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} not in:\n{text}");
        }
        let report = serde_json::to_value(metrics.report()).expect("writes");
        assert_eq!(report["steps"][0]["count"], 100);
        assert_eq!(report["steps"][0]["detections"], 10);
        assert_eq!(report["calls"]["count"], 1);
    }
}
