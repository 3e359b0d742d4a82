//! What requests of every dialect are held to, and how it is said.

use serde_json::{Map, Value};

/// Longest model name, in bytes.
const MAX_MODEL: usize = 256;

/// Why a request was refused (422). The texts hold no content, only places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Where: `messages[2].content[0].type`.
    pub param: String,
    /// What is wrong there and what would be right.
    pub message: String,
}

/// A refusal: `param` must be what is `expected`.
pub fn wrong<T>(param: impl Into<String>, expected: &str) -> Result<T, RequestError> {
    let param = param.into();
    let message = if param.is_empty() {
        format!("The body must be {expected}.")
    } else {
        format!("`{param}` must be {expected}.")
    };
    Err(RequestError { param, message })
}

/// A JSON object.
pub type Object = Map<String, Value>;

/// The messages, of which there is at least one.
pub fn messages(body: &Object) -> Result<&[Value], RequestError> {
    match body.get("messages") {
        Some(Value::Array(list)) if !list.is_empty() => Ok(list),
        Some(Value::Array(_)) => wrong("messages", "a list with at least one message; it is empty"),
        Some(_) => wrong("messages", "a list of messages"),
        None => wrong("messages", "given: a list with at least one message"),
    }
}

/// The model's name goes to the provider unscanned, so it is held to the letters that model names have.
pub fn model(body: &Object) -> Result<String, RequestError> {
    match body.get("model") {
        Some(Value::String(name)) if name.trim().is_empty() => {
            wrong("model", "the name of a model, such as \"gpt-4o\"; it is empty")
        }
        Some(Value::String(name))
            if name.len() <= MAX_MODEL
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@+".contains(&b)) =>
        {
            Ok(name.clone())
        }
        Some(Value::String(_)) => wrong("model", "at most 256 letters, digits and the signs - _ . / : @ +"),
        Some(_) => wrong("model", "a string, such as \"gpt-4o\""),
        None => wrong("model", "given: the name of a model, such as \"gpt-4o\""),
    }
}

/// A field that must be a string.
pub fn required_text(object: &Object, at: &str, key: &str) -> Result<(), RequestError> {
    match object.get(key) {
        Some(Value::String(_)) => Ok(()),
        _ => wrong(format!("{at}.{key}"), "a string"),
    }
}

/// A field that may be absent or null.
pub fn optional(
    object: &Object,
    at: &str,
    key: &str,
    good: impl Fn(&Value) -> bool,
    expected: &str,
) -> Result<(), RequestError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if good(value) => Ok(()),
        Some(_) if at.is_empty() => wrong(key, expected),
        Some(_) => wrong(format!("{at}.{key}"), expected),
    }
}
