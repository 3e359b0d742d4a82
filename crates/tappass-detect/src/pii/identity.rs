//! Names, dates of birth, documents and records: found by the words around them.

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::{Digits, Hit, Rule, is_date};

/// One word of a name: `Anna`, `O'Neil`, `Jean-Luc`, `J.`.
const WORD: &str = r"(?:[A-ZÀ-ÖØ-Þ][a-zß-öø-ž]{1,20}(?:['-][A-ZÀ-ÖØ-Þ]?[a-zß-öø-ž]{1,20})?|[A-ZÀ-ÖØ-Þ]['][A-ZÀ-ÖØ-Þ][a-zß-öø-ž]{1,20}|[A-ZÀ-ÖØ-Þ]\.)";
/// What stands between the words of a name.
const PARTICLE: &str =
    r"(?:(?:van|von|de|der|den|het|ten|ter|du|des|la|le|del|della|di|da|dos|zu|zum|el|al|bin|ibn|'t) )";

const BORN: &[&str] = &[
    "dob",
    "d.o.b",
    "born",
    "birth",
    "birthday",
    "birthdate",
    "geboren",
    "geboorte",
    "geb",
    "geburt",
    "né",
    "née",
    "naissance",
    "nacido",
    "nacida",
    "nacimiento",
    "nato",
    "nata",
    "nascita",
    "urodz",
    "född",
    "født",
];

const PASSPORT: &[&str] =
    &["passport", "paspoort", "reisepass", "passeport", "pasaporte", "passaporto", "reispas"];

const RECORD: &[&str] = &[
    "mrn",
    "medical record",
    "record number",
    "record no",
    "patient id",
    "patient no",
    "patient number",
    "chart number",
    "hospital number",
    "dossier",
    "patiëntnummer",
    "historia",
    "expediente",
    "cartella",
    "fallnummer",
    "patientennummer",
    "aktennummer",
    "n° patient",
];

const PATIENT: &[&str] = &["patient", "patiënt", "paciente", "paziente", "admitted", "discharged"];

pub(super) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Pii, kind, score, regex);
    let months = "(?i-u:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mei|maa|mrt|okt|mai|dez|ene|abr|ago|dic|gen|mag|giu|lug|set|ott)";
    let month = format!("{months}[a-zéûä]{{0,7}}");
    let mut written = rule("DATE_OF_BIRTH", 0.88, "").check(|hit| hit.when(hit.close(BORN)));
    written.regex = Cow::Owned(format!(
        r"(?:[0-9]{{1,2}}(?:st|nd|rd|th|er|\.)? (?:de |of )?{month}\.?,? (?:de |del )?|{month}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? )(?:19|20)[0-9]{{2}}"
    ));
    let mut rules = vec![
        rule("DATE_OF_BIRTH", 0.92, r"[0-9]{1,2}[./ -][0-9]{1,2}[./ -](?:[0-9]{4}|[0-9]{2})|(?:19|20)[0-9]{2}[./-][0-9]{1,2}[./-][0-9]{1,2}").check(born),
        written,
        rule("PASSPORT", 0.9, r"[A-Z]{0,3}[0-9]{6,9}[A-Z]?|[A-Z][0-9A-Z]{8}").check(passport),
        rule("MRN", 0.9, r"MRN[ :#-]{0,3}[0-9]{5,10}|[A-Z]{0,3}-?[0-9]{5,10}").check(record),
        rule("US_DRIVER_LICENSE", 0.85, r"[A-Z]{0,2}[0-9]{5,14}|[A-Z][0-9]{3}-[0-9]{4}-[0-9]{4}")
            .check(|hit| hit.when(hit.close(&["driver license", "driver's license", "drivers license", "driving licence", "driving license", "licence number", "license number", "rijbewijs", "führerschein", "permis de conduire", "permiso de conducir", "patente di guida"]))),
        rule("VAT_ID", 0.93, r"(?:BE ?[01]?[0-9]{3}[. ]?[0-9]{3}[. ]?[0-9]{3}|NL ?[0-9]{9}B[0-9]{2}|DE ?[0-9]{9}|FR ?[0-9A-Z]{2} ?[0-9]{9}|IT ?[0-9]{11}|ES ?[A-Z0-9][0-9]{7}[A-Z0-9]|ATU[0-9]{8}|LU ?[0-9]{8}|GB ?[0-9]{9})")
            .check(|hit| hit.when(hit.near(&["vat", "btw", "tva", "ust", "ust-id", "umsatzsteuer", "iva", "partita"]))),
        rule("VIN", 0.93, r"[A-HJ-NPR-Z0-9]{17}").near(&["vin", "vehicle", "chassis", "voertuig", "fahrgestell", "véhicule", "telaio", "bastidor"]).check(vin),
        rule("ICD10", 0.85, r"[A-TV-Z][0-9][0-9AB](?:\.[0-9A-TV-Z]{1,4})?").near(&["icd", "icd-10", "diagnosis", "diagnose", "diagnostic", "diagnóstico", "diagnosi"]),
    ];
    rules.extend(names());
    rules
}

