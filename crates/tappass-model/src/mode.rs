//! What is done about what was found: the mode of a call, what a step is configured to do, what was done.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How strictly a call is governed. Ordered from loosest to strictest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All steps run, nothing is blocked or changed, everything is recorded with what would have happened.
    #[default]
    Observe,
    /// As observe, and the caller is told.
    Warn,
    /// The configured actions happen.
    Enforce,
    /// Any detection blocks.
    Lockdown,
}

impl Mode {
    /// All modes, loosest first.
    pub const ALL: [Self; 4] = [Self::Observe, Self::Warn, Self::Enforce, Self::Lockdown];

    /// The name in flags, records and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Warn => "warn",
            Self::Enforce => "enforce",
            Self::Lockdown => "lockdown",
        }
    }

    /// Whether a decision takes effect in this mode.
    #[must_use]
    pub const fn acts(self) -> bool {
        matches!(self, Self::Enforce | Self::Lockdown)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|m| m.as_str() == s)
            .ok_or_else(|| format!("`{s}` is not a mode; valid: observe, warn, enforce, lockdown"))
    }
}

/// What a step does on a hit. Ordered from mildest to strictest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDetection {
    /// Go on; the hit shows in the trace only.
    Continue,
    /// Record the hit.
    #[default]
    Log,
    /// Record the hit and alert.
    Notify,
    /// Replace what was found by a placeholder, then go on.
    Redact,
    /// Refuse the call.
    Block,
}

impl OnDetection {
    /// The name in YAML and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// What was done: of a step in its trace row, of a call in its audit event. Ordered by weight.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The step did not run; its message says why.
    Skip,
    /// Nothing to do.
    #[default]
    Allow,
    /// Recorded.
    Log,
    /// Recorded, and an alert raised.
    Notify,
    /// Content was replaced by placeholders.
    Redact,
    /// Refused.
    Block,
    /// The step itself failed; in enforce the call was refused for it.
    Error,
}

impl Action {
    /// The name in records and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Allow => "allow",
            Self::Log => "log",
            Self::Notify => "notify",
            Self::Redact => "redact",
            Self::Block => "block",
            Self::Error => "error",
        }
    }
}

impl From<OnDetection> for Action {
    fn from(on: OnDetection) -> Self {
        match on {
            OnDetection::Continue => Self::Allow,
            OnDetection::Log => Self::Log,
            OnDetection::Notify => Self::Notify,
            OnDetection::Redact => Self::Redact,
            OnDetection::Block => Self::Block,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_ordered_and_round_trip() {
        assert!(Mode::Observe < Mode::Warn && Mode::Warn < Mode::Enforce && Mode::Enforce < Mode::Lockdown);
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse::<Mode>(), Ok(mode));
        }
        assert!("strict".parse::<Mode>().is_err_and(|e| e.contains("lockdown")));
    }
}
