//! What an embeddings request must have before anything looks at its content, and what an answer must be.

use serde_json::Value;
use tappass_model::Unread;

use crate::dialects::check::{RequestError, model, optional, wrong};

/// Checks a request: its model, and the first part of it whose text cannot be known.
pub fn request(body: &Value) -> Result<(String, Option<Unread>), RequestError> {
    let Some(body) = body.as_object() else {
        return wrong("", "a JSON object with `model` and `input`");
    };
    let model = model(body)?;
    let unread = match body.get("input") {
        Some(Value::String(_)) => None,
        Some(Value::Array(items)) if items.is_empty() => {
            return wrong("input", "a string or a list of at least one; it is empty");
        }
        Some(Value::Array(items)) => inputs(items)?,
        Some(_) => return wrong("input", "a string or a list of strings"),
        None => return wrong("input", "given: a string or a list of strings"),
    };
    let never = |v: &Value| *v == Value::Bool(false);
    optional(body, "", "stream", never, "left out: vectors do not stream")?;
    optional(body, "", "encoding_format", Value::is_string, "a string: float or base64")?;
    optional(body, "", "dimensions", |v| v.as_u64().is_some_and(|n| n > 0), "a whole number above 0")?;
    optional(body, "", "user", Value::is_string, "a string")?;
    Ok((model, unread))
}

fn inputs(items: &[Value]) -> Result<Option<Unread>, RequestError> {
    let mut unread = None;
    for (i, item) in items.iter().enumerate() {
        let found = match item {
            Value::String(_) => continue,
            Value::Number(_) => tokens("input".to_owned()),
            Value::Array(ids) if !ids.is_empty() && ids.iter().all(Value::is_number) => {
                tokens(format!("input[{i}]"))
            }
            Value::Array(_) | Value::Object(_) => Unread::kind(format!("input[{i}]")),
            Value::Null | Value::Bool(_) => return wrong(format!("input[{i}]"), "a string"),
        };
        unread.get_or_insert(found);
    }
    Ok(unread)
}

/// Which text the ids stand for only the model's tokenizer knows.
fn tokens(place: String) -> Unread {
    Unread {
        place,
        why: "holds token ids instead of a text, so nothing in it can be scanned",
        remedy: "the text itself, not its token ids",
    }
}

/// Whether a body is an answer of this dialect: a list of vectors, as numbers or in base64, and so without words.
pub fn is_answer(body: &Value) -> bool {
    let vector = |item: &Value| match &item["embedding"] {
        Value::Array(numbers) => numbers.iter().all(Value::is_number),
        Value::String(text) => {
            let text = text.trim_end_matches('=');
            text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        }
        _ => false,
    };
    body["data"].as_array().is_some_and(|items| items.iter().all(vector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(input: &Value) -> Value {
        json!({"model": "m", "input": input})
    }

    #[test]
    fn says_what_and_where() {
        for (body, param) in [
            (json!([]), ""),
            (json!({"input": "x"}), "model"),
            (json!({"model": "m"}), "input"),
            (with(&json!(null)), "input"),
            (with(&json!([])), "input"),
            (with(&json!(3)), "input"),
            (with(&json!({"text": "x"})), "input"),
            (with(&json!(["x", null])), "input[1]"),
            (json!({"model": "m", "input": "x", "stream": true}), "stream"),
            (json!({"model": "m", "input": "x", "dimensions": 0}), "dimensions"),
            (json!({"model": "m", "input": "x", "encoding_format": 1}), "encoding_format"),
            (json!({"model": "m", "input": "x", "user": 1}), "user"),
        ] {
            assert_eq!(request(&body).expect_err(param).param, param, "{body}");
        }
    }

    #[test]
    fn what_it_cannot_read_is_named() {
        let unread =
            |input: Value| request(&with(&input)).expect("goes on in observe").1.map(|u| (u.place, u.why));
        assert_eq!(unread(json!("x")), None);
        assert_eq!(unread(json!(["x", ""])), None);
        for (input, at, why) in [
            (json!([1, 2]), "input", "token ids"),
            (json!(["x", 2]), "input", "token ids"),
            (json!(["x", [1, 2]]), "input[1]", "token ids"),
            (json!([["x"]]), "input[0]", "kind"),
            (json!([[]]), "input[0]", "kind"),
            (json!([{"image": "x"}]), "input[0]", "kind"),
        ] {
            let (place, said) = unread(input.clone()).expect("not read");
            assert!(place == at && said.contains(why), "{input}: {place} {said}");
        }
    }

    #[test]
    fn an_answer_is_vectors_and_nothing_else() {
        for good in [json!([]), json!([{"embedding": [0.5, -1]}, {"embedding": "AACAPw=="}])] {
            assert!(is_answer(&json!({"data": good})), "{good}");
        }
        for bad in [json!({}), json!([{}]), json!([{"embedding": ["x"]}]), json!([{"embedding": "oh, well"}])]
        {
            assert!(!is_answer(&json!({"data": bad})), "{bad}");
        }
    }
}
