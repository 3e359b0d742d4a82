//! Compiled policies, ready for calls: the shipped ones, with an organisation's own as they are asked for.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tappass_policy::{CompileError, Embedded, Engine, Question};
use tappass_store::{Store, StoreError};
use uuid::Uuid;

/// Why an organisation's policies cannot be had. Its calls are refused then: nothing passes ungoverned.
#[derive(Debug, thiserror::Error)]
pub enum PoliciesError {
    /// They cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One cannot be compiled, though it could when it was written.
    #[error("the policy `{}`: {error}", question.name())]
    Compile {
        /// The question it answers.
        question: Question,
        /// Where and what.
        error: CompileError,
    },
    /// The compiler itself failed.
    #[error("the policy compiler broke: {0}")]
    Broken(String),
}

/// The policies, by organisation.
pub struct Policies {
    store: Store,
    shipped: Arc<Embedded>,
    compiled: Cache<Uuid, Arc<Embedded>>,
}

impl Policies {
    /// `shared`: other replicas write to the store too.
    #[must_use]
    pub fn new(store: Store, shared: bool) -> Self {
        let mut cache = Cache::builder().max_capacity(10_000);
        if shared {
            // Another replica may have changed one: a call sees that within a second.
            cache = cache.time_to_live(Duration::from_secs(1));
        }
        Self { store, shipped: Arc::new(Embedded::shipped()), compiled: cache.build() }
    }

    /// What an organisation's calls are held against.
    ///
    /// # Errors
    /// [`PoliciesError`].
    pub async fn get(&self, org_id: Uuid) -> Result<Arc<dyn Engine>, PoliciesError> {
        if let Some(policies) = self.compiled.get(&org_id) {
            return Ok(policies);
        }
        let stored = self.store.policies().latest(org_id).await?;
        let own: Vec<(Question, String)> = stored
            .into_iter()
            .filter(|policy| !policy.rego.is_empty())
            .filter_map(|policy| Some((Question::named(&policy.question)?, policy.rego)))
            .collect();
        let policies = if own.is_empty() { self.shipped.clone() } else { Arc::new(compile(own).await?) };
        self.compiled.insert(org_id, policies.clone());
        Ok(policies)
    }

    /// Checks a text, away from the runtime.
    ///
    /// # Errors
    /// [`PoliciesError::Compile`] with line and column.
    pub async fn check(&self, question: Question, rego: String) -> Result<(), PoliciesError> {
        compile(vec![(question, rego)]).await.map(|_| ())
    }

    /// The next call of the organisation compiles its policies again.
    pub fn changed(&self, org_id: Uuid) {
        self.compiled.invalidate(&org_id);
    }
}

async fn compile(own: Vec<(Question, String)>) -> Result<Embedded, PoliciesError> {
    let compile = move || Embedded::with_own(own.iter().map(|(question, rego)| (*question, rego.as_str())));
    let done = tokio::task::spawn_blocking(compile).await;
    done.map_err(|e| PoliciesError::Broken(e.to_string()))?
        .map_err(|(question, error)| PoliciesError::Compile { question, error })
}
