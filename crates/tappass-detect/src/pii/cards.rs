//! Payment card numbers: issuer ranges (ISO/IEC 7812), length, Luhn.

use tappass_model::Family;

use crate::rule::{Hit, Rule, luhn};

pub(super) fn rules() -> Vec<Rule> {
    let card = |regex| Rule::new(Family::Pii, "CREDIT_CARD", 0.98, regex).check(card).after(2);
    vec![
        card(r"[2-6][0-9]{3}(?:[ .-]?[0-9]{4}){2}[ .-]?[0-9]{1,4}(?:[ .-]?[0-9]{1,3})?"),
        card(r"(?:1800|2131)[0-9]{11}"),
        card(r"3[0-9]{3}[ .-]?[0-9]{6}[ .-]?[0-9]{4,5}"),
    ]
}

fn card(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.digits();
    let all = digits.as_slice();
    let mut separators = hit.value.chars().filter(|c| !c.is_ascii_digit());
    let first = separators.next();
    let even = separators.all(|c| Some(c) == first);
    hit.when(
        even && issuer(digits.number(0, 6), all.len())
            && !digits.uniform()
            && luhn(all)
            && !hit.in_digit_row(),
    )
}

/// Whether an issuer range has cards of this length. `bin`: the first six digits.
const fn issuer(bin: u64, len: usize) -> bool {
    match bin {
        400_000..=499_999 => matches!(len, 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => len == 16,
        340_000..=349_999 | 370_000..=379_999 => len == 15,
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            len >= 14 && len <= 19
        }
        180_000..=180_099 | 213_100..=213_199 => len == 15,
        601_100..=601_199 | 644_000..=659_999 | 620_000..=629_999 | 352_800..=358_999 => {
            len >= 16 && len <= 19
        }
        500_000..=509_999 | 560_000..=589_999 | 630_400..=630_499 | 670_000..=679_999 => {
            len >= 13 && len <= 19
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::pii::{finds, passes};

    #[test]
    fn cards() {
        finds(&[
            ("pay with 4111 1111 1111 1111 now", "CREDIT_CARD", "4111 1111 1111 1111"),
            ("4111-1111-1111-1111", "CREDIT_CARD", "4111-1111-1111-1111"),
            ("amex 378282246310005.", "CREDIT_CARD", "378282246310005"),
            ("(5555555555554444)", "CREDIT_CARD", "5555555555554444"),
            (
                "card ４１１１ １１１１ １１１１ １１１１",
                "CREDIT_CARD",
                "４１１１ １１１１ １１１１ １１１１",
            ),
            ("4111\u{200b}111111111111", "CREDIT_CARD", "4111\u{200b}111111111111"),
        ]);
        passes(&[
            "4111 1111 1111 1112",
            "order 1111111111111111",
            "4444444444444444444444",
            "x4111111111111111",
        ]);
    }
}
