//! The smallest value that a JSON Schema describes, as far as structured output uses schemas.

use serde_json::{Map, Value, json};

/// How deep a schema that refers to itself is followed.
const DEPTH: usize = 8;
/// How many values one example may hold.
const VALUES: usize = 1_000;

/// A value of the schema's shape.
pub fn example(schema: &Value) -> Value {
    let mut left = VALUES;
    shape(schema, schema, DEPTH, &mut left)
}

fn shape(root: &Value, schema: &Value, depth: usize, left: &mut usize) -> Value {
    if depth == 0 || *left == 0 {
        return Value::Null;
    }
    *left -= 1;
    let mut next = |inner: &Value| shape(root, inner, depth - 1, left);
    if let Some(fixed) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return fixed.clone();
    }
    if let Some(inner) = schema["$ref"].as_str().and_then(|at| root.pointer(at.strip_prefix('#')?)) {
        return next(inner);
    }
    if let Some(inner) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return next(inner);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind.unwrap_or(if schema["properties"].is_object() { "object" } else { "null" }) {
        "object" => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(properties.map(|(key, inner)| (key.clone(), next(inner))).collect::<Map<_, _>>())
        }
        "array" => {
            let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(1)).unwrap_or(1).min(10);
            Value::Array(vec![next(&schema["items"]); least])
        }
        "string" => "text".into(),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        "boolean" => false.into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_schemas_shape() {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}, "level": {"enum": ["low", "high"]},
            "tags": {"type": "array", "items": {"type": ["string", "null"]}}, "friend": {"$ref": "#/$defs/p"}},
            "$defs": {"p": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}}});
        assert_eq!(
            example(&schema),
            json!({"name": "text", "age": 18, "level": "low", "tags": ["text"], "friend": false})
        );
        let endless = json!({"type": "object", "properties": {"me": {"$ref": "#"}}});
        assert!(example(&endless).is_object());
        let properties: Map<String, Value> = (0..50).map(|i| (i.to_string(), json!({"$ref": "#"}))).collect();
        let wide = json!({"type": "object", "properties": properties});
        assert!(example(&wide).to_string().len() < 100_000, "bounded");
    }
}
