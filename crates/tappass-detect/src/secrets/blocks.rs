//! Private key blocks and password hashes.

use tappass_model::Family;

use super::is_placeholder;
use crate::rule::{Hit, Rule, entropy};

pub(super) fn rules() -> Vec<Rule> {
    let rule = |kind, score, regex| Rule::new(Family::Secret, kind, score, regex);
    vec![
        // With its end line; or, cut off, header and body as far as they go.
        rule(
            "PRIVATE_KEY",
            0.99,
            r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\\ \r\n:.,-]{40,}-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----",
        ),
        rule(
            "PRIVATE_KEY",
            0.97,
            r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----[\r\n\\n ]{1,6}[A-Za-z0-9+/=\\\r\n:]{30,}",
        )
        .check(|hit| hit.when(entropy(hit.value) > 4.0)),
        rule("PRIVATE_KEY", 0.97, r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{40,}"),
        rule("PASSWORD_HASH", 0.93, r"\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}"),
        rule("PASSWORD_HASH", 0.9, r"\$(?:1|5|6|8|9|y|7|apr1)\$(?:rounds=[0-9]{1,9}\$)?[./A-Za-z0-9$]{1,40}\$[./A-Za-z0-9]{22,90}").open(),
        rule("PASSWORD_HASH", 0.93, r"\$argon2(?:id|i|d)\$v=[0-9]{2}\$m=[0-9]{1,8},t=[0-9]{1,3},p=[0-9]{1,3}\$[A-Za-z0-9+/]{8,90}\$[A-Za-z0-9+/]{16,140}"),
        rule("PASSWORD_HASH", 0.93, r"\$krb5(?:asrep|tgs|pa)\$[0-9]{1,2}\$[A-Za-z0-9$*@:./_-]{32,}"),
        rule("PASSWORD_HASH", 0.9, r"pbkdf2_sha(?:256|1|512)\$[0-9]{3,8}\$[A-Za-z0-9]{4,40}\$[A-Za-z0-9+/]{20,100}={0,2}"),
        rule("CREDENTIALS_IN_URL", 0.93, r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}://(?<u>[A-Za-z0-9._~%!$&'*+,;=\\@-]{0,80}):(?<v>[^\s/?#@:<>\x22'`]{2,120})@[A-Za-z0-9\[][A-Za-z0-9._-]{1,120}").check(url),
    ]
}

fn url(hit: &Hit<'_>) -> Option<f32> {
    let weak = ["password", "pass", "pwd", "pw", "passwd", "user", "username"];
    hit.when(
        !is_placeholder(hit.value) && !weak.contains(&hit.value.to_ascii_lowercase().as_str())
            || hit.value == "secret",
    )
}

#[cfg(test)]
mod tests {
    use crate::secrets::found;

    #[test]
    fn blocks() {
        let body = "MIIEpQIBAAKCAQEAn6/O8li+SX4m98LLYt/PKSzEmQ++ZBD7Loh9P13f4yQ92EF3\nyxR5MsXFu9PRsrYQA7/4UTPHiC4y2sAV\n";
        let (begin, end) = ("-----BEGIN RSA PRIVATE KEY-----\n", "-----END RSA PRIVATE KEY-----");
        let block = format!("{begin}{body}{end}");
        assert_eq!(found(&format!("here: {block} ok")), [("PRIVATE_KEY".into(), block)]);
        let cut = found(&format!("{begin}{body}"));
        assert_eq!(cut.len(), 1);
        assert_eq!(found("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA"), []);
    }

    #[test]
    fn urls() {
        assert_eq!(
            found("postgres://svc:ya2nfByf9q@db.example:5432/app"),
            [("CREDENTIALS_IN_URL".into(), "ya2nfByf9q".into())]
        );
        assert_eq!(found("https://user:<password>@host.example and http://host:8080/x@y"), []);
    }
}
