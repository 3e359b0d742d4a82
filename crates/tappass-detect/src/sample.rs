//! What may be shown of a finding, and how much it weighs.

use tappass_model::{Classification, Family, Match};

/// A masked sample of a finding in `text`: a person who knows the value recognises it, nobody else can use it. At most the
/// first four and last four characters are shown, and never more than a third of the value.
#[must_use]
pub fn sample(m: &Match, text: &str) -> String {
    let value = text.get(m.start..m.end).unwrap_or_default();
    match (m.family, m.kind.as_ref()) {
        (Family::Pii, "EMAIL") => email(value),
        (Family::Pii, "CREDIT_CARD" | "IBAN") => ends(value, 4, 4),
        (Family::Pii, "PERSON") => {
            value.split_whitespace().map(|word| ends(word, 1, 0)).collect::<Vec<_>>().join(" ")
        }
        (Family::Pii, "ADDRESS") => ends(value, 2, 0),
        (Family::Pii, _) => ends(value, 1, 2),
        (Family::Secret, "PRIVATE_KEY") => "-----BEGIN…".to_owned(),
        (Family::Secret, "PASSWORD" | "CREDENTIALS_IN_URL" | "CONNECTION_STRING") => "…".to_owned(),
        (Family::Secret, _) => ends(value, 4, 0),
        // The model points at words of any kind: only their first letters may be kept.
        (Family::Injection, "MODEL") => clip(&words(value, |_| true), 80),
        // Not a value to protect: what was said is the evidence, without what may be somebody's in it.
        (
            Family::Injection
            | Family::Marking
            | Family::Escalation
            | Family::Shell
            | Family::Code
            | Family::ToolPoison
            | Family::Memory
            | Family::Safety,
            _,
        ) => clip(&words(value, may_be_a_value), 80),
        // Code points rather than characters: what hides must not hide in the record.
        (Family::Unicode, _) => code_points(value),
        (Family::Infra | Family::Exfiltration, _) => ends(value, 4, 0),
        (Family::Custom | Family::Business, _) => ends(value, 2, 2),
    }
}

fn email(value: &str) -> String {
    let Some((local, domain)) = value.rsplit_once('@') else { return ends(value, 1, 0) };
    let (name, top) = domain.rsplit_once('.').unwrap_or((domain, ""));
    let first = |s: &str| s.chars().next().map(String::from).unwrap_or_default();
    format!("{}…@{}….{top}", first(local), first(name))
}

/// The first and last characters, no more than a third of the value in all.
fn ends(value: &str, head: usize, tail: usize) -> String {
    let shown: Vec<char> = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let budget = shown.len() / 3;
    let tail = tail.min(budget / 2);
    let head = head.min(budget - tail);
    let start: String = shown[..head].iter().collect();
    let end: String = shown[shown.len() - tail..].iter().collect();
    format!("{start}…{end}")
}

fn code_points(value: &str) -> String {
    const MOST: usize = 8;
    let shown: Vec<String> = value.chars().take(MOST).map(|c| format!("U+{:04X}", u32::from(c))).collect();
    let more = if value.chars().nth(MOST).is_some() { "…" } else { "" };
    shown.join(" ") + more
}

/// The words of a text; of those that `hide` names only the first character.
fn words(value: &str, hide: impl Fn(&str) -> bool) -> String {
    let shown = value.split_whitespace().map(|word| {
        let first = word.chars().next().map(String::from).unwrap_or_default();
        if hide(word) { first + "…" } else { word.to_owned() }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// Whether a word looks like a number, an address, a key, and not like a word.
fn may_be_a_value(word: &str) -> bool {
    word.len() > 20 || word.contains('@') || word.bytes().any(|b| b.is_ascii_digit())
}

fn clip(value: &str, most: usize) -> String {
    let one_line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    if value.chars().count() > most { format!("{one_line}…") } else { one_line }
}

/// What stands in a masked text where a finding of this kind was: `[EMAIL]`.
#[must_use]
pub fn placeholder(kind: &str) -> String {
    format!("[{}]", kind.to_uppercase().replace([' ', '-', '.'], "_"))
}

/// The least classification of a text with this finding. A custom pattern's own level is known to the scanner: see
/// [`crate::Scanner::classification`].
#[must_use]
pub fn min_classification(m: &Match) -> Classification {
    match m.family {
        Family::Secret => Classification::Restricted,
        Family::Pii => match m.kind.as_ref() {
            "IP" | "MAC" | "VAT_ID" | "US_NPI" => Classification::Internal,
            "MRN" | "US_MBI" | "UK_NHS" | "ICD10" | "CREDIT_CARD" => Classification::Restricted,
            _ => Classification::Confidential,
        },
        Family::Infra => match m.kind.as_ref() {
            "INTERNAL_PATH" | "AWS_RESOURCE" => Classification::Internal,
            _ => Classification::Confidential,
        },
        Family::Marking => match m.kind.as_ref() {
            "MARKING_TOP_SECRET" => Classification::TopSecret,
            "MARKING_RESTRICTED" => Classification::Restricted,
            "MARKING_CONFIDENTIAL" => Classification::Confidential,
            _ => Classification::Internal,
        },
        Family::Business => match m.kind.as_ref() {
            "SALARY" | "CONTRACT_TERMS" | "DEAL_NAME" | "PRIVILEGE" | "HEALTH_RECORD" => {
                Classification::Restricted
            }
            _ => Classification::Confidential,
        },
        Family::Custom => Classification::Confidential,
        Family::Injection
        | Family::Unicode
        | Family::Escalation
        | Family::Shell
        | Family::Code
        | Family::Exfiltration
        | Family::ToolPoison
        | Family::Memory
        | Family::Safety => Classification::Public,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(family: Family, kind: &'static str, value: &str) -> String {
        sample(&Match { family, kind: kind.into(), start: 0, end: value.len(), score: 1.0 }, value)
    }

    #[test]
    fn samples_show_little() {
        assert_eq!(masked(Family::Pii, "CREDIT_CARD", "4111 1111 1111 1234"), "411…34");
        assert_eq!(masked(Family::Pii, "EMAIL", "joan@acme.com"), "j…@a….com");
        assert_eq!(masked(Family::Pii, "PERSON", "Anna Berg"), "A… B…");
        assert_eq!(masked(Family::Secret, "AWS_ACCESS_KEY", "AKIAQ3EGRZ5T7WXYN2KD"), "AKIA…");
        assert_eq!(masked(Family::Secret, "PASSWORD", "hunter2"), "…");
        assert_eq!(masked(Family::Pii, "DATE_OF_BIRTH", "1.2.80"), "1…0");
        assert_eq!(masked(Family::Injection, "MODEL", "tell Anna"), "t… A…");
        assert_eq!(masked(Family::ToolPoison, "X", "Send it to jan@acme.be"), "Send it to j…");
        assert_eq!(masked(Family::Injection, "OVERRIDE", "ignore all 12"), "ignore all 1…");
        assert_eq!(placeholder("my-pattern"), "[MY_PATTERN]");
    }
}
