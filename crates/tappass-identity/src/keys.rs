//! API keys: `tp_…` of an agent, `tp_dev_…` of a developer, `tp_pat_…` of a person.

use std::fmt;

use tappass_store::KeyKind;
use zeroize::Zeroizing;

use crate::tokens;

/// An API key in clear. It is shown once, when it is made; what is stored is its keyed hash.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// A new one.
    #[must_use]
    pub fn generate(kind: KeyKind) -> Self {
        Self(tokens::generate(prefix(kind)))
    }

    /// The key itself, to be given to its owner.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What may be shown later to tell keys apart: the prefix, four characters, and the last four, which belong
    /// to the checksum. `tp_3fK9…x7Qa`
    #[must_use]
    pub fn hint(&self) -> String {
        let body = self.0.rfind('_').map_or(0, |i| i + 1);
        format!("{}…{}", &self.0[..body + 4], &self.0[self.0.len() - 4..])
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.hint())
    }
}

/// What a key begins with.
#[must_use]
pub const fn prefix(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Agent => "tp_",
        KeyKind::Developer => "tp_dev_",
        KeyKind::Personal => "tp_pat_",
    }
}

/// The kind of a well-formed key: right prefix, length and checksum. `None` for anything else, so that a typo and a
/// look-alike are refused without a look-up.
#[must_use]
pub fn kind_of(token: &str) -> Option<KeyKind> {
    [KeyKind::Developer, KeyKind::Personal, KeyKind::Agent]
        .into_iter()
        .find(|kind| tokens::is_well_formed(prefix(*kind), token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_apart() {
        for kind in [KeyKind::Agent, KeyKind::Developer, KeyKind::Personal] {
            let key = ApiKey::generate(kind);
            assert_eq!(kind_of(key.expose()), Some(kind));
        }
        assert_eq!(kind_of("tp_dev_"), None);
        assert_eq!(kind_of("sk-proj-1234567890"), None);
    }

    #[test]
    fn the_hint_and_debug_show_eight_characters() {
        let key = ApiKey::generate(KeyKind::Developer);
        let hint = key.hint();
        assert!(hint.starts_with("tp_dev_") && hint.chars().count() == 7 + 4 + 1 + 4, "{hint}");
        assert_eq!(format!("{key:?}"), format!("ApiKey({hint})"));
    }
}
