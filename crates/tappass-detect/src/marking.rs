//! Markings: what the author of a text says about its sensitivity, in en nl fr de es it.
//!
//! A marking is a word in the place and form of a marking (capitals, a whole line, "– do not distribute"), not a word
//! of a sentence: "is this confidential?" is none.

use tappass_model::Family;

use crate::rule::{Hit, Rule};

pub(crate) fn rules() -> Vec<Rule> {
    let rule = |kind, regex| Rule::new(Family::Marking, kind, 0.9, regex);
    vec![
        rule("MARKING_TOP_SECRET", r"TOP SECRET(?://[A-Z][A-Z /-]{1,40})?|STRENG GEHEIM|TRÈS SECRET(?:[ -]DÉFENSE)?|ZEER GEHEIM|ALTO SECRETO|SEGRETISSIMO|COSMIC TOP SECRET|EU TOP SECRET|TRES SECRET UE"),
        rule("MARKING_TOP_SECRET", r"(?i-u:(?:classification|classified|marking|level)[ :]{1,3}top secret)"),
        rule("MARKING_RESTRICTED", r"(?i-u:strictly confidential|highly confidential|streng vertraulich|strikt vertrouwelijk|strikt geheim|strictement confidentiel|estrictamente confidencial|strettamente confidenziale|strettamente riservato)"),
        rule("MARKING_RESTRICTED", r"(?i-u:privileged (?:and|&) confidential|confidential (?:and|&) privileged|attorney[- ]client (?:privileged|communication|work product)|attorney work product|legally privileged|protected by (?:the )?attorney[- ]client privilege|onder het beroepsgeheim|anwaltsgeheimnis|secret professionnel de l'avocat)")
            .check(|hit| hit.when(!question(hit))),
        rule("MARKING_RESTRICTED", r"(?:SECRET(?://[A-Z][A-Z /-]{1,40})|RESTRICTED(?: USE| DATA| - |:|\n)|NATO SECRET|EU SECRET|SECRET DÉFENSE)").open(),
        rule("MARKING_CONFIDENTIAL", r"(?:COMPANY |COMMERCIAL[- ]IN[- ])?(?:CONFIDENTIAL|CONFIDENCE|VERTROUWELIJK|VERTRAULICH|CONFIDENTIEL|CONFIDENCIAL|CONFIDENZIALE|RISERVATO|PROPRIETARY)").after(24).check(alone),
        rule("MARKING_CONFIDENTIAL", r"(?:Confidential|Vertrouwelijk|Vertraulich|Confidentiel|Confidencial|Confidenziale|Riservato)(?: ?[-:.!]| \(|\n)").check(begins).open(),
        rule("MARKING_CONFIDENTIAL", r"(?i-u:company confidential|confidential information of|confidential[ :;,-]{1,3}(?:do not|not for) (?:distribute|distribution|share|forward|disclose|copy)|do not distribute|not for distribution|not for release|niet verspreiden|nicht weitergeben|ne pas diffuser|no distribuir|non divulgare|under embargo|tlp:(?:amber|red)(?:\+strict)?|under nda)")
            .check(|hit| hit.when(!question(hit))),
        rule("MARKING_INTERNAL", r"(?i-u:internal use only|for internal use|internal only|internal[ :-]{1,3}not for external|alleen voor intern gebruik|uitsluitend voor intern gebruik|nur für den (?:internen gebrauch|dienstgebrauch)|nur zur internen verwendung|usage interne(?: uniquement)?|réservé à l'usage interne|uso interno|solo para uso interno|ad uso interno|tlp:green)")
            .check(|hit| hit.when(!question(hit))),
        rule("MARKING_INTERNAL", r"(?:INTERNAL|INTERN|INTERNE|INTERNO|FOUO|FOR OFFICIAL USE ONLY|OFFICIAL[- ]SENSITIVE|CUI)(?: ?[-:/]| \(|\n)").check(begins).open(),
    ]
}

/// At the beginning of a line: nothing but list marks and brackets before it.
fn begins(hit: &Hit<'_>) -> Option<f32> {
    let line = hit.before.rsplit('\n').next().unwrap_or_default();
    hit.when(
        line.chars().all(|c| !c.is_alphanumeric())
            || line.to_ascii_lowercase().trim_end().ends_with("classification:"),
    )
}

/// Capitals among words that are not: a shout in capitals is no marking.
fn alone(hit: &Hit<'_>) -> Option<f32> {
    let shouts = |text: &str| {
        let letters = text.chars().filter(|c| c.is_alphabetic()).take(40);
        letters.clone().count() > 12 && letters.clone().all(char::is_uppercase)
    };
    hit.when(begins(hit).is_some() || !(shouts(hit.before) || shouts(hit.after)))
}

/// Someone asks about the marking instead of marking.
pub(crate) fn question(hit: &Hit<'_>) -> bool {
    let line = hit.before.rsplit(['\n', '.', '!']).next().unwrap_or_default().to_lowercase();
    [
        "what is",
        "what does",
        "what are",
        "wat is",
        "was ist",
        "was bedeutet",
        "qu'est",
        "qué es",
        "cos'è",
        "explain",
        "meaning of",
        "define",
    ]
    .iter()
    .any(|start| line.contains(start))
}

#[cfg(test)]
mod tests {
    use tappass_model::Family;

    fn kinds(text: &str) -> Vec<String> {
        let scanner = crate::Scanner::new(&[Family::Marking], &[]).unwrap();
        scanner.scan(text).into_iter().map(|m| m.kind.into_owned()).collect()
    }

    #[test]
    fn markings() {
        assert_eq!(kinds("TOP SECRET//NOFORN plan"), ["MARKING_TOP_SECRET"]);
        assert_eq!(kinds("Streng vertraulich: Bilanz"), ["MARKING_RESTRICTED"]);
        assert_eq!(kinds("CONFIDENTIAL\nQ3 numbers"), ["MARKING_CONFIDENTIAL"]);
        assert_eq!(kinds("Vertrouwelijk: loonlijst"), ["MARKING_CONFIDENTIAL"]);
        assert_eq!(kinds("Internal use only: menu"), ["MARKING_INTERNAL"]);
        assert_eq!(kinds("This is privileged and confidential."), ["MARKING_RESTRICTED"]);
    }

    #[test]
    fn talk_about_markings_passes() {
        for text in [
            "What does top secret mean?",
            "a confidential chat",
            "What is attorney-client privileged material?",
            "internal server error",
        ] {
            assert_eq!(kinds(text), Vec::<String>::new(), "{text}");
        }
    }
}
