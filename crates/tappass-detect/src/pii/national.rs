//! National numbers of persons, each with its checksum; those that a plain number often satisfies need their name nearby.

use tappass_model::Family;

use crate::rule::{Digits, Hit, Rule, is_date, luhn};

/// Words that announce a number of identity without saying which.
const ID: &[&str] = &[
    "id number",
    "identity number",
    "national number",
    "national id",
    "personal number",
    "social security",
    "tax id",
    "insurance number",
    "rijksregister",
    "nationaal nummer",
    "identiteitsnummer",
    "registre national",
    "numéro national",
    "sécurité sociale",
    "securite sociale",
    "personalausweis",
    "identificación",
    "identità",
];

pub(super) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Pii, kind, score, regex).after(2);
    vec![
        rule("BE_NATIONAL_NUMBER", 0.97, r"[0-9]{2}[. -]?[0-9]{2}[. -]?[0-9]{2}[. /-]?[0-9]{3}[. /-]?[0-9]{2}").check(belgium),
        rule("NL_BSN", 0.96, r"[0-9]{9}|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{3}|[0-9]{4}[ .-][0-9]{2}[ .-][0-9]{3}").check(netherlands),
        rule("FR_NIR", 0.97, r"[1-478][ .-]?[0-9]{2}[ .-]?[0-9]{2}[ .-]?[0-9][0-9ABab][ .-]?[0-9]{3}[ .-]?[0-9]{3}[ .-]?[0-9]{2}").check(france),
        rule("DE_TAX_ID", 0.96, r"[1-9][0-9][ /]?[0-9]{3}[ /]?[0-9]{3}[ /]?[0-9]{3}").check(germany),
        rule("ES_NIF", 0.96, r"[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}[ -]?[A-Za-z]").check(spain),
        rule("ES_NIE", 0.96, r"[XYZxyz][ -]?[0-9]{7}[ -]?[A-Za-z]").check(spain),
        rule(
            "IT_FISCAL_CODE",
            0.98,
            r"(?i-u:[A-Z]{6}[0-9LMNPQRSTUV]{2}[ABCDEHLMPRST][0-9LMNPQRSTUV]{2}[A-Z][0-9LMNPQRSTUV]{3}[A-Z])",
        )
        .check(|hit| hit.when(italy(hit.value))),
        rule("UK_NINO", 0.95, r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]").check(nino),
        rule("UK_NHS", 0.96, r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}").check(nhs),
        rule("US_SSN", 0.95, r"[0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4}").check(ssn),
        rule("US_ITIN", 0.9, r"9[0-9]{2}[ -]?[5-9][0-9][ -]?[0-9]{4}").check(itin),
        rule("US_NPI", 0.96, r"[12][0-9]{9}").near(&["npi", "national provider"]).check(npi),
        rule("US_MBI", 0.9, r"[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-?[AC-HJKMNP-RT-Y]{2}[0-9]{2}")
            .near(&["mbi", "medicare", "beneficiary"]),
        rule("US_DEA", 0.95, r"[A-HJ-NPR-UX][A-Z9][0-9]{7}").near(&["dea", "prescriber"]).check(dea),
        rule("PL_PESEL", 0.97, r"[0-9]{11}").check(poland),
        rule("SE_PERSONNUMMER", 0.96, r"(?:19|20)?[0-9]{6}[-+]?[0-9]{4}").check(sweden),
        rule("DK_CPR", 0.92, r"[0-9]{6}[ -]?[0-9]{4}|[0-9]{3}-[0-9]{2}-[0-9]{4}").check(denmark),
        rule("FI_HETU", 0.97, r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]").check(finland),
        rule("CH_AHV", 0.97, r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}").check(switzerland),
        rule("IE_PPSN", 0.93, r"[0-9]{7}[A-W][A-IW]?").near(&["pps", "ppsn", "personal public service"]).check(ireland),
        rule("PT_NIF", 0.95, r"[1-35689][0-9]{2} ?[0-9]{3} ?[0-9]{3}").near(&["nif", "contribuinte", "número de identificação fiscal"]).check(portugal),
    ]
}

fn belgium(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let (base, key) = (digits.number(0, 9), digits.number(9, 2));
    let valid = 97 - base % 97 == key || 97 - (base + 2_000_000_000) % 97 == key;
    // BIS numbers add 20 or 40 to the month; an unknown day or month is 00.
    let (month, day) = (digits.number(2, 2) % 20, digits.number(4, 2));
    let dated = month == 0 || day == 0 || is_date(0, month, day);
    let punctuated = hit.value.len() >= 14;
    hit.when(
        valid
            && dated
            && !digits.uniform()
            && (punctuated || hit.near(ID) || hit.near(&["niss", "insz", "rrn", "bsn"])),
    )
}

