//! Compiled pipelines, ready for calls. A call takes one and keeps it; a change makes the next call take another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use tappass_pipeline::{
    CompileError, Pipeline, builtin_names, compile, compile::DEFAULT_PRESET, compile_preset, preset_names,
};
use tappass_store::{PipelineVersion, Store, StoreError};
use uuid::Uuid;

/// A pipeline that every organisation has: the default preset, until it writes one of its own under this name.
pub const DEFAULT: &str = "default";

/// Why there is no such pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Neither a preset nor one of the organisation.
    #[error("there is no pipeline `{0}`")]
    Unknown(String),
    /// It cannot be compiled. Says where and what to mend.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The compiler itself failed.
    #[error("the pipeline compiler broke: {0}")]
    Broken(String),
}

/// Every preset and pack, compiled. Takes the processor for a while: not on the runtime's threads.
///
/// # Errors
/// A preset that does not compile: a bug.
pub fn compile_presets() -> Result<Vec<Arc<Pipeline>>, CompileError> {
    builtin_names().map(compile_preset).collect()
}

/// The presets, and the organisations' pipelines as they are asked for.
pub struct Pipelines {
    store: Store,
    presets: Vec<Arc<Pipeline>>,
    compiled: Cache<(Uuid, String), Arc<Pipeline>>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
}

impl Pipelines {
    /// With the presets, as [`compile_presets`] gives them. `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, presets: Vec<Arc<Pipeline>>, shared: bool) -> Self {
        let mut cache = Cache::builder().max_capacity(1_000);
        if shared {
            // Another replica may have changed it: a call sees that within a second.
            cache = cache.time_to_live(Duration::from_secs(1));
        }
        Self { store, presets, compiled: cache.build(), changes: AtomicU64::new(0) }
    }

    /// The pipeline of that name: a preset, else the organisation's own, else a pack. (A pack that came with a later
    /// version does not displace what an organisation has called so.) [`DEFAULT`] is always there.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn get(&self, org_id: Uuid, name: &str) -> Result<Arc<Pipeline>, PipelineError> {
        if preset_names().any(|preset| preset == name)
            && let Some(preset) = self.preset(name)
        {
            return Ok(preset.clone());
        }
        let key = (org_id, name.to_owned());
        if let Some(pipeline) = self.compiled.get(&key) {
            return Ok(pipeline);
        }
        let before = self.changes.load(Ordering::SeqCst);
        let stored = self.store.pipelines().latest(org_id, name).await?;
        let builtin = self.preset(if name == DEFAULT { DEFAULT_PRESET } else { name });
        let pipeline = match (stored, builtin) {
            (Some(stored), _) => self.compile(name, stored.version, stored.yaml).await?,
            (None, Some(builtin)) => builtin.clone(),
            (None, None) => return Err(PipelineError::Unknown(name.to_owned())),
        };
        self.compiled.insert(key.clone(), pipeline.clone());
        if self.changes.load(Ordering::SeqCst) != before {
            self.compiled.invalidate(&key);
        }
        Ok(pipeline)
    }

    /// A preset or a pack of that name. An organisation's pipeline cannot have it.
    #[must_use]
    pub fn preset(&self, name: &str) -> Option<&Arc<Pipeline>> {
        self.presets.iter().find(|preset| preset.name == name)
    }

    /// All presets, then all packs.
    #[must_use]
    pub fn presets(&self) -> &[Arc<Pipeline>] {
        &self.presets
    }

    /// Compiles a text, away from the runtime: patterns take milliseconds.
    ///
    /// # Errors
    /// [`PipelineError::Compile`] with the line and what to mend.
    pub async fn compile(
        &self,
        name: &str,
        version: i64,
        yaml: String,
    ) -> Result<Arc<Pipeline>, PipelineError> {
        let name = name.to_owned();
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        let done = tokio::task::spawn_blocking(move || compile(&name, version, &yaml)).await;
        Ok(done.map_err(|e| PipelineError::Broken(e.to_string()))??)
    }

    /// The next call compiles the latest version again.
    pub fn changed(&self, pipeline: &PipelineVersion) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.compiled.invalidate(&(pipeline.org_id, pipeline.name.clone()));
    }
}
