//! International bank account numbers (ISO 13616): country, its length, mod 97.

use tappass_model::Family;

use crate::rule::{Hit, Rule};

pub(super) fn rules() -> Vec<Rule> {
    let regex = r"[A-Za-z]{2}[0-9]{2}(?:[ .-]?[A-Za-z0-9]{4}){2,7}(?:[ .-]?[A-Za-z0-9]{1,3})?";
    vec![Rule::new(Family::Pii, "IBAN", 0.99, regex).check(iban)]
}

fn iban(hit: &Hit<'_>) -> Option<f32> {
    let mut chars = [0_u8; 34];
    let mut len = 0;
    for byte in hit.value.bytes().filter(u8::is_ascii_alphanumeric) {
        *chars.get_mut(len)? = byte.to_ascii_uppercase();
        len += 1;
    }
    let chars = chars.get(..len)?;
    let expected = length(std::str::from_utf8(chars.get(..2)?).ok()?)?;
    let moved = chars[4..].iter().chain(&chars[..4]);
    let rest = moved.fold(0_u32, |rest, c| match c {
        b'0'..=b'9' => (rest * 10 + u32::from(c - b'0')) % 97,
        _ => (rest * 100 + u32::from(c - b'A') + 10) % 97,
    });
    hit.when(len == expected && rest == 1)
}

/// The length of an IBAN by country (SWIFT IBAN registry).
fn length(country: &str) -> Option<usize> {
    Some(match country {
        "NO" => 15,
        "BE" => 16,
        "DK" | "FI" | "FO" | "GL" | "NL" | "SD" | "FK" => 18,
        "MK" | "SI" => 19,
        "AT" | "BA" | "EE" | "KZ" | "LT" | "LU" | "XK" | "MN" => 20,
        "CH" | "CR" | "HR" | "LI" | "LV" => 21,
        "BG" | "BH" | "DE" | "GB" | "GE" | "IE" | "ME" | "RS" | "VA" => 22,
        "AE" | "GI" | "IL" | "IQ" | "TL" | "SO" | "OM" => 23,
        "AD" | "CZ" | "ES" | "MD" | "PK" | "RO" | "SA" | "SE" | "SK" | "TN" | "VG" => 24,
        "LY" | "PT" | "ST" => 25,
        "IS" | "TR" => 26,
        "BI" | "DJ" | "FR" | "GR" | "IT" | "MC" | "MR" | "SM" => 27,
        "AL" | "AZ" | "BY" | "CY" | "DO" | "GT" | "HU" | "LB" | "NI" | "PL" | "SV" => 28,
        "BR" | "EG" | "PS" | "QA" | "UA" => 29,
        "JO" | "KW" | "MU" | "YE" => 30,
        "MT" | "SC" => 31,
        "LC" => 32,
        "RU" => 33,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, passes};

    #[test]
    fn ibans() {
        finds(&[
            ("op BE68 5390 0754 7034 op naam van ons", "IBAN", "BE68 5390 0754 7034"),
            ("GB82WEST12345698765432", "IBAN", "GB82WEST12345698765432"),
            ("iban: de89370400440532013000.", "IBAN", "de89370400440532013000"),
            ("NO93 8601 1117 947 is it", "IBAN", "NO93 8601 1117 947"),
        ]);
        passes(&["BE68 5390 0754 7035", "GB82WEST1234569876543", "ZZ68539007547034"]);
    }
}
