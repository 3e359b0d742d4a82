//! Postal addresses in the forms of BE NL DE FR ES IT UK US and their neighbours.
//!
//! The patterns find a number beside capitalised words, with what may follow (flat, town, postcode, country), over lines
//! too. What makes it an address is added up from evidence: a kind of street, a flat, a postcode, a country, words such as
//! "lives at" before it.

use std::borrow::Cow;

use tappass_model::Family;

use super::lexicon::{Key, class, entry, is_common};
use crate::rule::{Hit, Rule, mentions};

/// A capitalised word or an initial.
const WORD: &str = r"[A-Z\u{C0}-\u{52F}][A-Za-z\u{C0}-\u{52F}]*(?:['.-][A-Za-z\u{C0}-\u{52F}]+){0,3}\.?";
/// Small words within the name of a street or town.
const SMALL: &str = r"(?:(?:de|du|des|la|le|les|del|della|delle|dei|dell'|di|da|do|dos|das|van|von|den|der|het|ten|ter|el|los|las|l'|d'|of|the|i|y|e|u|v|nad|na|pod|am|an|im|zum|zur|op|aan|sur|sous|en|bei|upon|under) ?){0,3}";
/// Kinds of streets that begin a name, also in lower case.
const KIND: &str = r"(?:rue|avenue|av|ave|boulevard|bd|place|chemin|allée|impasse|quai|route|cours|square|chaussée|ruelle|sentier|ul|trg|calle|carrer|avenida|via|viale|piazza|corso|rua|r|praça|plaza|paseo)\.?";
/// Kinds of streets that end a name, in lower case.
const ENDING: &str = r"(?:utca|út|u\.|rkp\.|tér|gate|gata|terrasse|tee|tänav|tie|katu|str\.?|street|road|avenue|st\.?|rd\.?|straat|laan|weg|plein|platz|allee|straße|strasse|vej|väg)";
/// A part of a building: `Apt. 12`, `bus 3`, `2. Etage`.
const UNIT: &str = r"(?i-u:suite|ste|apt|apartment|appartement|appartamento|unit|flat|studio|floor|fl|room|bus|bte|boîte|piso|puerta|piano|interno|int|scala|escalera|portal|planta|etage|whg|wohnung|bât|bâtiment)\.? ?[#°º]?[0-9A-Za-z]{1,5}";
/// A town, with what stands in brackets behind it.
const TOWN: &str = r"(?: \([A-Z][A-Za-z]{1,12}\))?";
/// Postcodes: UK, then NL, PL, SE, PT, BR, then plain ones with the sign of a country or the four digits of the US.
const POSTCODE: &str = r"(?:[A-Z]{1,2}[0-9][0-9A-Z]? ?[0-9][A-Z]{2}|[0-9]{4} ?[A-Z]{2}|[0-9]{2}-[0-9]{3}|[0-9]{3} [0-9]{2}|[0-9]{4,5}-[0-9]{3}|(?:[A-Z]{1,2}-)?[0-9]{4,5}(?:-[0-9]{4})?)";
const COUNTRY: &str = r"(?i-u:Belgium|België|Belgique|Belgien|The Netherlands|Netherlands|Nederland|Pays-Bas|Niederlande|Luxembourg|Luxemburg|Germany|Deutschland|Duitsland|Allemagne|Austria|Österreich|Oostenrijk|Switzerland|Schweiz|Suisse|Svizzera|France|Frankrijk|Frankreich|Francia|Spain|España|Spanje|Espagne|Italy|Italia|Italië|Italien|Italie|Portugal|United Kingdom|Great Britain|England|Scotland|Wales|Ireland|United States|USA|Canada|Australia|New Zealand|Denmark|Danmark|Norway|Norge|Sweden|Sverige|Finland|Suomi|Iceland|Poland|Polska|Czech Republic|Czechia|Slovakia|Slovenia|Slovenija|Croatia|Hrvatska|Hungary|Greece|Cyprus|Estonia|Latvia|Lithuania|Romania|Bulgaria|Brazil|Brasil|Mexico|Argentina|Uruguay|Chile|South Africa|Tunisia|Morocco|Greenland|Turkey|India|Japan)";
/// What says that an address comes.
const ANNOUNCED: &[&str] = &[
    "address",
    "adres",
    "anschrift",
    "dirección",
    "direccion",
    "indirizzo",
    "endereço",
    "domicil",
    "lives at",
    "lives on",
    "lives in",
    "living at",
    "live at",
    "lived in",
    "lived at",
    "live in",
    "living in",
    "located at",
    "situated at",
    "resides",
    "residing",
    "residence",
    "based at",
    "moved to",
    "sent to",
    "send to",
    "ship to",
    "shipped to",
    "deliver",
    "delivered to",
    "meet me at",
    "meet at",
    "arrived at",
    "is at",
    "pick up at",
    "visit us at",
    "woont",
    "wonende",
    "gevestigd",
    "gelegen",
    "verhuisd naar",
    "wohnt",
    "wohnhaft",
    "habite",
    "demeurant",
    "domicilié",
    "situé",
    "livraison",
    "vive en",
    "reside",
    "domicilio",
    "residente",
    "abita",
    "entrega",
    "spedizione",
    "lieferung",
    "levering",
    "bezorg",
    "corner of",
    "sede",
];

