//! The texts of an embeddings request, and what an answer has beside its vectors.

use serde_json::Value;
use tappass_model::{Answer, Origin, Segment, Usage};

use crate::dialects::walk::Walk;

/// Collects the texts of a request.
pub fn request(body: &Value) -> Vec<Segment> {
    let mut walk = Walk::default();
    let Some(body) = body.as_object() else { return walk.segments };
    walk.members(
        body,
        |walk, key, value| match key {
            "model" => {}
            "input" => input(walk, value),
            _ => walk.value(key, value, Origin::Parameter),
        },
        Origin::Parameter,
    );
    walk.segments
}

/// A string is a text for the model from end to end, whatever it looks like: there are no media here.
fn input(walk: &mut Walk, value: &Value) {
    match value {
        Value::String(text) => walk.push(Origin::User, text.clone()),
        Value::Array(items) => walk.items(items, input),
        other => walk.value("", other, Origin::User),
    }
}

/// Reads an answer whose vectors have been checked. Its body stays where it is: vectors are large.
pub fn answer(body: &Value) -> Answer {
    let mut walk = Walk::default();
    if let Some(object) = body.as_object() {
        let known = |key: &str| matches!(key, "id" | "object" | "created" | "model" | "usage");
        walk.members(
            object,
            |walk, key, value| match (key, value) {
                ("data", Value::Array(items)) => walk.items(items, vector),
                (key, _) if known(key) => {}
                _ => walk.value(key, value, Origin::Answer),
            },
            Origin::Answer,
        );
    }
    // The provider's own keys are no texts of the answer.
    walk.segments.retain(|segment| !segment.pointer.ends_with('#'));
    let read = body["usage"]["prompt_tokens"].as_u64().or_else(|| body["usage"]["total_tokens"].as_u64());
    Answer {
        segments: walk.segments,
        usage: Usage { prompt_tokens: read.unwrap_or(0), completion_tokens: 0 },
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        ..Answer::default()
    }
}

fn vector(walk: &mut Walk, item: &Value) {
    let Some(item) = item.as_object() else { return walk.value("", item, Origin::Answer) };
    walk.members(
        item,
        |walk, key, value| match key {
            "embedding" | "index" | "object" => {}
            _ => walk.value(key, value, Origin::Answer),
        },
        Origin::Answer,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(body: &Value) -> Vec<(Origin, String, String)> {
        request(body).into_iter().map(|s| (s.origin, s.pointer, s.text)).collect()
    }

    #[test]
    fn every_string_is_a_text_of_the_users() {
        use Origin::{Parameter, User};
        let payload = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ".repeat(8);
        let url = format!("data:image/png;base64,{payload}");
        let body = json!({"model": "m", "input": ["one", url, {"text": "deep"}], "user": "u-1",
            "encoding_format": "base64", "dimensions": 8, "novel": {"alice@acme.eu": "x"}});
        let expected = [
            (User, "/input/0", "one"),
            (User, "/input/1", url.as_str()),
            (User, "/input/2/text", "deep"),
            (Parameter, "/user", "u-1"),
            (Parameter, "/encoding_format", "base64"),
            (Parameter, "/~@5#", "novel"),
            (Parameter, "/~@5/~@0#", "alice@acme.eu"),
            (Parameter, "/~@5/~@0", "x"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(o, p, t)| (*o, (*p).to_owned(), (*t).to_owned())).collect();
        assert_eq!(texts(&body)[..expected.len()], expected);
        assert_eq!(texts(&json!({"input": "one"}))[0].1, "/input");
        let card = texts(&json!({"input": [4_111_111_111_111_111_u64]}));
        assert_eq!(card[0].2, "4111111111111111", "ids are short; this is none");
    }

    #[test]
    fn an_answer_has_no_texts_but_those_that_do_not_belong() {
        let mut body = json!({"object": "list", "model": "m-1", "data": [{"object": "embedding", "index": 0,
            "embedding": [0.123_456_789, 4_111_111_111_111_111_u64]}],
            "usage": {"prompt_tokens": 7, "total_tokens": 7}});
        let read = answer(&body);
        assert_eq!((read.segments.len(), read.model.as_str()), (0, "m-1"));
        assert_eq!((read.usage.prompt_tokens, read.usage.completion_tokens), (7, 0));
        body["data"][0]["note"] = json!("psst");
        body["novel"] = json!("hello");
        let said: Vec<String> = answer(&body).segments.into_iter().map(|s| s.text).collect();
        assert_eq!(said, ["psst", "hello"]);
    }
}
