//! Postal addresses in the forms of BE NL DE FR ES IT UK US and their neighbours.
//!
//! The patterns find a number beside capitalised words, with what may follow (flat, town, postcode, country), over lines
//! too. What makes it an address is added up from evidence: a kind of street, a flat, a postcode, a country, words such as
//! "lives at" before it.

use std::borrow::Cow;

use tappass_model::Family;

use super::lexicon::{CLASSES, Key, class, ends_as_street, entry, is_common, street_class};
use crate::rule::{Hit, Rule};

/// A capitalised word or an initial.
const WORD: &str = r"(?:[A-Z\u{C0}-\u{52F}][A-Za-z\u{C0}-\u{52F}]{0,3}\.|[A-Z\u{C0}-\u{52F}][A-Za-z\u{C0}-\u{52F}]*(?:['.-][A-Za-z\u{C0}-\u{52F}]+){0,3})";
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

/// What a candidate has of an address, in points: three make one. `form`: points that its form is worth already.
fn judge(hit: &Hit<'_>, form: u8) -> Option<f32> {
    let glued = hit.before.ends_with(['-', '.', '/', '_', '=', '#', '$', '@', ':']);
    if glued || hit.after.starts_with(['@', '%', '_', '=']) || hit.value.ends_with('.') {
        return None;
    }
    let mut seen = Seen { numbered: hit.value.starts_with(|c: char| c.is_ascii_digit()), ..Seen::default() };
    let mut after_unit = false;
    for token in hit.value.split([' ', ',', '\n', '(', ')', '>']).filter(|t| !t.is_empty()) {
        let word = token.trim_end_matches('.');
        if word.bytes().any(|b| b.is_ascii_digit()) {
            seen.units += u8::from(after_unit);
            after_unit = false;
        } else {
            after_unit = seen.word(word);
        }
    }
    let named = seen.words > seen.kinds || seen.whole;
    let street =
        named && (seen.street || seen.whole || (seen.doubtful && seen.common + seen.kinds < seen.words));
    if seen.words == 0 || (seen.month && !street && seen.units == 0) {
        return None;
    }
    let mut points = form + 2 * seen.units + 3 * u8::from(street);
    if points < 3 && seen.common * 2 <= seen.words && !is_given(hit.value) && announced(hit.before) {
        points += 3;
    }
    hit.when(points >= 3)
}

/// What the words of a candidate tell.
#[derive(Default)]
struct Seen {
    /// It begins with a number.
    numbered: bool,
    /// Capitalised words; of these, kinds of streets, and ordinary words.
    words: u8,
    kinds: u8,
    common: u8,
    /// Numbers of flats.
    units: u8,
    street: bool,
    doubtful: bool,
    /// A street's name in one word, with its kind.
    whole: bool,
    month: bool,
}

impl Seen {
    /// Takes a word in. True: it announces the number of a flat.
    fn word(&mut self, word: &str) -> bool {
        let capital = word.starts_with(char::is_uppercase);
        let Some(key) = Key::of(word).filter(|_| word.len() > 1) else {
            self.words = self.words.saturating_add(u8::from(capital));
            return false;
        };
        let known = street_class(&key);
        let kind = match known {
            // `12 Main Street`, `Main Street 12`, but not `Google Drive 2`.
            Some("english") => self.words > 0 && (self.numbered || STRONG.contains(&key.as_bytes())),
            Some("foreign") => true,
            Some("unit" | "doubtful") => false,
            _ => entry(&key).street(),
        };
        self.street |= kind;
        self.doubtful |= known == Some("doubtful");
        self.whole |= capital && ends_as_street(&key);
        self.month |= class(&key).is_some_and(|c| CLASSES[c] == "month");
        if capital {
            self.words = self.words.saturating_add(1);
            self.kinds = self.kinds.saturating_add(u8::from(kind || known == Some("doubtful")));
            self.common = self.common.saturating_add(u8::from(is_common(&key) && !entry(&key).place()));
        }
        known == Some("unit")
    }
}

/// Kinds of streets in English that make one before a number too.
const STRONG: [&[u8]; 5] = [b"street", b"avenue", b"road", b"boulevard", b"lane"];

/// Whether the words before a candidate announce an address: `lives at`, `Adresse :`.
fn announced(before: &str) -> bool {
    let mut words = before.rsplit(|c: char| !c.is_alphabetic()).filter(|w| !w.is_empty()).take(7);
    let Some(last) = words.next() else { return false };
    let leads = ["at", "to", "in", "on", "is", "te", "op", "en", "nach", "a"].contains(&last);
    let class = |word: &str| Key::of(word).and_then(|key| street_class(&key));
    class(last) == Some("announces")
        || words.any(|w| class(w) == Some("announces") || (leads && class(w) == Some("leads")))
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
        finds(&[
            ("She lives at 92597 Jahu 80, Liiva", "ADDRESS", "92597 Jahu 80"),
            (
                "Ship it to 12 Elm Road, Apt. 4, Springfield, IL 62704",
                "ADDRESS",
                "12 Elm Road, Apt. 4, Springfield, IL 62704",
            ),
            (
                "20789 Allika 46\n Suite 501\n Riisa\n\n Estonia 62488",
                "ADDRESS",
                "20789 Allika 46\n Suite 501\n Riisa\n\n Estonia 62488",
            ),
            ("de gebouwen aan de Kerkstraat 14 in", "ADDRESS", "Kerkstraat 14"),
            ("at Flat 3, Rose Court, Leeds, LS1 4AP.", "ADDRESS", "Flat 3, Rose Court, Leeds, LS1 4AP"),
            ("Unit 8505 Box 9220\nDPO AE 90744", "ADDRESS", "Unit 8505 Box 9220\nDPO AE 90744"),
            ("write to P.O. Box 2214", "ADDRESS", "P.O. Box 2214"),
            ("Postbus 12, 3500 AA Utrecht", "ADDRESS", "Postbus 12, 3500 AA Utrecht"),
            ("en la calle Mayor 5, 28013 Madrid", "ADDRESS", "calle Mayor 5, 28013 Madrid"),
            (
                "stop at the corner of 5 Mill Road and Park Lane",
                "ADDRESS",
                "the corner of 5 Mill Road and Park Lane",
            ),
        ]);
        passes(&[
            "The State Route 99 and Route 66",
            "Windows Server 2019 on Google Drive 2",
            "12 May 2021 and 3 April",
            "Chapter 5 Section 2",
            "Boeing 747 and Airbus 380",
            "Via Slack 2 messages came",
        ]);
        passes(&["in 1980 the street was empty", "Via this way 4 of us", "5 Great Ways to learn"]);
    }
}