/// Names after words that announce one. The lead-in is part of the regex, the name its group `v`.
fn names() -> Vec<Rule> {
    let name = |score, regex: String| {
        let mut rule = Rule::new(Family::Pii, "PERSON", score, "").check(person);
        rule.regex = Cow::Owned(regex);
        rule
    };
    let full = format!("{WORD}(?: {PARTICLE}{{0,2}}{WORD}){{0,3}}");
    let two = format!("{WORD}(?: {PARTICLE}{{0,2}}{WORD}){{1,3}}");
    vec![
        name(
            0.8,
            format!(
                r"(?:(?i-u:my name is|my name's|ich hei(?:ß|ss)e|mein name ist|mijn naam is|ik heet|je m'appelle|me llamo|mi nombre es|mi chiamo|il mio nome è|i was named|is called|was called)) (?<v>{full})"
            ),
        ),
        name(
            0.8,
            format!(
                r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Mme|Mlle|Dhr|Mevr|Mw|Hr|Fr|Sig|Dott|Sr|Sra|Srta|Don|Doña)\.? (?<v>{full})"
            ),
        ),
        name(
            0.8,
            format!(
                r"(?:Herrn?|Frau|Monsieur|Madame|Mademoiselle|Meneer|Mevrouw|Signora?|Señora?|Señorita|Doctor|Professor|de heer|mevrouw|meneer) (?<v>{full})"
            ),
        ),
        name(
            0.75,
            format!(
                r"(?:Dear|Hi|Hello|Beste|Geachte|Liebe[r]?|Cher|Chère|Estimad[oa]|Querid[oa]|Gentile|Caro|Cara) (?<v>{two})"
            ),
        ),
        name(
            0.75,
            format!(
                r"(?i-u:patient|patiënt|paciente|paziente|klant|customer|client|kunde|kundin|cliente|employee|werknemer|medewerker|mitarbeiter|tenant|account holder|kontoinhaber|titulaire|titular|op naam van|au nom de|intestato a|a nombre de|in the name of|onboard|refund|beneficiary|begünstigter|bénéficiaire|beneficiario|signed by|sincerely,|regards,|full name|name|naam|nom|nombre|nome)(?::| -)?[ \n]{{1,2}}(?<v>{two})"
            ),
        ),
    ]
}

/// Words that stand where a name could but are none.
fn person(hit: &Hit<'_>) -> Option<f32> {
    const NOT: &[&str] = &[
        "sir",
        "madam",
        "team",
        "all",
        "customer",
        "support",
        "john doe",
        "jane doe",
        "hiring",
        "manager",
        "everyone",
        "friend",
        "friends",
        "colleague",
        "colleagues",
        "the",
        "this",
        "president",
        "minister",
        "speaker",
        "chairman",
        "there",
        "world",
        "user",
        "assistant",
    ];
    let first = hit.value.split(' ').next().unwrap_or_default().to_lowercase();
    hit.when(
        !NOT.contains(&first.as_str())
            && !NOT.contains(&hit.value.to_lowercase().as_str())
            && hit.value.len() > 2,
    )
}

fn born(hit: &Hit<'_>) -> Option<f32> {
    let mut parts = hit.value.split(['.', '/', '-', ' ']).map(Digits::of);
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |d: &Digits| d.number(0, d.as_slice().len());
    let (a, b, c) = (number(&a), number(&b), number(&c));
    let valid = if a > 31 { is_date(a, b, c) } else { is_date(c, b, a) || is_date(c, a, b) };
    hit.when(valid && hit.close(BORN))
}

fn passport(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.value.bytes().filter(u8::is_ascii_digit).count();
    hit.when(digits >= 5 && (6..=10).contains(&hit.value.len()) && hit.close(PASSPORT))
}

fn record(hit: &Hit<'_>) -> Option<f32> {
    if hit.value.starts_with("MRN") {
        return Some(0.95);
    }
    let lettered = hit.value.starts_with(|c: char| c.is_ascii_uppercase()) && hit.value.len() >= 8;
    hit.when(hit.close(RECORD) || lettered && hit.near(PATIENT))
}

/// The check digit of ISO 3779 as North America uses it.
fn vin(hit: &Hit<'_>) -> Option<f32> {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let worth = |byte: u8| -> u32 {
        match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'H' => u32::from(byte - b'A') + 1,
            b'J'..=b'R' => u32::from(byte - b'J') + 1,
            _ => u32::from(byte - b'S') + 2,
        }
    };
    let sum: u32 = hit.value.bytes().zip(WEIGHTS).map(|(b, w)| worth(b) * w).sum();
    let check = b"0123456789X"[(sum % 11) as usize];
    let mixed =
        hit.value.bytes().any(|b| b.is_ascii_digit()) && hit.value.bytes().any(|b| b.is_ascii_uppercase());
    // European makers leave the check digit out: then only the words speak for it.
    mixed.then_some(if hit.value.as_bytes()[8] == check { 0.95 } else { 0.75 })
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, passes};

    #[test]
    fn identity() {
        finds(&[
            ("(DOB 08.10.1948)", "DATE_OF_BIRTH", "08.10.1948"),
            ("geboren op 1962-08-20, te Gent", "DATE_OF_BIRTH", "1962-08-20"),
            ("born on 12 March 1980.", "DATE_OF_BIRTH", "12 March 1980"),
            ("Passport no. 694050570 was checked", "PASSPORT", "694050570"),
            ("chart MRN89441968 open", "MRN", "MRN89441968"),
            ("dossiernummer H94471884.", "MRN", "H94471884"),
            ("My name is Anna van der Berg.", "PERSON", "Anna van der Berg"),
            ("Dear Ms. O'Neil, thanks", "PERSON", "O'Neil"),
            ("je m'appelle Jean-Luc Dupont et", "PERSON", "Jean-Luc Dupont"),
            ("vehicle 1M8GDM9AXKP042788", "VIN", "1M8GDM9AXKP042788"),
        ]);
        passes(&[
            "released on 2024-02-03",
            "Dear Customer Support",
            "order P28157579",
            "passport control",
            "in 1948",
        ]);
    }
}
