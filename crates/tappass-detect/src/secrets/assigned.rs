//! Values that are called a secret: `password = …`, `Authorization: Bearer …`, `--token …`, connection strings.

use tappass_model::Family;

use super::is_placeholder;
use crate::rule::{Hit, Rule, entropy};

pub(super) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Secret, kind, score, regex);
    vec![
        // name = value, name: "value", "name": "value", name => value. The name ends in a word for a secret; what stands
        // before that, up to the last `_`, `-` or `.`, is not looked at.
        rule(
            "SECRET_ASSIGNMENT",
            0.8,
            r#"(?i-u:[a-z0-9]{0,16}(?:api[_. -]?key|apikey|secret[_-]?key|access[_-]?key|private[_-]?key|signing[_-]?key|encryption[_-]?key|master[_-]?key|account[_-]?key|shared[_-]?access[_-]?key|client[_-]?secret|app[_-]?secret|secret|auth[_-]?token|access[_-]?token|refresh[_-]?token|bearer[_-]?token|token|credentials?)(?:_?(?:base64|b64|id|prod|dev|live))?)["'\])]{0,2}[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}["'`]?(?<v>[A-Za-z0-9_+/=.~!@#$%^&*-]{8,256})"#,
        )
        .check(key)
        .open(),
        rule(
            "PASSWORD",
            0.8,
            r#"(?i-u:[a-z0-9]{0,16}(?:password|passwd|passphrase|passwort|wachtwoord|kennwort|mot de passe|contraseña|contrasena|pwd|pass))["'\])]{0,2}[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}(?:["'`](?<v>[^"'`\r\n]{4,120})["'`]|(?<w>[^\s"'`;,<>(){}\[\]]{4,120}))"#,
        )
        .check(password)
        .open(),
        // Told in a sentence.
        rule(
            "PASSWORD",
            0.75,
            r#"(?i-u:(?:password|passphrase|wachtwoord|passwort|mot de passe|contraseña)(?: (?:for|to|of|voor|für|pour|para) [a-z0-9_ .-]{1,30})? (?:is|was|ist|est|es|è|to)):? ["'`]?(?<v>[A-Za-z0-9_+/=.~!@#$%^&*?-]{6,80})"#,
        )
        .check(told),
        rule("AUTH_HEADER", 0.9, r"(?i-u:bearer|basic|authorization: token|token token=)[ ]{1,2}(?<v>[A-Za-z0-9_.~+/=-]{16,})").check(header),
        rule("AUTH_HEADER", 0.85, r#"(?i-u:x-(?:[a-z]{1,20}-){0,3}(?:token|key|secret))["']?[ ]?[:=,] ?["']?(?<v>[A-Za-z0-9_.~+/=-]{16,500})"#).check(header),
        rule("SECRET_ARGUMENT", 0.8, r#"(?i-u:--?[a-z-]{0,30}(?:token|secret|password|api-?key|passphrase))[ =]["']?(?<v>[A-Za-z0-9_.~+/=!@#$%^&*-]{8,200})"#).check(header),
        // User and password of a command: `-u admin -p …`, `-u admin:…`.
        rule("SECRET_ARGUMENT", 0.7, r#"-u(?:ser)? [^\s{}<>]{1,60} -p(?:assword)? ?["']?(?<v>[^\s"'{}<>]{4,100})"#).check(connection).open(),
        rule("SECRET_ARGUMENT", 0.8, r#"-u ["']?[A-Za-z0-9_.@-]{1,60}:(?<v>[^\s"'{}<>]{8,200})"#).check(header).open(),
        rule("SECRET_IN_QUERY", 0.85, r"(?i-u:[?&](?:access_token|api_?key|token|key|auth|secret|sig|signature|password|code))=(?<v>[A-Za-z0-9_.~+/%=-]{12,500})").check(header),
        rule("CONNECTION_STRING", 0.93, r#"(?i-u:(?:AccountKey|SharedAccessKey|Password|Pwd))=(?<v>[^;"'\s<>{}]{4,200})(?:;|=)"#).check(connection).open(),
    ]
}

/// A key: long enough and random enough not to be a word or a name.
fn key(hit: &Hit<'_>) -> Option<f32> {
    let value = hit.value.trim_end_matches(['.', ',', ';']);
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let mixed =
        value.bytes().any(|b| b.is_ascii_uppercase()) && value.bytes().any(|b| b.is_ascii_lowercase());
    let random = entropy(value) >= if value.len() >= 20 { 3.2 } else { 2.9 };
    // `os.environ`, `config.get_secret`, `my-secret-name`, `/path/to`: words, not keys.
    let words = digits == 0
        && (value.contains(['.', '/']) || !mixed || value.split(['_', '-']).all(|w| w.len() < 12));
    hit.when(
        value.len() >= 12 && random && !words && digits > 0 && !is_placeholder(value) && !is_uuid_name(hit),
    )
}

/// An identifier that is public by design: `token_id`, `key_id`.
fn is_uuid_name(hit: &Hit<'_>) -> bool {
    let name = name(hit).to_ascii_lowercase();
    name.ends_with("_id") && !name.contains("secret")
}

fn password(hit: &Hit<'_>) -> Option<f32> {
    // `pass` alone is a verb.
    if name(hit).eq_ignore_ascii_case("pass") && !hit.before.ends_with(['_', '-', '.']) {
        return None;
    }
    let value = hit.value.trim_end_matches(['.', ',', ';']);
    let code = value.contains("()")
        || value.starts_with("os.")
        || value.starts_with("process.")
        || value.contains("getenv")
        || value.contains("::");
    let kinds = [
        u8::is_ascii_lowercase as fn(&u8) -> bool,
        u8::is_ascii_uppercase,
        u8::is_ascii_digit,
        u8::is_ascii_punctuation,
    ];
    let variety = kinds.iter().filter(|k| value.bytes().any(|b| k(&b))).count();
    let score = if variety >= 3 || value.len() >= 12 && variety >= 2 { 0.85 } else { 0.6 };
    (value.len() >= 4
        && !value.contains("  ")
        && !code
        && !is_placeholder(value)
        && (variety >= 2 || strict_name(hit)))
    .then_some(score)
}

/// The name, without what stands before its word for a secret.
fn name<'t>(hit: &Hit<'t>) -> &'t str {
    hit.whole.split(['=', ':']).next().unwrap_or_default().trim_end_matches([' ', '"', '\''])
}

/// The name is written as configuration is (`DB_PASSWORD=`), so even a weak value is one.
fn strict_name(hit: &Hit<'_>) -> bool {
    hit.before.ends_with('_') && name(hit).bytes().all(|b| !b.is_ascii_lowercase())
}

fn told(hit: &Hit<'_>) -> Option<f32> {
    let value = hit.value.trim_end_matches(['.', '!', '?']);
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let other =
        value.bytes().any(|b| b.is_ascii_punctuation() && b != b'-' && b != b'.' || b.is_ascii_uppercase());
    hit.when(digit && other && !is_placeholder(value))
}

fn header(hit: &Hit<'_>) -> Option<f32> {
    let digits = hit.value.bytes().any(|b| b.is_ascii_digit());
    hit.when(digits && entropy(hit.value) >= 3.0 && !is_placeholder(hit.value))
}

fn connection(hit: &Hit<'_>) -> Option<f32> {
    hit.when(!is_placeholder(hit.value))
}

#[cfg(test)]
mod tests {
    use crate::secrets::found;

    #[test]
    fn assigned() {
        for (text, value) in [
            ("api_key = \"mGKA10Wreoi576RHcXzY65HxsfKwDFTK\"", "mGKA10Wreoi576RHcXzY65HxsfKwDFTK"),
            (
                "Authorization: Bearer 38bb7b318cc6898c80317decb34525844bc9db55",
                "38bb7b318cc6898c80317decb34525844bc9db55",
            ),
            ("Server=tcp:sql.example;User Id=sa;Password=Xy!87zT0p;", "Xy!87zT0p"),
            ("the password is Tr0ub4dor&3", "Tr0ub4dor&3"),
        ] {
            let all = found(text);
            assert!(all.len() == 1 && all[0].1.contains(value), "{text}: {all:?}");
        }
    }

    #[test]
    fn not_assigned() {
        for text in [
            "password = os.environ['DB_PASSWORD']",
            "api_key = \"<your-api-key>\"",
            "token: string",
            "password: changeme",
            "secret = get_secret(name)",
            "What is the password policy?",
            "export TOKEN=${GITHUB_TOKEN}",
            "the token is invalid",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
