//! JSON Schema (draft 2020-12), the part of it that describes structured output. What is not understood is refused
//! when the schema is read, never ignored.

use std::collections::HashMap;

use regex::Regex;
use serde_json::Value;

/// How deep a value and its references are followed.
const DEEPEST: usize = 64;

/// Keywords that say nothing about validity.
const NOTES: &[&str] = &[
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "format",
    "$defs",
    "definitions",
    "deprecated",
    "readOnly",
    "writeOnly",
];
const NUMBERS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];

/// A schema that has been checked.
#[derive(Debug, Clone)]
pub struct JsonSchema {
    root: Value,
    patterns: HashMap<String, Regex>,
}

impl JsonSchema {
    /// Checks a schema.
    ///
    /// # Errors
    /// The keyword that is not understood or does not fit.
    pub fn new(root: &Value) -> Result<Self, String> {
        let mut schema = Self { root: root.clone(), patterns: HashMap::new() };
        schema.check(root, root, 0)?;
        Ok(schema)
    }

    /// Whether a value fits.
    ///
    /// # Errors
    /// The first keyword that it fails and where (names of properties as the schema has them; no content).
    pub fn validate(&self, value: &Value) -> Result<(), String> {
        self.fits(&self.root, value, &mut String::new(), 0)
    }

    fn check(&mut self, root: &Value, schema: &Value, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err("nested too deep".into());
        }
        let object = match schema {
            Value::Bool(_) => return Ok(()),
            Value::Object(object) => object,
            _ => return Err("a schema is an object or a boolean".into()),
        };
        for key in ["$defs", "definitions"] {
            for inner in object.get(key).and_then(Value::as_object).into_iter().flat_map(|o| o.values()) {
                self.check(root, inner, depth + 1)?;
            }
        }
        for (key, value) in object {
            let key = key.as_str();
            let bad = || Err(format!("`{key}` has a value of the wrong kind"));
            match key {
                "type" => {
                    let names = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    if names.is_empty()
                        || !names.iter().all(|n| n.as_str().is_some_and(|n| TYPES.contains(&n)))
                    {
                        return bad();
                    }
                }
                "properties" => {
                    let Some(inner) = value.as_object() else { return bad() };
                    for inner in inner.values() {
                        self.check(root, inner, depth + 1)?;
                    }
                }
                "items" | "additionalProperties" | "not" => self.check(root, value, depth + 1)?,
                "anyOf" | "allOf" | "oneOf" => {
                    let Some(inner) = value.as_array().filter(|a| !a.is_empty()) else { return bad() };
                    for inner in inner {
                        self.check(root, inner, depth + 1)?;
                    }
                }
                "required" => {
                    if !value.as_array().is_some_and(|a| a.iter().all(Value::is_string)) {
                        return bad();
                    }
                }
                "enum" => {
                    if !value.is_array() {
                        return bad();
                    }
                }
                "pattern" => {
                    let Some(text) = value.as_str() else { return bad() };
                    let compiled = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
                    self.patterns.insert(text.to_owned(), compiled.map_err(|e| format!("`pattern`: {e}"))?);
                }
                "$ref" => {
                    if value.as_str().and_then(|r| resolve(root, r)).is_none() {
                        return Err("`$ref` must lead to a place in the same schema (`#/$defs/…`)".into());
                    }
                }
                "const" => {}
                _ if NUMBERS.contains(&key) => {
                    if !value.is_number() {
                        return bad();
                    }
                }
                _ if NOTES.contains(&key) => {}
                _ => return Err(format!("`{key}` is a keyword that is not supported")),
            }
        }
        Ok(())
    }

    fn fits(&self, schema: &Value, value: &Value, at: &mut String, depth: usize) -> Result<(), String> {
        let fails = |at: &str, keyword: &str| Err(format!("`{keyword}` at `{at}/`"));
        let object = match schema {
            Value::Bool(false) => return fails(at, "false"),
            Value::Object(object) if depth <= DEEPEST => object,
            Value::Object(_) => return fails(at, "nested too deep"),
            _ => return Ok(()),
        };
        for (key, rule) in object {
            let holds = match key.as_str() {
                "type" => {
                    let names = rule.as_array().map_or(std::slice::from_ref(rule), Vec::as_slice);
                    names.iter().filter_map(Value::as_str).any(|name| is_type(value, name))
                }
                "enum" => rule.as_array().is_some_and(|a| a.iter().any(|v| same(v, value))),
                "const" => same(rule, value),
                "required" => value.as_object().is_none_or(|o| {
                    rule.as_array().into_iter().flatten().filter_map(Value::as_str).all(|k| o.contains_key(k))
                }),
                "pattern" => match (value.as_str(), rule.as_str().and_then(|p| self.patterns.get(p))) {
                    (Some(text), Some(pattern)) => pattern.is_match(text),
                    _ => true,
                },
                "properties" => {
                    for (name, inner) in rule.as_object().into_iter().flatten() {
                        if let Some(member) = value.get(name) {
                            self.inside(inner, member, at, name, depth)?;
                        }
                    }
                    true
                }
                "additionalProperties" => {
                    let known = object.get("properties").and_then(Value::as_object);
                    for (name, member) in value.as_object().into_iter().flatten() {
                        if known.is_none_or(|k| !k.contains_key(name)) {
                            // Its name is the answer's, not the schema's: it is not told.
                            self.inside(rule, member, at, "*", depth)
                                .map_err(|e| format!("`additionalProperties`: {e}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.inside(rule, item, at, &i.to_string(), depth)?;
                    }
                    true
                }
                "anyOf" => self.how_many(rule, value, at, depth) > 0,
                "oneOf" => self.how_many(rule, value, at, depth) == 1,
                "allOf" => {
                    for inner in rule.as_array().into_iter().flatten() {
                        self.fits(inner, value, at, depth + 1)?;
                    }
                    true
                }
                "not" => self.fits(rule, value, at, depth + 1).is_err(),
                "$ref" => {
                    let target = rule.as_str().and_then(|r| resolve(&self.root, r));
                    self.fits(target.unwrap_or(&Value::Bool(false)), value, at, depth + 1)?;
                    true
                }
                other => bounded(other, rule, value),
            };
            if !holds {
                return fails(at, key);
            }
        }
        Ok(())
    }

    fn inside(
        &self,
        schema: &Value,
        value: &Value,
        at: &mut String,
        name: &str,
        depth: usize,
    ) -> Result<(), String> {
        let length = at.len();
        at.push('/');
        at.push_str(name);
        let result = self.fits(schema, value, at, depth + 1);
        at.truncate(length);
        result
    }

    fn how_many(&self, schemas: &Value, value: &Value, at: &mut String, depth: usize) -> usize {
        let schemas = schemas.as_array().into_iter().flatten();
        schemas.filter(|inner| self.fits(inner, value, at, depth + 1).is_ok()).count()
    }
}

const TYPES: &[&str] = &["null", "boolean", "object", "array", "number", "integer", "string"];

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|f| f.fract() == 0.0),
        _ => false,
    }
}

