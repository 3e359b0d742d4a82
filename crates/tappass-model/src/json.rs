//! JSON from outside, read strictly: one meaning for every parser that reads it after us.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep arrays and objects may nest. serde_json itself stops at 128.
pub const MAX_DEPTH: usize = 64;

/// Why a body was refused. The texts are for the caller and hold no content but key names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8 (RFC 8259 §8.1 asks for it).
    #[error("the body is not valid UTF-8: the first bad byte is at offset {0}")]
    InvalidUtf8(usize),
    /// Not JSON, or outside the limits; with line and column.
    #[error("the body is not acceptable JSON: {0}")]
    Malformed(String),
}

/// Reads a JSON text. Refused beside malformed text: a key that stands twice in one object (parsers disagree on
/// which counts), nesting beyond [`MAX_DEPTH`], integers that 64 bits cannot hold (they would be forwarded
/// rounded). Keys keep their order, so that writing the value gives what was scanned.
///
/// # Errors
/// [`JsonError`] with what and where.
pub fn parse_strict(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonError::InvalidUtf8(e.valid_up_to()))?;
    let mut de = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut de).map_err(|e| JsonError::Malformed(e.to_string()))?;
    de.end().map_err(|e| JsonError::Malformed(e.to_string()))?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        // 2^64: from here on, an integer literal has become a float on the way in.
        if v.abs() >= 18_446_744_073_709_551_616.0 {
            return Err(E::custom("a number that 64 bits cannot hold exactly"));
        }
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(40).collect();
                return Err(de::Error::custom(format_args!("the key {shown:?} stands twice in one object")));
            }
            let value = map.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> String {
        parse_strict(text.as_bytes()).expect_err("must be refused").to_string()
    }

    #[test]
    fn keeps_order_and_values() {
        let text = r#"{"z":1,"a":[true,null,-7,0.1,1e3],"m":{"ü":"\u00e9\ud83d\ude00"}}"#;
        let value = parse_strict(text.as_bytes()).expect("valid");
        assert_eq!(
            serde_json::to_string(&value).expect("writes"),
            r#"{"z":1,"a":[true,null,-7,0.1,1000.0],"m":{"ü":"é😀"}}"#
        );
    }

    #[test]
    fn says_what_and_where() {
        assert!(refused(r#"{"a":1,"a":2}"#).contains("\"a\" stands twice"));
        assert!(refused(r#"{"x":{"b":1,"b":2}}"#).contains("line 1 column"));
        assert!(refused(&format!("{}1{}", "[".repeat(65), "]".repeat(65))).contains("deeper than 64"));
        assert!(parse_strict(format!("{}1{}", "[".repeat(64), "]".repeat(64)).as_bytes()).is_ok());
        assert!(refused("[".repeat(100_000).as_str()).contains("deeper"));
        assert!(refused("123456789012345678901234567890").contains("64 bits"));
        assert!(refused("1e400").contains("number"));
        assert!(refused("{} {}").contains("trailing"));
        assert!(refused("").contains("EOF"));
        assert_eq!(parse_strict(b"\"a\xff\""), Err(JsonError::InvalidUtf8(2)));
        // A lone surrogate has no UTF-8 form, so it could not be forwarded as it came.
        assert!(refused(r#""\ud800""#).contains("line 1"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_strict(&bytes);
        }

        #[test]
        fn what_is_written_reads_back(s in "\\PC{0,40}", n in any::<i64>(), f in -1e15f64..1e15) {
            let value = serde_json::json!({"s": s, "n": n, "f": f});
            let text = serde_json::to_vec(&value).expect("writes");
            prop_assert_eq!(parse_strict(&text).expect("reads"), value);
        }
    }
}
