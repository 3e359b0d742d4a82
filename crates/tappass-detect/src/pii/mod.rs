//! Personal data. What has a checksum is validated by it; what has none needs words around it.

mod cards;
mod contact;
mod iban;
mod identity;
mod lexicon;
mod national;
mod person;
mod place;

pub use person::{NameEvidence, name_evidence, name_features};

use crate::rule::Rule;

/// All rules of the family.
pub(crate) fn rules() -> Vec<Rule> {
    let parts = [
        cards::rules(),
        iban::rules(),
        contact::rules(),
        national::rules(),
        identity::rules(),
        place::rules(),
        person::rules(),
    ];
    parts.into_iter().flatten().collect()
}

/// The findings of this family in a text, as (kind, text) pairs.
#[cfg(test)]
pub(crate) fn found(text: &str) -> Vec<(String, String)> {
    let scanner = crate::Scanner::new(&[tappass_model::Family::Pii], &[]).unwrap();
    scanner.scan(text).into_iter().map(|m| (m.kind.to_string(), text[m.start..m.end].to_owned())).collect()
}

/// Asserts that each text has exactly the given finding of this family.
#[cfg(test)]
pub(crate) fn finds(cases: &[(&str, &str, &str)]) {
    for (text, kind, value) in cases {
        assert_eq!(found(text), [((*kind).to_owned(), (*value).to_owned())], "in {text:?}");
    }
}

/// Asserts that none of the texts has a finding of this family.
#[cfg(test)]
pub(crate) fn passes(texts: &[&str]) {
    for text in texts {
        assert_eq!(found(text), [], "in {text:?}");
    }
}
