//! Who calls, and what the organisation has set for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Classification, Flags, Mode};

/// What a person may do in an organisation. Ordered from least to most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Sees what is theirs.
    Member,
    /// Reads all, changes nothing.
    Auditor,
    /// Registers and runs agents.
    Developer,
    /// Governs the organisation.
    OrgAdmin,
    /// Runs the platform, across organisations.
    PlatformAdmin,
}

impl Role {
    /// The name in requests and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Auditor => "auditor",
            Self::Developer => "developer",
            Self::OrgAdmin => "org_admin",
            Self::PlatformAdmin => "platform_admin",
        }
    }
}

/// Which tools an agent may use: names with `*` and `?` globs. Deny wins; an empty `allow` allows all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolRules {
    /// What may be used; empty: everything.
    pub allow: Vec<String>,
    /// What may never be used.
    pub deny: Vec<String>,
}

/// What an agent's capability tokens may cover at most. Names of tools with `*` and `?` globs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenScope {
    /// The tools; none: none of them.
    pub tools: Vec<String>,
    /// The highest level of data; a call above it gets no token. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_level: Option<Classification>,
}

/// What an admin has set for one agent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentSettings {
    /// The mode of a call without a `mode` flag.
    pub mode: Mode,
    /// No caller gets below this.
    pub floor: Mode,
    /// The pipeline's name.
    pub pipeline: String,
    /// Which tools it may use.
    pub tools: ToolRules,
    /// Flags that hold unless the call says otherwise.
    pub flags: Flags,
    /// Whether each answer carries the steps' trace.
    pub trace: bool,
    /// Whether its client knows the outcome `needs_approval`; others are told `block`.
    pub approvals: bool,
    /// What its capability tokens may cover. Where it is set, calls that pass get one; else those that ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<TokenScope>,
}

/// What an agent has shown who it is by. Audit events carry it, as `details.authentication`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum AgentCredential {
    /// A key.
    ApiKey {
        /// Which.
        key_id: Uuid,
    },
    /// A certificate of its workload, on the mTLS port.
    X509Svid {
        /// The id in it.
        spiffe_id: String,
    },
    /// A token of its workload.
    JwtSvid {
        /// The id in it.
        spiffe_id: String,
    },
}

/// An agent that has shown who it is. Made by `identify`, never changed after.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentCaller {
    /// Its organisation.
    pub org_id: Uuid,
    /// Its identity, stable for life.
    pub agent_uuid: Uuid,
    /// The name it was registered under, unique in its organisation: `claims-processor`.
    pub agent_id: String,
    /// What it has shown.
    pub credential: AgentCredential,
    /// What an admin has set.
    pub settings: AgentSettings,
}
