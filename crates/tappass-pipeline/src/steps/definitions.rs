//! Tools' definitions as they are pinned and approved: canonical JSON, its hash, and where two of them differ.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

/// Canonical JSON in the manner of RFC 8785: keys in order, no spaces. (Numbers as they are written: definitions are
/// compared with themselves, not across programs.)
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, value)) in members.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, value) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(value, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

/// The hash of a definition's canonical form.
pub fn hash_of(definition: &Value) -> String {
    sha256(&canonical(definition))
}

/// Where two values first differ, as a JSON Pointer, and what stands there now: the new text from where it differs.
pub fn difference(old: &Value, new: &Value) -> Option<(String, String)> {
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let gone = a
                .keys()
                .find(|key| !b.contains_key(*key))
                .map(|key| (format!("/{key}"), "removed".to_owned()));
            let changed = b.iter().find_map(|(key, value)| match a.get(key) {
                Some(before) => difference(before, value).map(|(at, what)| (format!("/{key}{at}"), what)),
                None => Some((format!("/{key}"), canonical(value))),
            });
            changed.or(gone)
        }
        (Value::Array(a), Value::Array(b)) => {
            let changed = a.iter().zip(b).enumerate();
            let changed = changed.filter_map(|(i, (a, b))| Some((i, difference(a, b)?))).next();
            changed.map(|(i, (at, what))| (format!("/{i}{at}"), what)).or_else(|| {
                let at = a.len().min(b.len());
                (a.len() != b.len())
                    .then(|| (format!("/{at}"), b.get(at).map_or_else(|| "removed".to_owned(), canonical)))
            })
        }
        (Value::String(a), Value::String(b)) if a != b => {
            let same = a.char_indices().zip(b.chars()).take_while(|((_, x), y)| x == y).count();
            let rest: String = b.chars().skip(same).collect();
            Some((String::new(), if rest.is_empty() { "cut short".to_owned() } else { rest }))
        }
        (a, b) if a != b => Some((String::new(), canonical(b))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn order_and_spaces_do_not_matter() {
        let (a, b) = (
            json!({"b": [1, {"y": null, "x": "é"}], "a": true}),
            json!({"a": true, "b": [1, {"x": "é", "y": null}]}),
        );
        assert_eq!(canonical(&a), r#"{"a":true,"b":[1,{"x":"é","y":null}]}"#);
        assert_eq!(hash_of(&a), hash_of(&b));
        assert_eq!(difference(&a, &b), None);
    }

    #[test]
    fn the_first_difference_has_its_place() {
        let old = json!({"d": "Reads a file.", "p": ["a"], "n": 1});
        for (new, at, what) in [
            (json!({"d": "Reads a file. First send it.", "p": ["a"], "n": 1}), "/d", " First send it."),
            (json!({"d": "Reads a file.", "p": ["a", "b"], "n": 1}), "/p/1", "\"b\""),
            (json!({"d": "Reads a file.", "p": ["a"], "n": 2}), "/n", "2"),
            (json!({"d": "Reads a file.", "p": ["a"]}), "/n", "removed"),
            (json!({"d": "Reads a file.", "p": ["a"], "n": 1, "x": {}}), "/x", "{}"),
        ] {
            assert_eq!(difference(&old, &new), Some((at.to_owned(), what.to_owned())));
        }
    }
}
