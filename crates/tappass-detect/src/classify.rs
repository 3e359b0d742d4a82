//! From the findings in a text to how sensitive it is: one answer for requests, answers, and figures.

use tappass_model::{Classification, Family, Match};

use crate::sample::min_classification;

/// Findings of these families count from here on: below it, they say what a text may be about.
const SURE: f32 = 0.5;

/// How sensitive a text is, and what makes it so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classified {
    /// The highest level that any finding asks for.
    pub level: Classification,
    /// Why, in words of the trade, each once: `secret`, `infrastructure`, `business_financial`, `phi` …
    pub tags: Vec<&'static str>,
}

/// Classifies a text by its findings. `own` knows the levels of custom patterns; `None` leaves it to
/// [`min_classification`].
pub fn classify<'a>(
    matches: impl IntoIterator<Item = &'a Match>,
    own: impl Fn(&Match) -> Option<Classification>,
) -> Classified {
    let mut classified = Classified::default();
    for m in matches {
        if m.score < SURE && m.family != Family::Custom {
            continue;
        }
        classified.level = classified.level.max(own(m).unwrap_or_else(|| min_classification(m)));
        if let Some(tag) = tag(m).filter(|tag| !classified.tags.contains(tag)) {
            classified.tags.push(tag);
        }
    }
    classified.tags.sort_unstable();
    classified
}

/// What a finding makes of a text.
fn tag(m: &Match) -> Option<&'static str> {
    Some(match (m.family, m.kind.as_ref()) {
        (Family::Secret, _) => "secret",
        (Family::Infra, _) => "infrastructure",
        (Family::Business, "FINANCIALS") => "business_financial",
        (Family::Business, "SALARY") => "business_hr",
        (Family::Business, "CONTRACT_TERMS" | "DEAL_NAME" | "UNANNOUNCED") => "business_contract",
        (Family::Business, "CUSTOMER_LIST") => "business_customers",
        (Family::Business, "PRIVILEGE") => "legal_privilege",
        (Family::Business, "HEALTH_RECORD") | (Family::Pii, "MRN" | "US_MBI" | "UK_NHS" | "ICD10") => "phi",
        (Family::Pii, _) => "pii",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scanner;

    fn of(text: &str) -> Classified {
        classify(&Scanner::new(&Family::ALL, &[]).unwrap().scan(text), |_| None)
    }

    #[test]
    fn levels_and_tags() {
        for (text, level, tag) in [
            ("What is the capital of Belgium?", Classification::Public, None),
            ("Internal use only: the new menu.", Classification::Internal, None),
            ("Unaudited: Q2 turnover EUR 41m.", Classification::Confidential, Some("business_financial")),
            ("Payroll overview: A. Berg 71 200 EUR", Classification::Restricted, Some("business_hr")),
            ("Patient was prescribed metformin 500 mg.", Classification::Restricted, Some("phi")),
            ("Privileged and confidential: our advice.", Classification::Restricted, Some("legal_privilege")),
        ] {
            let classified = of(text);
            assert_eq!(classified.level, level, "{text}: {classified:?}");
            assert!(tag.is_none_or(|tag| classified.tags.contains(&tag)), "{text}: {classified:?}");
        }
    }

    #[test]
    fn what_is_unsure_says_nothing_and_own_levels_win() {
        let unsure = Match { family: Family::Business, kind: "SALARY".into(), start: 0, end: 1, score: 0.3 };
        assert_eq!(classify([&unsure], |_| None), Classified::default());
        let custom = Match { family: Family::Custom, kind: "x".into(), start: 0, end: 1, score: 1.0 };
        assert_eq!(classify([&custom], |_| Some(Classification::TopSecret)).level, Classification::TopSecret);
    }
}