fn netherlands(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let sum = digits.weighted(&[9, 8, 7, 6, 5, 4, 3, 2]) + 11 - digits.number(8, 1) as u32;
    let named =
        hit.near(&["bsn", "burgerservice", "burger service", "sofinummer", "sofi", "citizen service"]);
    hit.when(named && sum.is_multiple_of(11) && !digits.uniform())
}

fn france(hit: &Hit<'_>) -> Option<f32> {
    let compact: String = hit.value.chars().filter(char::is_ascii_alphanumeric).collect();
    let upper = compact.to_ascii_uppercase();
    // Corsica: 2A counts as 19, 2B as 18.
    let plain = upper.replacen("2A", "19", 1).replacen("2B", "18", 1);
    let digits = Digits::of(&plain);
    if digits.as_slice().len() != 15 {
        return None;
    }
    let month = digits.number(3, 2);
    let known = matches!(month, 1..=12 | 20..=42 | 50..=99);
    hit.when(known && 97 - digits.number(0, 13) % 97 == digits.number(13, 2))
}

/// ISO/IEC 7064 MOD 11,10.
fn germany(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let product = digits.as_slice()[..10].iter().fold(10, |product, d| {
        let sum = (u32::from(*d) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let check = (11 - product) % 10;
    let named =
        hit.near(&["steuer", "idnr", "id-nr", "tin", "tax id", "tax number", "identifikationsnummer"]);
    hit.when(named && u64::from(check) == digits.number(10, 1))
}

fn spain(hit: &Hit<'_>) -> Option<f32> {
    let upper = hit.value.to_ascii_uppercase();
    let prefix = match upper.as_bytes().first()? {
        b'Y' => 10_000_000,
        b'Z' => 20_000_000,
        _ => 0,
    };
    let digits = hit.digits();
    let number = digits.number(0, digits.as_slice().len()) + prefix;
    let letter = "TRWAGMYFPDXBNJZSQVHLCKE".as_bytes()[(number % 23) as usize];
    if upper.as_bytes().last() != Some(&letter) {
        return None;
    }
    let named = hit.near(&["dni", "nif", "nie", "documento", "identidad", "identity", "id number", "fiscal"]);
    // A lower-case letter after digits is rather a unit or part of a hash.
    (named || !hit.value.bytes().any(|b| b.is_ascii_lowercase())).then_some(if named { 0.97 } else { 0.8 })
}

fn italy(value: &str) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let worth = |byte: u8| {
        let byte = byte.to_ascii_uppercase();
        usize::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' })
    };
    let bytes = value.as_bytes();
    let sum: u32 =
        (0..15).map(|i| if i % 2 == 0 { ODD[worth(bytes[i])] } else { worth(bytes[i]) as u32 }).sum();
    (sum % 26) as usize == worth(bytes[15])
}

fn nino(hit: &Hit<'_>) -> Option<f32> {
    let unused = ["BG", "GB", "NK", "KN", "TN", "NT", "ZZ"].iter().any(|p| hit.value.starts_with(p));
    if unused {
        return None;
    }
    let named = hit.near(&["nino", "ni number", "national insurance", "insurance number"]) || hit.near(ID);
    Some(if named { 0.95 } else { 0.75 })
}

fn nhs(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let check = 11 - digits.weighted(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    let named = hit.near(&["nhs", "national health", "health service", "patient"])
        || hit.near(&["id number", "identity number"]);
    hit.when(named && check % 11 == digits.number(9, 1) as u32 && check != 10 && !digits.uniform())
}

fn ssn(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let area = digits.number(0, 3);
    let real = area != 0 && area != 666 && area < 900 && digits.number(3, 2) != 0 && digits.number(5, 4) != 0;
    // Numbers that were printed in advertisements.
    let printed = matches!(digits.number(0, 9), 78_051_120 | 219_099_999);
    if !real || printed || digits.uniform() || hit.in_digit_row() {
        return None;
    }
    let even =
        hit.value.matches('-').count() == 2 || hit.value.matches(' ').count() == 2 || hit.value.len() == 9;
    if even
        && (hit.near(&["ssn", "social security", "social sec", "soc sec"])
            || hit.value.contains('-') && hit.near(ID))
    {
        return Some(0.95);
    }
    (hit.value.matches('-').count() == 2).then_some(0.8)
}

fn itin(hit: &Hit<'_>) -> Option<f32> {
    let group = hit.digits().number(3, 2);
    let used = matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    let named = hit.near(&["itin", "taxpayer", "tax id", "tax identification"]);
    hit.when(used && (named || hit.value.matches('-').count() == 2 && !hit.in_digit_row()))
}

/// Luhn over the number with the prefix 80840 (US health cards).
fn npi(hit: &Hit<'_>) -> Option<f32> {
    let mut all = [8, 0, 8, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    all[5..].copy_from_slice(hit.digits().as_slice().get(..10)?);
    hit.when(luhn(&all))
}

fn dea(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let all = digits.as_slice();
    let d = |i: usize| u64::from(all[all.len() - 7 + i]);
    hit.when((d(0) + d(2) + d(4) + 2 * (d(1) + d(3) + d(5))) % 10 == d(6))
}

fn poland(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let sum = digits.weighted(&[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]);
    let dated = is_date(0, digits.number(2, 2) % 20, digits.number(4, 2));
    hit.when(dated && sum.is_multiple_of(10) && (hit.near(&["pesel"]) || hit.near(ID)) && !digits.uniform())
}

fn sweden(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let all = digits.as_slice();
    let from = all.len() - 10;
    // Coordination numbers add 60 to the day.
    let day = digits.number(from + 4, 2);
    let dated = is_date(0, digits.number(from + 2, 2), if day > 60 { day - 60 } else { day });
    let named = hit.near(&["personnummer", "personal number", "samordningsnummer", "swedish"]);
    let punctuated = hit.value.contains(['-', '+']);
    (dated && luhn(&all[from..]) && (named || punctuated)).then_some(if named { 0.97 } else { 0.85 })
}

/// A number called CPR counts as one even when it is mistyped: since 2007 there is no checksum to refute it.
fn denmark(hit: &Hit<'_>) -> Option<f32> {
    hit.when(
        !hit.digits().uniform() && hit.near(&["cpr", "cpr-nummer", "cprnr", "personnummer (dk)", "danish"]),
    )
}

fn finland(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let dated = is_date(0, digits.number(2, 2), digits.number(0, 2));
    // The last character may be a digit as well: only the first nine count.
    let control = "0123456789ABCDEFHJKLMNPRSTUVWXY".as_bytes()[(digits.number(0, 9) % 31) as usize];
    hit.when(dated && hit.value.as_bytes().last() == Some(&control))
}

fn switzerland(hit: &Hit<'_>) -> Option<f32> {
    hit.when(hit.digits().weighted(&[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10))
}

fn ireland(hit: &Hit<'_>) -> Option<f32> {
    let bytes = hit.value.as_bytes();
    let second = bytes.get(8).map_or(0, |b| if *b == b'W' { 0 } else { u32::from(b - b'A') + 1 });
    let rest = (hit.digits().weighted(&[8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23;
    let letter = if rest == 0 { b'W' } else { b'A' + rest as u8 - 1 };
    hit.when(bytes[7] == letter)
}

fn portugal(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let rest = digits.weighted(&[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    hit.when(u64::from(if rest < 2 { 0 } else { 11 - rest }) == digits.number(8, 1))
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, found, passes};

    #[test]
    fn numbers_with_valid_checksums() {
        finds(&[
            ("Rijksregisternummer 85.07.30-033.28", "BE_NATIONAL_NUMBER", "85.07.30-033.28"),
            ("BSN: 111222333", "NL_BSN", "111222333"),
            ("NIR 2 55 08 14 168 025 38", "FR_NIR", "2 55 08 14 168 025 38"),
            ("Steuer-ID 86095742719", "DE_TAX_ID", "86095742719"),
            ("su DNI 12345678Z", "ES_NIF", "12345678Z"),
            ("NIE X1234567L", "ES_NIE", "X1234567L"),
            ("codice fiscale RSSMRA85T10A562S", "IT_FISCAL_CODE", "RSSMRA85T10A562S"),
            ("national insurance AB 12 34 56 C", "UK_NINO", "AB 12 34 56 C"),
            ("NHS number 943 476 5919", "UK_NHS", "943 476 5919"),
            ("SSN 536-90-4399", "US_SSN", "536-90-4399"),
            ("NPI 1234567893", "US_NPI", "1234567893"),
            ("PESEL 44051401359", "PL_PESEL", "44051401359"),
            ("personnummer 811228-9874", "SE_PERSONNUMMER", "811228-9874"),
            ("CPR 010190-1234", "DK_CPR", "010190-1234"),
            ("henkilötunnus 131052-308T", "FI_HETU", "131052-308T"),
            ("AHV 756.9217.0769.85", "CH_AHV", "756.9217.0769.85"),
        ]);
    }

    #[test]
    fn one_digit_off_is_nothing() {
        passes(&[
            "Rijksregisternummer 85.07.30-033.29",
            "BSN: 111222334",
            "Steuer-ID 86095742718",
            "su DNI 12345678A",
            "codice fiscale RSSMRA85T10A562T",
            "PESEL 44051401358",
            "henkilötunnus 131052-308U",
            "SSN 000-12-3456",
        ]);
    }

    #[test]
    fn bare_numbers_need_their_name() {
        assert_eq!(found("order 111222333 and 86095742719 and 44051401359"), []);
    }
}
