//! The answer of a policy.

use serde::{Deserialize, Serialize};
use tappass_model::OnDetection;

/// What a policy says is to be done: the value of its rule `decision`, `{"action": …, "reason": …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// `allow`, `log`, `notify`, `redact` or `block`.
    #[serde(with = "action")]
    pub action: OnDetection,
    /// One sentence, told to the caller of a refused call.
    #[serde(default)]
    pub reason: String,
}

impl Decision {
    /// Nothing against it.
    #[must_use]
    pub const fn allow() -> Self {
        Self { action: OnDetection::Continue, reason: String::new() }
    }

    /// The stricter of two. Of equally strict ones the first.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        if other.action > self.action { other } else { self }
    }
}

/// A policy says `allow` where a step's configuration says `continue`.
mod action {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use tappass_model::OnDetection;

    pub(super) fn serialize<S: Serializer>(action: &OnDetection, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(if *action == OnDetection::Continue { "allow" } else { action.as_str() })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OnDetection, D::Error> {
        match String::deserialize(from)?.as_str() {
            "allow" => Ok(OnDetection::Continue),
            "log" => Ok(OnDetection::Log),
            "notify" => Ok(OnDetection::Notify),
            "redact" => Ok(OnDetection::Redact),
            "block" => Ok(OnDetection::Block),
            _ => Err(de::Error::custom("`action` must be allow, log, notify, redact or block")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_holds() {
        let block = Decision { action: OnDetection::Block, reason: "no".into() };
        assert_eq!(Decision::allow().or_stricter(block.clone()), block);
        assert_eq!(block.clone().or_stricter(Decision::allow()), block);
    }

    #[test]
    fn what_is_not_a_decision_is_refused() {
        let read = |text: &str| serde_json::from_str::<Decision>(text);
        assert_eq!(read(r#"{"action": "allow"}"#).expect("a decision"), Decision::allow());
        for bad in [r#"{"action": "permit"}"#, r#"{"action": "block", "resaon": "x"}"#, "true", "{}"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