pub(super) fn rules() -> Vec<Rule> {
    let address = |score, regex: String| {
        let mut rule = Rule::new(Family::Pii, "ADDRESS", score, "");
        rule.regex = Cow::Owned(regex);
        rule.after(2)
    };
    let gap = r"(?: ?,? ?(?:\n[>?| ]{0,5}){1,2}(?:, )?| ?, ?| )";
    let number = "[0-9]{1,5}(?:[/-][0-9]{1,4})?(?: ?[A-Za-z]|(?: ?bis| ?ter))?";
    let words = format!("(?:{KIND} {SMALL})?{WORD}(?: {SMALL}(?:{WORD}|{ENDING})){{0,5}}");
    let first = format!(
        r"[0-9]{{1,6}}(?: ?[A-Za-z]|(?: ?bis| ?ter))?,? (?:[0-9]{{1,5}}[A-Za-z]? )?{words}(?:,? {number}\.?)?"
    );
    let last = format!(r"{words},? (?:n[°º.]? ?)?{number}\.?");
    let town = format!("(?:(?:la|le|les|de|den|het|el|los|las) )?{WORD}(?: {SMALL}{WORD}){{0,3}}{TOWN}");
    let units = format!("(?:{gap}{UNIT}){{0,2}}");
    let end = format!("(?:{POSTCODE}(?:{gap}{town})?|{COUNTRY}(?: [0-9]{{4,5}})?)");
    let named = format!("{KIND} {SMALL}{WORD}(?: {SMALL}{WORD}){{0,4}}");
    vec![
        address(0.88, format!("(?:{first}|{last}|{named}|{UNIT}{gap}{town}){units}(?:{gap}{town}){{0,3}}{gap}{end}")).check(|hit| judge(hit, 2)),
        address(0.85, format!("(?:{first}|{last}){units}")).check(|hit| judge(hit, 0)),
        address(0.86, format!("(?i-u:the corner of) (?:{first}|{last}|{words}) and (?:{first}|{last}|{words})"))
            .check(|hit| hit.when(hit.value.bytes().any(|b| b.is_ascii_digit()))),
        address(0.88, format!(r"(?:[0-9]{{1,6}} )?(?i-u:P\.? ?O\.? ?Box|Postbus|Postfach|Postbox|Boîte postale|B\.?P\.?|Apartado(?: de correos)?|Apdo\.?|Casella postale|C\.P\.) [0-9]{{1,6}}(?:{units}(?:{gap}{town}){{0,2}}{gap}{end})?")),
        address(0.9, r"(?i-u:(?:(?:psc|unit|cmr) [0-9]{1,5},? box [0-9]{1,5}|(?:uss|usns|usnv|uscgc) [a-z-]{2,24})(?:, ?|\n| )(?:apo|fpo|dpo),? (?:aa|ae|ap) [0-9]{5})".to_owned()),
    ]
}