/// Equal as JSON Schema sees it: `1` and `1.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(x), Some(y)) if a.is_f64() || b.is_f64() => x.total_cmp(&y).is_eq(),
        _ => a == b,
    }
}

/// The keywords that compare a number; what they are not about fits.
fn bounded(keyword: &str, rule: &Value, value: &Value) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "lengths of texts and lists are far below 2^52")]
    let size = |n: Option<usize>| n.map(|n| n as f64);
    let measured = match keyword {
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => value.as_f64(),
        "minLength" | "maxLength" => size(value.as_str().map(|s| s.chars().count())),
        "minItems" | "maxItems" => size(value.as_array().map(Vec::len)),
        "minProperties" | "maxProperties" => size(value.as_object().map(serde_json::Map::len)),
        _ => None,
    };
    let (Some(is), Some(bound)) = (measured, rule.as_f64()) else { return true };
    match keyword {
        "exclusiveMinimum" => is > bound,
        "exclusiveMaximum" => is < bound,
        _ if keyword.starts_with("min") => is >= bound,
        _ => is <= bound,
    }
}

fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    root.pointer(reference.strip_prefix('#')?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn says_what_fails_and_where() {
        let schema = JsonSchema::new(&json!({
            "$defs": {"id": {"type": "string", "pattern": "^[a-z]{2,4}$"}},
            "type": "object", "required": ["id", "n"], "additionalProperties": false,
            "properties": {"id": {"$ref": "#/$defs/id"}, "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
                "tags": {"type": "array", "maxItems": 2, "items": {"enum": ["x", "y"]}},
                "either": {"anyOf": [{"type": "null"}, {"const": 1}]}},
        }))
        .expect("a schema");
        assert_eq!(schema.validate(&json!({"id": "ab", "n": 3.0, "tags": ["x"], "either": 1.0})), Ok(()));
        for (value, why) in [
            (json!([]), "`type` at `/`"),
            (json!({"id": "ab"}), "`required` at `/`"),
            (json!({"id": "ABC", "n": 1}), "`pattern` at `/id/`"),
            (json!({"id": "ab", "n": 9}), "`exclusiveMaximum` at `/n/`"),
            (json!({"id": "ab", "n": 1.5}), "`type` at `/n/`"),
            (json!({"id": "ab", "n": 1, "tags": ["x", "z"]}), "`enum` at `/tags/1/`"),
            (json!({"id": "ab", "n": 1, "either": 2}), "`anyOf` at `/either/`"),
            (json!({"id": "ab", "n": 1, "secret": 2}), "`additionalProperties`: `false` at `/*/`"),
        ] {
            assert_eq!(schema.validate(&value), Err(why.to_owned()), "{value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (schema, why) in [
            (json!({"unevaluatedItems": false}), "unevaluatedItems"),
            (json!({"type": "text"}), "type"),
            (json!({"pattern": "("}), "pattern"),
            (json!({"$ref": "https://x/y"}), "$ref"),
            (json!({"properties": {"a": {"minimum": "1"}}}), "minimum"),
            (json!("x"), "object"),
        ] {
            assert!(JsonSchema::new(&schema).is_err_and(|e| e.contains(why)), "{schema}");
        }
    }

    #[test]
    fn a_reference_to_itself_ends() {
        let schema = JsonSchema::new(&json!({"$ref": "#"})).expect("checked by reading, not by following");
        assert!(schema.validate(&json!(1)).is_err());
        let list =
            JsonSchema::new(&json!({"type": "object", "properties": {"next": {"$ref": "#"}}})).expect("ok");
        assert_eq!(list.validate(&json!({"next": {"next": {}}})), Ok(()));
    }
}
