//! JSON-RPC 2.0 as the Model Context Protocol uses it: read strictly, and written again from what was read, so that
//! nothing passes that nobody has looked at.

use serde_json::{Map, Value, json};
use tappass_model::json;

/// The most messages of a batch.
const MOST: usize = 50;
/// The longest name of a method, in bytes.
const LONGEST_METHOD: usize = 200;
/// The longest id, in bytes.
const LONGEST_ID: usize = 300;

/// JSON that cannot be read.
pub const PARSE_ERROR: i64 = -32700;
/// JSON that is no message.
pub const INVALID_REQUEST: i64 = -32600;
/// A method that nobody knows.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// Parameters that a method cannot have.
pub const INVALID_PARAMS: i64 = -32602;
/// The gateway has refused it: `data` says why.
pub const REFUSED: i64 = -32050;
/// The server behind the gateway gave no answer: `data` says why.
pub const UPSTREAM: i64 = -32051;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// A string or a whole number.
        id: Value,
        /// What is wanted.
        method: String,
        /// An object, or null where there is none.
        params: Value,
    },
    /// Wants none.
    Notification {
        /// What has happened.
        method: String,
        /// An object, or null where there is none.
        params: Value,
    },
    /// An answer.
    Answer {
        /// The request's; null where it could not be read.
        id: Value,
        /// What was wanted, or the error object.
        outcome: Result<Value, Value>,
    },
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Whether the messages stand in a list.
    pub batch: bool,
    /// At least one.
    pub messages: Vec<Message>,
}

/// Why a body holds no messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Malformed {
    /// JSON-RPC's code.
    pub code: i64,
    /// A sentence.
    pub what: String,
}

fn malformed<T>(what: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed { code: INVALID_REQUEST, what: what.into() })
}

impl Body {
    /// Reads one message, or a list of them.
    ///
    /// # Errors
    /// [`Malformed`]: what is wrong, and where in a list.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let value = json::parse_strict(bytes).map_err(|e| Malformed {
            code: PARSE_ERROR,
            what: format!("not JSON that can be read one way only: {e}"),
        })?;
        match value {
            Value::Array(items) if items.is_empty() => malformed("an empty list holds no message"),
            Value::Array(items) if items.len() > MOST => {
                malformed(format!("more than {MOST} messages at once"))
            }
            Value::Array(items) => {
                let read = |(i, item)| {
                    Message::read(item).map_err(|e| Malformed { what: format!("[{i}]: {e}"), ..e })
                };
                let messages = items.into_iter().enumerate().map(read).collect::<Result<_, _>>()?;
                Ok(Self { batch: true, messages })
            }
            one => Ok(Self { batch: false, messages: vec![Message::read(one)?] }),
        }
    }

    /// The messages as they are written: a list where it was one.
    #[must_use]
    pub fn write(batch: bool, messages: Vec<Message>) -> Value {
        let mut values: Vec<Value> = messages.into_iter().map(Message::write).collect();
        if batch { Value::Array(values) } else { values.pop().unwrap_or_default() }
    }
}

impl Message {
    fn read(value: Value) -> Result<Self, Malformed> {
        let Value::Object(mut object) = value else { return malformed("a message is an object") };
        if object.get("jsonrpc") != Some(&Value::from("2.0")) {
            return malformed("`jsonrpc` must be \"2.0\"");
        }
        let id = object.shift_remove("id");
        if let Some(method) = object.shift_remove("method") {
            let Value::String(method) = method else { return malformed("`method` must be a string") };
            if method.is_empty() || method.len() > LONGEST_METHOD || method.chars().any(char::is_control) {
                return malformed(format!(
                    "`method` must be 1 to {LONGEST_METHOD} bytes without control characters"
                ));
            }
            let params = match object.shift_remove("params") {
                None | Some(Value::Null) => Value::Null,
                Some(params @ Value::Object(_)) => params,
                Some(_) => return malformed("`params` must be an object"),
            };
            return match id {
                None => Ok(Self::Notification { method, params }),
                Some(id) if is_id(&id) => Ok(Self::Request { id, method, params }),
                Some(_) => malformed("`id` must be a whole number or a string"),
            };
        }
        let id = id.unwrap_or_default();
        match (object.shift_remove("result"), object.shift_remove("error")) {
            (Some(result), None) if is_id(&id) => Ok(Self::Answer { id, outcome: Ok(result) }),
            (None, Some(error @ Value::Object(_))) if is_id(&id) || id.is_null() => {
                Ok(Self::Answer { id, outcome: Err(error) })
            }
            (Some(_), None) => malformed("`id` of an answer must be a whole number or a string"),
            (None, Some(_)) => malformed("`error` must be an object, and `id` a whole number or a string"),
            _ => malformed("a message has a `method`, or either `result` or `error`"),
        }
    }

