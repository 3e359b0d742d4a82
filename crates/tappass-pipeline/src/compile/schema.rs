//! The JSON Schema of pipelines' texts: presets, packs, and overrides in all three grammars. Made from the registry,
//! so that an editor completes what the compiler takes, and nothing else.

use serde_json::{Map, Value, json};
use tappass_model::OnDetection;

use super::{
    builtin::builtin_names,
    settings::{POLICY, SUBJECTS, find},
};
use crate::{
    registry::STEPS,
    step::{Entry, Meta, Phase},
};

/// The schema (JSON Schema 2020-12).
#[must_use]
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for entry in STEPS {
        step(entry, &mut definitions);
    }
    let by_step = |ids: &mut dyn Iterator<Item = (&str, &str)>| -> Map<String, Value> {
        ids.map(|(name, id)| (name.to_owned(), json!({"$ref": format!("#/$defs/{id}")}))).collect()
    };
    let steps = by_step(&mut STEPS.iter().map(|e| (e.meta.id, e.meta.id)));
    let mut overrides = steps.clone();
    overrides.extend(by_step(&mut SUBJECTS.iter().copied().filter(|(_, id)| find(id).is_ok())));
    overrides.insert("policy".into(), policy());
    overrides.insert("categories".into(), categories());
    let presets: Vec<&str> = builtin_names().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TapPass pipeline",
        "description": "A preset or a pack with overrides; or, with `steps`, a preset as the program carries them.",
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "What the pipeline is called.", "pattern": "^[a-z0-9._-]{1,64}$"},
            "description": {"type": "string", "description": "For readers."},
            "preset": {"enum": presets, "description": "The preset or the pack it is built on."},
            "overrides": {
                "description": "What differs from it: by subject, by step, or by category.",
                "type": ["object", "null"], "properties": overrides, "additionalProperties": false,
            },
            "steps": {
                "description": "Of a preset: the steps that run, each with what differs from its own defaults.",
                "type": "object", "properties": steps, "additionalProperties": false,
            },
        },
        "additionalProperties": false,
        "oneOf": [{"required": ["preset"]}, {"required": ["description", "steps"]}],
        "$defs": definitions,
    })
}

/// A step's parameters, with the common ones; what they refer to goes beside them.
fn step(entry: &Entry, definitions: &mut Map<String, Value>) {
    let mut schema = (entry.schema)().to_value();
    if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|s| s.remove("$defs")) {
        definitions.extend(own);
    }
    let mut properties = common(&entry.meta);
    if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|s| s.remove("properties")) {
        properties.extend(own);
    }
    definitions.insert(
        entry.meta.id.into(),
        json!({
            "description": entry.meta.summary,
            "type": ["object", "null"], "properties": properties, "additionalProperties": false,
        }),
    );
}

fn common(meta: &Meta) -> Map<String, Value> {
    let on_detection = json!({
        "enum": words(),
        "default": meta.on_detection.as_str(), "description": "What a hit does.",
    });
    [
        ("enabled", json!({"type": "boolean", "default": true, "description": "Whether the step runs."})),
        ("on_detection", on_detection),
        (
            "on_error",
            json!({"enum": ["block", "continue"], "default": "block", "description": "What a failure of the step does."}),
        ),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

/// Grammar 1's `policy`.
fn policy() -> Value {
    let known = POLICY.iter().filter_map(|(name, id, parameter)| {
        let schema = (find(id).ok()?.schema)().to_value();
        Some(((*name).to_owned(), schema.pointer(&format!("/properties/{parameter}"))?.clone()))
    });
    let known: Map<String, Value> = known.collect();
    json!({"description": "Cases that a person decides.", "type": ["object", "null"], "properties": known, "additionalProperties": false})
}

/// Grammar 3.
fn categories() -> Value {
    let object = |properties: Map<String, Value>| json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false});
    let phases = [Phase::Before, Phase::Call, Phase::After].map(|phase| {
        let mut of_phase: Map<String, Value> = Map::new();
        for entry in STEPS.iter().filter(|e| e.meta.phase == phase) {
            let category = of_phase.entry(entry.meta.category.as_str()).or_insert_with(|| {
                json!({
                    "type": ["object", "null"], "additionalProperties": false,
                    "properties": {
                        "on_detection": {"enum": words(), "description": "What a hit does, of each of its steps that run."},
                        "steps": object(Map::new()),
                    },
                })
            });
            let own = json!({"$ref": format!("#/$defs/{}", entry.meta.id)});
            // Parameters stand directly below the step or below `options`.
            let mut properties = common(&entry.meta);
            properties.insert("options".into(), own);
            if let Value::Object(parameters) = (entry.schema)().to_value()["properties"].take() {
                properties.extend(parameters);
            }
            category["properties"]["steps"]["properties"][entry.meta.id] = object(properties);
        }
        (phase.as_str().to_owned(), object(of_phase))
    });
    object(phases.into_iter().collect())
}

fn words() -> [&'static str; 5] {
    use OnDetection::{Block, Continue, Log, Notify, Redact};
    [Block, Redact, Notify, Log, Continue].map(OnDetection::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reference of a schema leads somewhere.
    fn check(schema: &Value, root: &Value) {
        match schema {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    let there = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                    assert!(there.is_some(), "{reference} leads nowhere");
                }
                map.values().for_each(|v| check(v, root));
            }
            Value::Array(items) => items.iter().for_each(|v| check(v, root)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_step_is_there() {
        let schema = schema();
        check(&schema, &schema);
        for entry in STEPS {
            let id = entry.meta.id;
            assert!(schema["properties"]["overrides"]["properties"][id].is_object(), "{id}");
            assert_eq!(schema["$defs"][id]["additionalProperties"], false, "{id}");
        }
        assert!(schema["properties"]["overrides"]["properties"]["pii"].is_object());
    }
}
