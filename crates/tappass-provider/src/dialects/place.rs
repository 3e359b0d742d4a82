//! Places in a body: JSON Pointers (RFC 6901), and what they need to name keys that are content themselves.
//!
//! A pointer is written to logs, so a key that the caller chose must not stand in it. Such a member is named by
//! its position: `/metadata/~@0` is the value of the first member of `metadata`, `/metadata/~@0#` its key. RFC
//! 6901 has no `~@`, so the two notations cannot be confused.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::{Map, Value};

use super::walk::payload_start;

/// Appends an array index.
pub fn push_index(pointer: &mut String, index: usize) {
    let _ = write!(pointer, "/{index}");
}

/// Appends a key that is a word of the dialect. Those have neither `/` nor `~`.
pub fn push_word(pointer: &mut String, word: &str) {
    pointer.push('/');
    pointer.push_str(word);
}

/// Appends the value of the member at `position`.
pub fn push_member(pointer: &mut String, position: usize) {
    let _ = write!(pointer, "/~@{position}");
}

/// Appends the key of the member at `position`.
pub fn push_key(pointer: &mut String, position: usize) {
    let _ = write!(pointer, "/~@{position}#");
}

enum Token {
    Name(String),
    Member(usize),
    Key(usize),
}

/// The tokens of a pointer; `None` where it is none.
fn tokens(pointer: &str) -> Option<Vec<Token>> {
    let Some(rest) = pointer.strip_prefix('/') else { return pointer.is_empty().then(Vec::new) };
    rest.split('/')
        .map(|token| match token.strip_prefix("~@") {
            None => Some(Token::Name(token.replace("~1", "/").replace("~0", "~"))),
            Some(at) => match at.strip_suffix('#') {
                Some(at) => at.parse().ok().map(Token::Key),
                None => at.parse().ok().map(Token::Member),
            },
        })
        .collect()
}

fn step<'a>(value: &'a Value, token: &Token) -> Option<&'a Value> {
    match (value, token) {
        (Value::Array(items), Token::Name(index)) => items.get(index.parse::<usize>().ok()?),
        (Value::Object(object), Token::Name(name)) => object.get(name),
        (Value::Object(object), Token::Member(i)) => object.values().nth(*i),
        _ => None,
    }
}

fn step_mut<'a>(value: &'a mut Value, token: &Token) -> Option<&'a mut Value> {
    match (value, token) {
        (Value::Array(items), Token::Name(index)) => items.get_mut(index.parse::<usize>().ok()?),
        (Value::Object(object), Token::Name(name)) => object.get_mut(name),
        (Value::Object(object), Token::Member(i)) => object.values_mut().nth(*i),
        _ => None,
    }
}

/// The text at a segment's pointer: a string, a key, or the JSON of an object (a tool's input). `None` where there is
/// none (a number is a segment, but no text that could hold another).
#[must_use]
pub fn get_text<'a>(body: &'a Value, pointer: &str) -> Option<Cow<'a, str>> {
    let tokens = tokens(pointer)?;
    let mut value = body;
    for token in &tokens {
        if let Token::Key(position) = token {
            return value.as_object()?.keys().nth(*position).map(|key| Cow::from(key.as_str()));
        }
        value = step(value, token)?;
    }
    match value {
        Value::String(text) => Some(Cow::from(text.as_str())),
        Value::Object(_) => Some(Cow::from(value.to_string())),
        _ => None,
    }
}

/// Writes `text` to the place of a segment of `body`: masks a string or a long number, renames a key (in its place;
/// where the new name is taken, a number is added, so that no member is lost). The payload of a `data:` URL stays.
/// Log probabilities of an answer's choice, or of a part, spell out the answer, so they go when its text changes.
/// False where the pointer leads nowhere.
pub fn set_text(body: &mut Value, pointer: &str, text: String) -> bool {
    let Some(tokens) = tokens(pointer) else { return false };
    let mut value = body;
    for token in &tokens {
        if let Token::Key(position) = token {
            return value.as_object_mut().is_some_and(|object| rename(object, *position, text));
        }
        if !matches!(token, Token::Name(name) if name == "logprobs") {
            match value.get_mut("logprobs") {
                Some(spelled @ Value::Object(_)) => *spelled = Value::Null,
                Some(Value::Array(spelled)) => spelled.clear(),
                _ => {}
            }
        }
        match step_mut(value, token) {
            Some(inner) => value = inner,
            None => return false,
        }
    }
    match value {
        Value::String(old) => {
            match payload_start("", old) {
                // The segment was what stands before a medium's payload.
                Some(start) if text.ends_with(',') => old.replace_range(..start, &text),
                _ => *old = text,
            }
            true
        }
        Value::Number(_) => {
            *value = Value::String(text);
            true
        }
        // A tool's input: a segment as JSON, and an object again.
        Value::Object(_) => {
            *value = input_of(&text);
            true
        }
        _ => false,
    }
}

