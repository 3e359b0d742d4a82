//! What every handler can reach. Built once at start; cloning it clones one pointer.

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tappass_model::{Clock, Ids};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{caller::Caller, config::Config, error::ApiError, metrics::Metrics, middleware::AnonymousLimit};

/// The running gateway's parts.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// See [`App`].
pub struct Parts {
    /// What the operator set.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identifiers.
    pub ids: Arc<dyn Ids>,
    /// Counters and histograms.
    pub metrics: Metrics,
    /// Start, drain and end.
    pub life: Life,
    /// One permit for each request worked on.
    pub(crate) in_flight: Arc<Semaphore>,
    /// What one address may ask without credentials.
    pub(crate) anonymous: AnonymousLimit,
}

/// The server's course from start to end.
pub struct Life {
    /// When it started.
    pub started: Instant,
    /// Work that must be finished before the audit log closes. Spawn here, nowhere else.
    pub tasks: TaskTracker,
    /// Cancelled when the server stops accepting: finish what runs.
    pub draining: CancellationToken,
    /// Cancelled when the grace period is over: end streams now, with an error frame.
    pub ending: CancellationToken,
    /// Whether it has been ready once.
    pub(crate) was_ready: AtomicBool,
}

impl Life {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            was_ready: AtomicBool::new(false),
        }
    }

    /// Whether it has been ready once; remembered from the first time `now` is true.
    pub(crate) fn ready_once(&self, now: bool) -> bool {
        self.was_ready.fetch_or(now, Ordering::Relaxed) || now
    }
}

impl App {
    /// The parts put together.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let in_flight = Arc::new(Semaphore::new(config.limits.in_flight.min(Semaphore::MAX_PERMITS)));
        let anonymous = AnonymousLimit::new(config.limits.anonymous_per_minute);
        Self(Arc::new(Parts {
            config,
            clock,
            ids,
            metrics: Metrics::new(),
            life: Life::new(),
            in_flight,
            anonymous,
        }))
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// How many agents are registered.
    pub(crate) async fn agent_count(&self) -> u64 {
        0
    }

    /// The parts that must work for the gateway to do its work: `ok`, `off`, or what is wrong.
    pub(crate) async fn checks(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::new()
    }

    /// Who sent these headers.
    pub(crate) async fn identify(&self, _headers: &http::HeaderMap) -> Result<Option<Caller>, ApiError> {
        Ok(None)
    }
}
