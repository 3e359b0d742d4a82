//! Who answers: the trait that the embedded engine and, one day, a remote OPA stand behind.

use async_trait::async_trait;
use serde_json::Value;

use crate::{Decision, Question};

/// Answers questions about calls. An answer is the stricter of the shipped policy's and the organisation's.
#[async_trait]
pub trait Engine: std::fmt::Debug + Send + Sync {
    /// Whether the organisation has a policy of its own for a question. The shipped ones alone have nothing to say
    /// on a call without findings, so they are not asked then.
    fn has_own(&self, question: Question) -> bool;

    /// The answer. `input` is the question's typed input as JSON.
    ///
    /// # Errors
    /// No policy gave an answer that is one; the call must not go on where decisions act.
    async fn decide(&self, question: Question, input: Value) -> Result<Decision, PolicyError>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The rule `decision` has no value for this input.
    #[error(
        "the policy `{0}` gave no decision; give it a default: `default decision := {{\"action\": \"block\"}}`"
    )]
    Undefined(&'static str),
    /// Its value is not a decision.
    #[error("the policy `{0}` gave something that is not a decision: {1}")]
    NotADecision(&'static str, String),
    /// It took too long, or broke.
    #[error("the policy `{0}` failed: {1}")]
    Failed(&'static str, String),
}
