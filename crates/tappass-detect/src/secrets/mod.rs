//! Credentials: keys with a known shape, private keys, and values that are called a secret.

mod assigned;
mod blocks;
mod providers;

use crate::rule::Rule;

/// All rules of the family.
pub(crate) fn rules() -> Vec<Rule> {
    [providers::rules(), blocks::rules(), assigned::rules()].into_iter().flatten().collect()
}

/// Whether a value only stands for a secret: `<your-key>`, `changeme`, `xxxx`, `${VAR}`, `sk-...`.
pub(super) fn is_placeholder(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "example",
        "placeholder",
        "changeme",
        "change_me",
        "change-me",
        "your_",
        "your-",
        "yourkey",
        "yourpass",
        "yoursecret",
        "yourtoken",
        "dummy",
        "redacted",
        "replace",
        "insert",
        "sample",
        "xxxx",
        "****",
        "....",
        "todo",
        "_here",
        "-here",
        "goes here",
        "foobar",
        "fake",
        "notreal",
        "my_password",
        "my-password",
        "mypassword",
        "undefined",
        "1234567890abcdef",
        "0123456789",
        "abcdefghij",
        "test_key",
        "testkey",
    ];
    let lower = value.to_ascii_lowercase();
    let first = lower.bytes().next();
    let templated = value.starts_with(['<', '$', '%', '{', '[', '(', '*', '#', '@', '&'])
        || value.contains("${")
        || value.contains("{{")
        || value.contains("$(")
        || value.contains('…');
    let uniform = lower.bytes().all(|b| Some(b) == first);
    let lone = [
        "password", "passwd", "secret", "token", "key", "null", "none", "nil", "true", "false", "test",
        "string", "pass", "required", "optional", "value", "enabled", "disabled", "default", "username",
        "user", "str",
    ];
    templated || uniform || lone.contains(&lower.as_str()) || WORDS.iter().any(|word| lower.contains(word))
}

/// The findings of this family in a text, as (kind, text) pairs.
#[cfg(test)]
pub(crate) fn found(text: &str) -> Vec<(String, String)> {
    let scanner = crate::Scanner::new(&[tappass_model::Family::Secret], &[]).unwrap();
    scanner.scan(text).into_iter().map(|m| (m.kind.to_string(), text[m.start..m.end].to_owned())).collect()
}
