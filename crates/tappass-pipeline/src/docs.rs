//! Reference pages of the steps, made from the registry: `docs/reference/steps/`. Nothing about a step is written
//! twice; `tests/it/generated.rs` fails when the pages are stale.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::{
    compile::{Pipeline, compile_preset, preset_names, schema},
    registry::STEPS,
    step::Entry,
};

/// The headings that every step's documentation has, in this order.
pub const HEADINGS: [&str; 4] = ["What it does", "Why", "On a hit", "Limits"];

/// The generated files: path below `docs/reference/`, content.
#[must_use]
pub fn pages() -> Vec<(String, String)> {
    let presets: Vec<_> = preset_names().filter_map(|name| compile_preset(name).ok()).collect();
    let mut pages = vec![("steps/README.md".to_owned(), index(&presets))];
    let pipeline = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    pages.push(("pipeline.schema.json".to_owned(), pipeline + "\n"));
    for entry in STEPS {
        pages.push((format!("steps/{}.md", entry.meta.id), page(entry)));
        let schema = (entry.schema)().to_value();
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        pages.push((format!("steps/{}.schema.json", entry.meta.id), text + "\n"));
    }
    pages
}

/// A step's doc comment. (schemars takes a heading in the first line for the schema's title.)
#[must_use]
pub fn documentation(entry: &Entry) -> String {
    let schema = (entry.schema)().to_value();
    let text = |key: &str| schema[key].as_str().unwrap_or_default().to_owned();
    format!("# {}\n{}", text("title"), text("description"))
}

/// A step's doc comment by its headings: each heading with its text, lines joined to paragraphs.
#[must_use]
pub fn sections(entry: &Entry) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in documentation(entry).lines() {
        match (line.strip_prefix("# "), sections.last_mut()) {
            (Some(heading), _) => sections.push((heading.to_owned(), vec![String::new()])),
            (None, Some((_, paragraphs))) if line.trim().is_empty() => paragraphs.push(String::new()),
            (None, Some((_, paragraphs))) => {
                if let Some(last) = paragraphs.last_mut() {
                    last.push_str(if last.is_empty() { "" } else { " " });
                    last.push_str(line.trim());
                }
            }
            (None, None) => {}
        }
    }
    for (_, paragraphs) in &mut sections {
        paragraphs.retain(|text| !text.is_empty());
    }
    sections
}

/// What a step's own parameters mean: name, meaning, in the order of the schema.
#[must_use]
pub fn meanings(entry: &Entry) -> Vec<(String, String)> {
    let schema = (entry.schema)().to_value();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let meaning = |p: &Value| p["description"].as_str().unwrap_or_default().replace('\n', " ");
    properties.iter().map(|(name, property)| (name.clone(), meaning(property))).collect()
}

fn index(presets: &[std::sync::Arc<Pipeline>]) -> String {
    let mut out = String::from("# Steps\n\nGenerated from the registry; do not edit.\n\n");
    let names: Vec<&str> = presets.iter().map(|p| p.name.as_str()).collect();
    let _ = writeln!(out, "| position | step | phase | category | {} | what it decides |", names.join(" | "));
    let _ = writeln!(out, "|---|---|---|---|{}---|", "---|".repeat(names.len()));
    for entry in STEPS {
        let m = &entry.meta;
        let ticks: Vec<&str> =
            presets.iter().map(|p| if p.step(m.id).is_some() { "✓" } else { "" }).collect();
        let _ = writeln!(
            out,
            "| {} | [`{}`]({}.md) | {} | {} | {} | {} |",
            m.position,
            m.id,
            m.id,
            m.phase.as_str(),
            m.category.as_str(),
            ticks.join(" | "),
            m.summary
        );
    }
    out
}

fn page(entry: &Entry) -> String {
    let m = &entry.meta;
    let schema = (entry.schema)().to_value();
    let mut out = format!("# `{}`\n\nGenerated from the registry; do not edit.\n\n{}.\n\n", m.id, m.summary);
    let threats = if m.threats.is_empty() { "none of its own".to_owned() } else { m.threats.join(", ") };
    let _ = writeln!(
        out,
        "Position {}, phase {}, category {}. Threats: {threats}. On a hit, unless configured: {}.\n",
        m.position,
        m.phase.as_str(),
        m.category.as_str(),
        m.on_detection.as_str()
    );
    for line in documentation(entry).lines() {
        // The doc comment's headings, one level down.
        let _ = writeln!(out, "{}{line}", if line.starts_with("# ") { "\n#" } else { "" });
    }
    out.push_str("\n## Parameters\n");
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() {
        out.push_str("\nOnly the common ones: `enabled`, `on_detection`, `on_error`.\n");
        return out;
    }
    out.push_str("\nBeside the common ones (`enabled`, `on_detection`, `on_error`):\n\n");
    out.push_str("| parameter | type | default | meaning |\n|---|---|---|---|\n");
    for (name, property) in properties {
        let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        let default = &property["default"];
        let _ = writeln!(out, "| `{name}` | {} | `{default}` | {meaning} |", type_of(property));
    }
    out
}

fn type_of(property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    match &property["type"] {
        Value::String(name) if name == "array" => format!("list of {}", type_of(&property["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" or ")
        }
        _ => {
            let any: Vec<String> = property["anyOf"].as_array().into_iter().flatten().map(type_of).collect();
            any.join(" or ")
        }
    }
}