/// Kinds of streets in English; those beyond these are words too often.
const ENGLISH: &[&str] = &[
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "boulevard",
    "blvd",
    "drive",
    "dr",
    "lane",
    "ln",
    "court",
    "ct",
    "way",
    "place",
    "pl",
    "square",
    "sq",
    "terrace",
    "close",
    "crescent",
    "parkway",
    "pkwy",
    "highway",
    "hwy",
    "circle",
    "cir",
    "trail",
    "plaza",
    "mews",
    "gardens",
    "grove",
    "row",
    "walk",
    "alley",
    "loop",
    "esplanade",
];
/// Kinds of streets that are ordinary words in English, so that the lexicon leaves them out.
const FOREIGN: &[&str] =
    &["rue", "via", "place", "route", "corso", "piazza", "plaza", "avenue", "boulevard", "ul", "trg", "laan"];
/// Endings of one-word street names.
const ENDINGS: &[&str] = &[
    "straat",
    "laan",
    "steenweg",
    "dreef",
    "plein",
    "singel",
    "gracht",
    "kade",
    "dijk",
    "steeg",
    "lei",
    "baan",
    "pad",
    "hof",
    "ring",
    "strasse",
    "str",
    "weg",
    "platz",
    "allee",
    "gasse",
    "ufer",
    "damm",
    "steig",
    "vagen",
    "gatan",
    "gata",
    "gate",
    "veien",
    "vegen",
    "vej",
    "gade",
    "straede",
    "tie",
    "katu",
    "boulevard",
    "markt",
    "braut",
    "stigur",
];

/// What a candidate has of an address, in points: three make one. `form`: points that its form is worth already.
fn judge(hit: &Hit<'_>, form: u8) -> Option<f32> {
    if hit.before.ends_with(|c: char| "-./_=#$@:".contains(c) && !hit.before.ends_with(": "))
        || hit.after.starts_with(['@', '%', '_', '='])
        || hit.value.ends_with('.')
    {
        return None;
    }
    let (mut points, mut words, mut plain, mut month, mut previous) = (form, 0, 0, false, "");
    let mut street = false;
    let numbered = hit.value.starts_with(|c: char| c.is_ascii_digit())
        || is_unit(hit.value.split(' ').next().unwrap_or_default());
    for token in hit.value.split([' ', ',', '\n', '(', ')', '>']).filter(|t| !t.is_empty()) {
        let word = token.trim_end_matches('.');
        if word.bytes().any(|b| b.is_ascii_digit()) {
            if is_unit(previous) {
                points += 2;
            }
        } else if word.len() > 1 {
            let Some(key) = Key::of(word) else {
                previous = word;
                words += 1;
                continue;
            };
            let lower = key.as_bytes();
            let is = |list: &[&str]| list.iter().any(|w| w.as_bytes() == lower);
            let ends = |list: &[&str]| {
                list.iter().any(|w| lower.len() >= w.len() + 3 && lower.ends_with(w.as_bytes()))
            };
            month |= class(&key).is_some_and(|c| super::lexicon::CLASSES[c] == "month");
            let capital = word.starts_with(char::is_uppercase);
            let english = is(ENGLISH) && (numbered || is(&ENGLISH[..4])) && words > 0;
            street |= english
                || (capital && ends(ENDINGS))
                || is(FOREIGN)
                || (entry(&key).street() && !is_unit(word));
            words += u8::from(capital);
            plain += u8::from(capital && is_common(&key) && !entry(&key).place());
        }
        previous = word;
    }
    if (month && !street) || words == 0 {
        return None;
    }
    points += 3 * u8::from(street);
    if points < 3 && plain * 2 <= words && !is_given(hit.value) && mentions(hit.before, ANNOUNCED) {
        points += 3;
    }
    hit.when(points >= 3)
}

/// Whether the word announces a part of a building.
fn is_unit(word: &str) -> bool {
    const UNITS: &[&str] = &[
        "suite",
        "ste",
        "apt",
        "apartment",
        "appartement",
        "appartamento",
        "flat",
        "studio",
        "unit",
        "floor",
        "bus",
        "bte",
        "piso",
        "puerta",
        "piano",
        "interno",
    ];
    UNITS.iter().any(|u| u.eq_ignore_ascii_case(word))
}

/// Whether the value is a given name and a number: `Anna 5 minutes ago`.
fn is_given(value: &str) -> bool {
    let (first, rest) = value.split_once(' ').unwrap_or((value, ""));
    rest.bytes().all(|b| b.is_ascii_digit()) && Key::of(first).is_some_and(|key| entry(&key).given() > 1)
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
