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
use tokio::sync::OnceCell;
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

/// The presets, and the organisations' pipelines as they are asked for.
pub struct Pipelines {
    store: Store,
    /// Compiled when first asked for: each takes milliseconds, and most machines need one or two.
    presets: Vec<(&'static str, OnceCell<Arc<Pipeline>>)>,
    compiled: Cache<(Uuid, String), Arc<Pipeline>>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: AtomicU64,
}

impl Pipelines {
    /// `ready`: a preset that is compiled already. `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, ready: &Arc<Pipeline>, shared: bool) -> Self {
        let mut cache = Cache::builder().max_capacity(1_000);
        if shared {
            // Another replica may have changed it: a call sees that within a second.
            cache = cache.time_to_live(Duration::from_secs(1));
        }
        prepare(ready.clone());
        let compiled = |name| (ready.name == name).then(|| ready.clone());
        let presets = builtin_names().map(|name| (name, OnceCell::new_with(compiled(name)))).collect();
        Self { store, presets, compiled: cache.build(), changes: AtomicU64::new(0) }
    }

    /// The pipeline of that name: a preset, else the organisation's own, else a pack. (A pack that came with a later
    /// version does not displace what an organisation has called so.) [`DEFAULT`] is always there.
    ///
    /// # Errors
    /// [`PipelineError`].
    pub async fn get(&self, org_id: Uuid, name: &str) -> Result<Arc<Pipeline>, PipelineError> {
        if preset_names().any(|preset| preset == name)
            && let Some(preset) = self.preset(name).await?
        {
            return Ok(preset);
        }
        let key = (org_id, name.to_owned());
        if let Some(pipeline) = self.compiled.get(&key) {
            return Ok(pipeline);
        }
        let before = self.changes.load(Ordering::SeqCst);
        let stored = self.store.pipelines().latest(org_id, name).await?;
        let pipeline = match stored {
            Some(stored) => self.compile(name, stored.version, stored.yaml).await?,
            None => {
                let builtin = self.preset(if name == DEFAULT { DEFAULT_PRESET } else { name }).await?;
                builtin.ok_or_else(|| PipelineError::Unknown(name.to_owned()))?
            }
        };
        self.compiled.insert(key.clone(), pipeline.clone());
        if self.changes.load(Ordering::SeqCst) != before {
            self.compiled.invalidate(&key);
        }
        Ok(pipeline)
    }

    /// The preset or the pack of that name, if it is one.
    ///
    /// # Errors
    /// [`PipelineError::Broken`].
    pub async fn preset(&self, name: &str) -> Result<Option<Arc<Pipeline>>, PipelineError> {
        let Some((name, cell)) = self.presets.iter().find(|(preset, _)| *preset == name) else {
            return Ok(None);
        };
        let compiled = cell.get_or_try_init(|| off_the_runtime(|| compile_preset(name)));
        Ok(Some(compiled.await?.clone()))
    }

    /// All presets, then all packs.
    ///
    /// # Errors
    /// [`PipelineError::Broken`].
    pub async fn presets(&self) -> Result<Vec<Arc<Pipeline>>, PipelineError> {
        let mut all = Vec::with_capacity(self.presets.len());
        for (name, _) in &self.presets {
            all.extend(self.preset(name).await?);
        }
        Ok(all)
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
        off_the_runtime(move || compile(&name, version, &yaml)).await
    }

    /// The next call compiles the latest version again.
    pub fn changed(&self, pipeline: &PipelineVersion) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.compiled.invalidate(&(pipeline.org_id, pipeline.name.clone()));
    }
}

/// Compiling takes the processor for milliseconds.
async fn off_the_runtime(
    compile: impl FnOnce() -> Result<Arc<Pipeline>, CompileError> + Send + 'static,
) -> Result<Arc<Pipeline>, PipelineError> {
    let done = tokio::task::spawn_blocking(compile).await;
    let pipeline = done.map_err(|e| PipelineError::Broken(e.to_string()))??;
    prepare(pipeline.clone());
    Ok(pipeline)
}

/// Makes a pipeline's detectors ready beside the first calls, which need few of them, rather than on their way.
fn prepare(pipeline: Arc<Pipeline>) {
    tokio::task::spawn_blocking(move || pipeline.scanner.prepare());
}

/// Whether a preset or a pack has that name, so that an organisation's pipeline cannot.
#[must_use]
pub fn is_builtin(name: &str) -> bool {
    builtin_names().any(|builtin| builtin == name)
}
