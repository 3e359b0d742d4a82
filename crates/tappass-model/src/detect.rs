//! What a detector reports about one text, before any step has judged it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The families of detectors. One scan of a text runs those that the pipeline's steps ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Personal data.
    Pii,
    /// API keys, private keys, passwords, connection strings.
    Secret,
    /// Attempts to steer the model against its operator.
    Injection,
    /// Internal hosts, private addresses, cloud resource names, paths.
    Infra,
    /// Markings of sensitivity (`CONFIDENTIAL`, `TOP SECRET//NOFORN`, `Streng vertraulich` …).
    Marking,
    /// Patterns of the pipeline's own configuration.
    Custom,
    /// Characters that hide or disguise text.
    Unicode,
    /// Attempts to gain rights.
    Escalation,
    /// Shell commands and substitutions.
    Shell,
    /// Requests to run code; SQL of the destructive or smuggled kind.
    Code,
    /// Figures not yet published, customer lists, contract terms, deal names, privilege.
    Business,
    /// Links, hosts and blobs that carry data out.
    Exfiltration,
    /// Instructions hidden in the definition of a tool.
    ToolPoison,
    /// Instructions that want to be remembered.
    Memory,
    /// Harmful content, by category.
    Safety,
}

impl Family {
    /// All families, in the order of their findings.
    pub const ALL: [Self; 15] = [
        Self::Pii,
        Self::Secret,
        Self::Injection,
        Self::Infra,
        Self::Marking,
        Self::Custom,
        Self::Unicode,
        Self::Escalation,
        Self::Shell,
        Self::Code,
        Self::Business,
        Self::Exfiltration,
        Self::ToolPoison,
        Self::Memory,
        Self::Safety,
    ];

    /// The name in configuration and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pii => "pii",
            Self::Secret => "secret",
            Self::Injection => "injection",
            Self::Infra => "infra",
            Self::Marking => "marking",
            Self::Custom => "custom",
            Self::Unicode => "unicode",
            Self::Escalation => "escalation",
            Self::Shell => "shell",
            Self::Code => "code",
            Self::Business => "business",
            Self::Exfiltration => "exfiltration",
            Self::ToolPoison => "tool_poison",
            Self::Memory => "memory",
            Self::Safety => "safety",
        }
    }

    /// Whether a placeholder in the place of a hit makes the text safe. What wants to steer a model or an agent is
    /// not made safe by hiding a part of it.
    #[must_use]
    pub const fn maskable(self) -> bool {
        matches!(
            self,
            Self::Pii
                | Self::Secret
                | Self::Infra
                | Self::Marking
                | Self::Custom
                | Self::Unicode
                | Self::Business
                | Self::Exfiltration
        )
    }
}

/// One hit in one text. Offsets are bytes into the original text, at character boundaries, `start < end`.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// The family that found it.
    pub family: Family,
    /// What it is, in capitals: `EMAIL`, `CREDIT_CARD`, `AWS_ACCESS_KEY`; for `Custom` the pattern's name.
    pub kind: Cow<'static, str>,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// How sure the detector is, 0 to 1. Validated by a checksum: 0.95 and more.
    pub score: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_one_name() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).expect("a name"), family.as_str());
        }
    }
}
