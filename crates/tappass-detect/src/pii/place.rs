//! Postal addresses whose shape gives them away: street, number and postcode in the forms of BE NL DE FR ES IT UK US.

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::Rule;

/// A capitalised word.
const CAP: &str = r"(?:[A-ZÀ-ÖØ-Þ][A-Za-zß-öø-žÀ-ÖØ-Þ'-]{1,24}\.?|[A-Z]\.)";
/// A town: one to four words, small ones between them.
const TOWN: &str = r"(?:S(?:t|int|ankt|aint)\.? )?[A-ZÀ-ÖØ-Þ][A-Za-zß-öø-žÀ-ÖØ-Þ'-]{1,24}(?:[ -](?:[a-zà-ž']{1,4} )?[A-ZÀ-ÖØ-Þ][A-Za-zß-öø-žÀ-ÖØ-Þ'-]{1,24}){0,3}(?: \([A-Z]{2}\))?";

pub(super) fn rules() -> Vec<Rule> {
    let address = |score, regex: String| {
        let mut rule = Rule::new(Family::Pii, "ADDRESS", score, "");
        rule.regex = Cow::Owned(regex);
        rule
    };
    let sep = r"(?:, ?| |\n){1,2}";
    let number = "[0-9]{1,4}(?: ?[A-Za-z]|/[0-9A-Z]{1,4})?(?: (?:bus|bte|boîte) [0-9A-Z]{1,4})?";
    let small = "(?:(?:de|du|des|la|le|les|del|della|di|da|dos|van|den|der|l'|d') ?)";
    vec![
        // Street name in one word or two, ending in what it is; then the number, the postcode, the town.
        address(
            0.85,
            format!(
                r"(?:{CAP} ){{0,3}}(?:[A-ZÀ-Þ][a-zß-ž-]{{2,24}})?(?i-u:straat|laan|weg|baan|plein|steenweg|dreef|lei|kade|singel|gracht|hof|pad|dijk|stra(?:ß|ss)e|str\.|platz|allee|gasse|ring|ufer|damm) {number}{sep}(?:[A-Z]{{1,2}}-)?[0-9]{{4,5}}(?: ?[A-Z]{{2}})?{sep}{TOWN}"
            ),
        ),
        // Number, kind of street, name (FR, BE-FR).
        address(
            0.85,
            format!(
                r"(?:[0-9]{{1,4}}(?: ?(?:bis|ter|[A-Za-z]))?,? )(?i-u:rue|avenue|boulevard|bd|place|chemin|allée|impasse|quai|route|cours|square|chaussée) {small}{{0,2}}{CAP}(?: {small}{{0,2}}{CAP}){{0,4}}(?:{sep}[0-9]{{4,5}}{sep}{TOWN})?"
            ),
        ),
        // Kind of street, name, number (IT, ES, BE-FR), then the rest up to the postcode.
        address(
            0.85,
            format!(
                r"(?:Via|Viale|Piazza|Piazzale|Corso|Vicolo|Largo|Strada|Contrada|Borgo|Canale|Stretto|Incrocio|Rotonda|Calle|C/|Avenida|Avda\.|Ronda|Plaza|Paseo|Camino|Cañada|Carrer|Callejón|Cuesta|Glorieta|Pasaje|Pasadizo|Rambla|Urbanización|Vial|Acceso|Alameda|Rue|Avenue|Chaussée|Boulevard) {small}{{0,2}}{CAP}(?: {small}{{0,2}}{CAP}){{0,4}},? [0-9]{{1,4}}(?:,? (?i-u:appartamento|piso|apt\.?|puerta|interno|bte) ?[0-9A-Za-z]{{1,4}})?(?:{sep}{TOWN})?{sep}[0-9]{{4,5}}(?:{sep}{TOWN})?"
            ),
        ),
        // Number, name, kind of street (US, UK), then town, state, code as far as they follow.
        address(
            0.8,
            format!(
                r"[0-9]{{1,5}}[A-Za-z]? (?:[NSEW]\.? )?(?:{CAP} ){{1,4}}(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Close|Crescent|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Plaza|Mews|Gardens|Grove)\.?(?:,? (?:Apt|Suite|Ste|Unit|Flat|Floor)\.? [0-9A-Za-z]{{1,5}})?(?:{sep}{TOWN})?(?:{sep}(?:[A-Z]{{2}} [0-9]{{5}}(?:-[0-9]{{4}})?|[A-Z]{{1,2}}[0-9][0-9A-Z]? ?[0-9][A-Z]{{2}}))?"
            ),
        ),
        address(0.85, r"P\.?O\.? Box [0-9]{1,6}".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, passes};

    #[test]
    fn addresses() {
        finds(&[
            ("woont op Victorbaan 31, 8777SH, Bronneger en", "ADDRESS", "Victorbaan 31, 8777SH, Bronneger"),
            ("Veldstraat 12 bus 3, 9000 Gent.", "ADDRESS", "Veldstraat 12 bus 3, 9000 Gent"),
            ("wohnt Lange Straße 5, 10115 Berlin", "ADDRESS", "Lange Straße 5, 10115 Berlin"),
            ("au 12 rue de la Paix, 75002 Paris", "ADDRESS", "12 rue de la Paix, 75002 Paris"),
            ("in Via Garibaldi 4, 00153 Roma", "ADDRESS", "Via Garibaldi 4, 00153 Roma"),
            ("at 221 Baker Street, London NW1 6XE", "ADDRESS", "221 Baker Street, London NW1 6XE"),
        ]);
        passes(&["in 1980 the street was empty", "Via this way 4 of us", "5 Great Ways to learn"]);
    }
}