/// A tool's input from its JSON. Where it is none, or no object, what was written stays visible in one.
#[must_use]
pub fn input_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ if text.trim().is_empty() => Value::Object(Map::new()),
        _ => Value::Object(Map::from_iter([("arguments".to_owned(), text.into())])),
    }
}

fn rename(object: &mut Map<String, Value>, position: usize, name: String) -> bool {
    if position >= object.len() {
        return false;
    }
    let members: Vec<(String, Value)> = std::mem::take(object).into_iter().collect();
    let taken = |name: &str| members.iter().enumerate().any(|(i, (key, _))| i != position && key == name);
    let free = if taken(&name) {
        (2..).map(|n| format!("{name} ({n})")).find(|n| !taken(n)).unwrap_or_default()
    } else {
        name
    };
    for (i, (key, value)) in members.into_iter().enumerate() {
        object.insert(if i == position { free.clone() } else { key }, value);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::chat::request_texts;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn masks_strings_numbers_and_keys() {
        let mut body = json!({"messages": [{"role": "user", "content": "call 0123"}],
            "metadata": {"alice@x.io": "1", "bob@x.io": "2", "zed": 41_111_111}});
        assert!(set_text(&mut body, "/messages/0/content", "call [PHONE]".into()));
        assert!(set_text(&mut body, "/metadata/~@0#", "[EMAIL]".into()));
        assert!(set_text(&mut body, "/metadata/~@1#", "[EMAIL]".into()));
        assert!(set_text(&mut body, "/metadata/~@2", "[CARD]".into()));
        assert_eq!(
            body.to_string(),
            r#"{"messages":[{"role":"user","content":"call [PHONE]"}],"metadata":{"[EMAIL]":"1","[EMAIL] (2)":"2","zed":"[CARD]"}}"#
        );
        for nowhere in
            ["/messages/1/content", "/messages", "nope", "/metadata/~@9", "/metadata/~@9#", "/x/~@y"]
        {
            assert!(!set_text(&mut body, nowhere, "x".into()), "{nowhere}");
        }
    }

    #[test]
    fn escaped_names_and_data_urls() {
        let payload = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ".repeat(8);
        let mut body = json!({"a/b": {"c~d": "x"}, "url": format!("data:image/png;base64,{payload}"),
            "text": "data:image/png;base64,jan@acme.eu,"});
        assert!(set_text(&mut body, "/a~1b/c~0d", "y".into()));
        assert_eq!(get_text(&body, "/a~1b/c~0d"), Some("y".into()));
        assert!(set_text(&mut body, "/url", "data:[X];base64,".into()));
        assert_eq!(get_text(&body, "/url"), Some(format!("data:[X];base64,{payload}").into()));
        assert!(set_text(&mut body, "/text", "data:image/png;base64,[EMAIL],".into()));
        assert_eq!(
            body["text"], "data:image/png;base64,[EMAIL],",
            "what only looks like a medium is all text"
        );
        assert!(set_text(&mut body, "/url", "[URL]".into()));
        assert_eq!(get_text(&body, "/url"), Some("[URL]".into()));
    }

    #[test]
    fn masking_an_answer_drops_its_logprobs() {
        let mut body = json!({"choices": [{"message": {"content": "secret"}, "logprobs": {"content": [{"token": "secret"}]}}]});
        assert!(set_text(&mut body, "/choices/0/message/content", "[X]".into()));
        assert!(!body.to_string().contains("secret"));
        let mut body = json!({"output": [{"content": [{"text": "secret", "logprobs": [{"token": "secret"}]}]}], "logprobs": true});
        assert!(set_text(&mut body, "/output/0/content/0/text", "[X]".into()));
        assert_eq!(body["output"][0]["content"][0], json!({"text": "[X]", "logprobs": []}));
        assert_eq!(body["logprobs"], true);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-z/~@#0-9]{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-z/~@#0-9]{0,6}", inner), 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_segment_is_found_and_masked(inner in json_value()) {
            let mut body = json!({"metadata": inner});
            let segments = request_texts(&body);
            for segment in &segments {
                if let Some(text) = get_text(&body, &segment.pointer) {
                    prop_assert_eq!(text.as_ref(), &segment.text);
                }
                prop_assert!(set_text(&mut body, &segment.pointer, "MASK".into()), "{}", segment.pointer);
            }
            let left = request_texts(&body);
            prop_assert_eq!(left.len(), segments.len());
            prop_assert!(left.iter().all(|s| s.text.starts_with("MASK")));
        }
    }
}