    /// As it goes out.
    #[must_use]
    pub fn write(self) -> Value {
        let mut object = Map::from_iter([("jsonrpc".to_owned(), Value::from("2.0"))]);
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        match self {
            Self::Request { id, method, params } => {
                put("id", id);
                put("method", method.into());
                if !params.is_null() {
                    put("params", params);
                }
            }
            Self::Notification { method, params } => {
                put("method", method.into());
                if !params.is_null() {
                    put("params", params);
                }
            }
            Self::Answer { id, outcome } => {
                put("id", id);
                match outcome {
                    Ok(result) => put("result", result),
                    Err(error) => put("error", error),
                };
            }
        }
        Value::Object(object)
    }

    /// An answer that is an error.
    #[must_use]
    pub fn error(id: Value, code: i64, message: &str, data: Value) -> Self {
        let mut error = json!({"code": code, "message": message});
        if !data.is_null() {
            error["data"] = data;
        }
        Self::Answer { id, outcome: Err(error) }
    }
}

fn is_id(id: &Value) -> bool {
    match id {
        Value::String(text) => text.len() <= LONGEST_ID,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Body, Malformed> {
        Body::read(text.as_bytes())
    }

    #[test]
    fn each_kind_is_read_and_written_again() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"t","arguments":{"n":1.0}}}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"x"}]"#,
        ] {
            let body = read(text).expect(text);
            assert_eq!(Body::write(body.batch, body.messages).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_message_is_said() {
        for (text, code, said) in [
            ("", PARSE_ERROR, "not JSON"),
            ("{", PARSE_ERROR, "not JSON"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#, PARSE_ERROR, "one way only"),
            ("7", INVALID_REQUEST, "an object"),
            ("[]", INVALID_REQUEST, "empty"),
            ("[7]", INVALID_REQUEST, "[0]"),
            (r#"{"id":1,"method":"x"}"#, INVALID_REQUEST, "jsonrpc"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, INVALID_REQUEST, "`method`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a\nb"}"#, INVALID_REQUEST, "`method`"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[1]}"#, INVALID_REQUEST, "`params`"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, INVALID_REQUEST, "`id`"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, INVALID_REQUEST, "`id`"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, INVALID_REQUEST, "either"),
            (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST, "either"),
            (r#"{"jsonrpc":"2.0","id":1,"error":"x"}"#, INVALID_REQUEST, "`error`"),
            (r#"{"jsonrpc":"2.0","result":{}}"#, INVALID_REQUEST, "`id`"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.code == code && error.what.contains(said), "{text}: {error:?}");
        }
        let many = format!("[{}]", vec![r#"{"jsonrpc":"2.0","method":"x"}"#; MOST + 1].join(","));
        assert!(read(&many).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Body::read(&bytes);
        }

        #[test]
        fn hostile_messages_never_panic_and_what_is_read_reads_again(
            id in prop::sample::select(vec!["null", "1", "-7", "1.5", "\"a\"", "[]", "{}", "99999999999999999999999"]),
            method in prop::sample::select(vec![r#""tools/call""#, r#""""#, "7", r#""x\u0000""#, r#""\ud800""#]),
            rest in prop::sample::select(vec![
                r#""params":{}"#, r#""params":[]"#, r#""result":1"#, r#""error":{}"#, r#""error":7"#, r#""x":1"#,
            ]),
            list in any::<bool>(),
        ) {
            let one = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":{method},{rest}}}");
            let two = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{rest}}}");
            for text in [&one, &two] {
                let text = if list { format!("[{text},{text}]") } else { text.clone() };
                if let Ok(body) = read(&text) {
                    let again = Body::write(body.batch, body.messages.clone()).to_string();
                    prop_assert_eq!(read(&again).expect("what was written reads"), body);
                }
            }
        }
    }
}
