//! How sensitive a text is.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Five levels, ordered: `PUBLIC < INTERNAL < CONFIDENTIAL < RESTRICTED < TOP_SECRET`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Classification {
    /// May be known by anyone.
    #[default]
    Public,
    /// For the organisation.
    Internal,
    /// For those who need it.
    Confidential,
    /// Harm if it leaves: secrets, special categories of personal data.
    Restricted,
    /// Marked so by its owner.
    TopSecret,
}

impl Classification {
    /// All levels, lowest first.
    pub const ALL: [Self; 5] =
        [Self::Public, Self::Internal, Self::Confidential, Self::Restricted, Self::TopSecret];

    /// The name in headers, records and bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "PUBLIC",
            Self::Internal => "INTERNAL",
            Self::Confidential => "CONFIDENTIAL",
            Self::Restricted => "RESTRICTED",
            Self::TopSecret => "TOP_SECRET",
        }
    }
}

impl fmt::Display for Classification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Classification {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|c| c.as_str().eq_ignore_ascii_case(s)).ok_or_else(|| {
            format!(
                "`{s}` is not a classification; valid: PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED, TOP_SECRET"
            )
        })
    }
}
