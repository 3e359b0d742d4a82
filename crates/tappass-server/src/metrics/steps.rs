//! What each step costs and finds.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::RwLock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::MetricType,
};

use super::{Histogram, step_labels};

/// Each step that has run. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Steps(Arc<RwLock<BTreeMap<String, Arc<Stats>>>>);

/// One step's figures.
#[derive(Debug, Default)]
pub struct Stats {
    pub time: Histogram,
    detections: AtomicU64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StepLabels {
    pub step: String,
}

impl Stats {
    pub fn detections(&self) -> u64 {
        self.detections.load(Relaxed)
    }

    fn observe(&self, us: u64, detected: bool) {
        self.time.observe_us(us);
        self.detections.fetch_add(u64::from(detected), Relaxed);
    }
}

impl Steps {
    pub fn observe(&self, step: &str, us: u64, detected: bool) {
        if let Some(stats) = self.0.read().get(step) {
            return stats.observe(us, detected);
        }
        self.0.write().entry(step.to_owned()).or_default().observe(us, detected);
    }

    pub fn each<T>(&self, f: impl Fn(&str, &Stats) -> T) -> Vec<T> {
        self.0.read().iter().map(|(step, stats)| f(step, stats)).collect()
    }
}

impl Collector for Steps {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let name = "tappass_step_duration_seconds";
        let mut family = encoder.encode_descriptor(name, "Time of one step", None, MetricType::Histogram)?;
        for (step, stats) in self.0.read().iter() {
            stats.time.encode(family.encode_family(&step_labels(step))?)?;
        }
        Ok(())
    }
}
