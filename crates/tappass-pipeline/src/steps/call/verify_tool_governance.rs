//! Holds the tools of a request against definitions that were approved, by hash.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tappass_model::{Dialect, Finding, OnDetection, Outcome};

use super::definitions::hash_of;
use crate::{
    arguments::shown,
    runner::Call,
    step::{About, Category, Define, Meta, Phase, StepError, Waiting},
};

/// What becomes of a tool that nobody has approved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// It is a hit.
    #[default]
    Refuse,
    /// It is recorded and passes.
    Log,
    /// It passes.
    Allow,
}

/// # What it does
/// Makes the SHA-256 of each tool's definition (the canonical JSON of RFC 8785: keys in order, no spaces) and looks it
/// up in `approved`. A definition that was approved under this name passes.
/// # Why
/// Somebody has read the definition that was approved. Nobody has read the one that came in its place.
/// # On a hit
/// Blocks, and names the tool and the hash that its definition has now, so that it can be read and approved.
/// # Limits
/// Without any approved definition there is nothing to hold tools against, and the step lets all pass.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyToolGovernance {
    /// Approved definitions: the tool's name, and the SHA-256 of each definition it may have, in hexadecimal.
    pub approved: BTreeMap<String, Vec<String>>,
    /// What becomes of a tool that is not among them.
    pub on_unknown: OnUnknown,
}

impl Define for VerifyToolGovernance {
    const META: Meta = Meta {
        id: "verify_tool_governance",
        position: 540,
        phase: Phase::Call,
        category: Category::RouteAndExecute,
        summary: "Tools in the request match the approved, hashed definitions",
        threats: &["LLM03", "ASI02", "ASI04"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Conversation;

    fn prepare(&mut self) -> Result<(), String> {
        for (tool, hashes) in &mut self.approved {
            for hash in hashes.iter_mut() {
                *hash = hash.trim_start_matches("sha256:").to_lowercase();
                if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(format!("`approved.{tool}` must be SHA-256 in hexadecimal, 64 digits"));
                }
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Waiting for VerifyToolGovernance {
    async fn run(&self, call: &mut Call) -> Result<Outcome, StepError> {
        if self.approved.is_empty() {
            return Ok(Outcome::pass_with("no definition has been approved, so none is held against"));
        }
        let (mut refused, mut findings) = (Vec::new(), Vec::new());
        for (name, definition) in call.definitions() {
            let hash = hash_of(definition);
            let kind = match self.approved.get(name) {
                Some(hashes) if hashes.contains(&hash) => continue,
                Some(_) => "TOOL_CHANGED",
                None if self.on_unknown == OnUnknown::Allow => continue,
                None => "TOOL_NOT_APPROVED",
            };
            if kind == "TOOL_CHANGED" || self.on_unknown == OnUnknown::Refuse {
                refused.push(format!("`{}` (sha256 {hash})", shown(name)));
            }
            findings.push(Finding::about(Self::META.id, kind, shown(name)));
        }
        if refused.is_empty() {
            return Ok(Outcome { findings, ..Outcome::pass() });
        }
        Ok(Outcome::hit(format!("not the approved definition: {}", refused.join(", ")), findings))
    }

    fn without_model(&self, dialect: Dialect) -> bool {
        dialect == Dialect::McpMessage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call_with, offering, services};

    fn approving(tool: &str, hash: &str, on_unknown: OnUnknown) -> VerifyToolGovernance {
        let mut step =
            VerifyToolGovernance { approved: [(tool.to_owned(), vec![hash.to_owned()])].into(), on_unknown };
        step.prepare().expect("fine");
        step
    }

    async fn outcome(step: &VerifyToolGovernance, tools: &[&str]) -> Outcome {
        step.run(&mut call_with("{}", offering(tools), &services())).await.expect("runs")
    }

    fn hash(tool: &str) -> String {
        hash_of(&offering(&[tool]).request.body["tools"][0])
    }

    #[tokio::test]
    async fn lets_pass_what_was_approved() {
        let step = approving("read", &format!("sha256:{}", hash("read").to_uppercase()), OnUnknown::Refuse);
        assert!(!outcome(&step, &["read"]).await.detected);
        assert!(!outcome(&VerifyToolGovernance::default(), &["anything"]).await.detected);
    }

    #[tokio::test]
    async fn catches_what_was_not_and_says_its_hash() {
        let step = approving("read", &hash("other"), OnUnknown::Refuse);
        let outcome_ = outcome(&step, &["read"]).await;
        assert!(outcome_.detected && outcome_.message.contains(&hash("read")), "{outcome_:?}");
        assert_eq!(outcome_.findings[0].kind, "TOOL_CHANGED");
        let step = approving("read", &hash("read"), OnUnknown::Refuse);
        assert_eq!(outcome(&step, &["read", "pay"]).await.findings[0].kind, "TOOL_NOT_APPROVED");
    }

    #[tokio::test]
    async fn unknown_tools_may_be_recorded_or_let_pass() {
        for (on, findings) in [(OnUnknown::Log, 1), (OnUnknown::Allow, 0)] {
            let outcome = outcome(&approving("read", &hash("read"), on), &["read", "pay"]).await;
            assert_eq!((outcome.detected, outcome.findings.len()), (false, findings));
        }
        let bad = VerifyToolGovernance {
            approved: [("t".to_owned(), vec!["abc".to_owned()])].into(),
            ..Default::default()
        };
        assert!(bad.clone().prepare().is_err());
    }
}
