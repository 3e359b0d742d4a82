//! From YAML to a pipeline: a preset, then the overrides, checked line by line. What comes out never changes.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;
use tappass_detect::{CustomPattern, Scanner};
use tappass_model::{Family, Scope};

use crate::{
    registry,
    step::{Common, Entry, Meta, OnError, Phase, Runnable},
};

/// The presets that this program carries, by name.
const PRESETS: &[(&str, &str)] = &[
    ("starter", include_str!("../../../presets/starter.yaml")),
    ("standard", include_str!("../../../presets/standard.yaml")),
    ("regulated", include_str!("../../../presets/regulated.yaml")),
];

/// The preset of an organisation that has not chosen one.
pub const DEFAULT_PRESET: &str = "starter";

/// Why a pipeline cannot be made. Says where, what is wrong, and the nearest valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{what}")]
pub struct CompileError {
    place: String,
    what: String,
}

impl CompileError {
    fn new(what: impl Into<String>) -> Self {
        Self { place: String::new(), what: what.into() }
    }

    fn at(line: u64, what: impl Into<String>) -> Self {
        Self { place: format!("line {line}: "), what: what.into() }
    }
}

/// A configured step in its place.
pub struct Placed {
    /// What never changes.
    pub meta: Meta,
    /// What a hit and a failure do.
    pub common: Common,
    /// Its own parameters, complete.
    pub parameters: Value,
    /// The step.
    pub run: Runnable,
}

/// An immutable pipeline. A call takes one and keeps it.
pub struct Pipeline {
    /// The name agents are assigned to.
    pub name: String,
    /// The preset it is built on.
    pub preset: String,
    /// Counts an organisation's changes; 0 for a preset as shipped.
    pub version: u32,
    /// SHA-256 over steps and parameters, in hexadecimal: two pipelines with one hash decide alike.
    pub hash: String,
    /// The steps that run, in order.
    pub steps: Vec<Placed>,
    /// The steps of the preset that the overrides switched off.
    pub disabled: Vec<Meta>,
    /// The one scan of requests and answers.
    pub scanner: Scanner,
    /// The memories that its steps read or add to.
    pub remembers: Vec<Scope>,
    forward: Range<usize>,
}

impl Pipeline {
    /// The steps that decide whether a call may leave.
    #[must_use]
    pub fn admit(&self) -> Range<usize> {
        0..self.forward.start
    }

    /// The steps up to and including the provider call.
    #[must_use]
    pub fn forward(&self) -> Range<usize> {
        self.forward.clone()
    }

    /// The steps that look at the answer.
    #[must_use]
    pub fn examine(&self) -> Range<usize> {
        self.forward.end..self.steps.len()
    }

    /// A step by its id.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<&Placed> {
        self.steps.iter().find(|s| s.meta.id == id)
    }

    /// `{name, preset, hash, version, steps: [{id, position, phase, category, enabled, summary, parameters}]}`.
    #[must_use]
    pub fn describe(&self) -> Value {
        let mut steps: Vec<Value> =
            self.steps.iter().map(|s| describe_step(&s.meta, Some((&s.common, &s.parameters)))).collect();
        steps.extend(self.disabled.iter().map(|meta| describe_step(meta, None)));
        steps.sort_by_key(|s| s["position"].as_u64());
        json!({"name": self.name, "preset": self.preset, "hash": self.hash, "version": self.version, "steps": steps})
    }
}

fn describe_step(meta: &Meta, with: Option<(&Common, &Value)>) -> Value {
    let parameters = with.map(|(common, own)| {
        let mut all = Map::new();
        all.insert("on_detection".into(), json!(common.on_detection));
        all.insert("on_error".into(), json!(common.on_error));
        all.extend(own.as_object().cloned().unwrap_or_default());
        all
    });
    json!({
        "id": meta.id, "position": meta.position, "phase": meta.phase, "category": meta.category,
        "enabled": with.is_some(), "summary": meta.summary, "parameters": parameters.unwrap_or_default(),
    })
}

/// The names of the presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// A preset as shipped.
///
/// # Errors
/// No such preset; names the nearest.
pub fn compile_preset(name: &str) -> Result<Arc<Pipeline>, CompileError> {
    build(name, 0, name, Settings::of_preset(name)?)
}

/// A pipeline from an override file: `preset: NAME` and `overrides: {…}` in any of the three grammars
/// (by subject, by step id, by category).
///
/// # Errors
/// What is wrong, on which line, and the nearest valid name.
pub fn compile(name: &str, version: u32, yaml: &str) -> Result<Arc<Pipeline>, CompileError> {
    let file: File = serde_saphyr::from_str(yaml).map_err(|e| CompileError::new(e.to_string()))?;
    let mut settings = Settings::of_preset(&file.preset)?;
    for (key, value) in file.overrides.unwrap_or_default() {
        let line = value.referenced.line();
        settings.override_with(&key, value.value).map_err(|what| CompileError::at(line, what))?;
    }
    build(name, version, &file.preset, settings)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresetFile {
    #[expect(dead_code, reason = "for readers of the file")]
    description: String,
    steps: BTreeMap<String, Option<Map<String, Value>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    preset: String,
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the file")]
    description: Option<String>,
    #[serde(default)]
    overrides: Option<BTreeMap<String, Spanned<Value>>>,
}

/// Parameters by step id; a step that is not here does not run.
struct Settings(BTreeMap<&'static str, Map<String, Value>>);

impl Settings {
    fn of_preset(name: &str) -> Result<Self, CompileError> {
        let Some((_, yaml)) = PRESETS.iter().find(|(n, _)| *n == name) else {
            return Err(CompileError::new(unknown("preset", name, preset_names())));
        };
        let file: PresetFile = serde_saphyr::from_str(yaml).map_err(|e| CompileError::new(e.to_string()))?;
        let mut settings = Self(BTreeMap::new());
        for (id, parameters) in file.steps {
            let entry = find(&id).map_err(CompileError::new)?;
            settings.0.insert(entry.meta.id, parameters.unwrap_or_default());
        }
        Ok(settings)
    }

    fn override_with(&mut self, key: &str, value: Value) -> Result<(), String> {
        if key == "categories" {
            return self.by_category(value);
        }
        let id = subject(key);
        self.set(id, object(key, value)?)
    }

    /// Grammar 3: `{<phase>: {<category>: {on_detection, steps: {<step>: {enabled, on_detection, options}}}}}`.
    fn by_category(&mut self, value: Value) -> Result<(), String> {
        for (phase, categories) in object("categories", value)? {
            let phases = [Phase::Before, Phase::Call, Phase::After];
            if !phases.iter().any(|p| p.as_str() == phase) {
                return Err(unknown("phase", &phase, phases.iter().map(|p| p.as_str())));
            }
            for (category, body) in object(&phase, categories)? {
                let inside = |m: &Meta| m.phase.as_str() == phase && m.category.as_str() == category;
                let members: Vec<&'static str> =
                    registry::STEPS.iter().map(|e| e.meta).filter(inside).map(|m| m.id).collect();
                if members.is_empty() {
                    let names = registry::STEPS.iter().filter(|e| e.meta.phase.as_str() == phase);
                    return Err(unknown("category", &category, names.map(|e| e.meta.category.as_str())));
                }
                let mut body = object(&category, body)?;
                if let Some(on) = body.shift_remove("on_detection") {
                    for id in &members {
                        if let Some(parameters) = self.0.get_mut(id) {
                            parameters.insert("on_detection".into(), on.clone());
                        }
                    }
                }
                let steps = body.shift_remove("steps").unwrap_or_else(|| json!({}));
                if let Some(key) = body.keys().next() {
                    return Err(unknown("key", key, ["on_detection", "steps"].into_iter()));
                }
                for (id, parameters) in object("steps", steps)? {
                    if !members.contains(&id.as_str()) {
                        return Err(unknown("step", &id, members.iter().copied()));
                    }
                    let mut parameters = object(&id, parameters)?;
                    if let Some(options) = parameters.shift_remove("options") {
                        parameters.extend(object("options", options)?);
                    }
                    self.set(&id, parameters)?;
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, id: &str, mut parameters: Map<String, Value>) -> Result<(), String> {
        let entry = find(id)?;
        let id = entry.meta.id;
        let enabled = parameters.shift_remove("enabled").unwrap_or(Value::Bool(true));
        match enabled.as_bool() {
            Some(true) => {
                self.0.entry(id).or_default().extend(parameters);
                Ok(())
            }
            Some(false) if id == registry::PROVIDER_CALL => Err(format!("`{id}` cannot be switched off")),
            Some(false) => {
                self.0.remove(id);
                Ok(())
            }
            None => Err(format!("`{id}.enabled` must be true or false")),
        }
    }
}

/// Grammar 1 names what a step is about; the others name the step.
fn subject(key: &str) -> &str {
    match key {
        "classification" => "classify_data",
        "pii" => "detect_pii",
        "secrets" => "detect_secrets",
        "injection" => "detect_injection",
        "tools" => "tool_permissions",
        other => other,
    }
}

fn build(
    name: &str,
    version: u32,
    preset: &str,
    Settings(settings): Settings,
) -> Result<Arc<Pipeline>, CompileError> {
    let of_preset = Settings::of_preset(preset)?.0;
    let mut steps = Vec::new();
    let mut disabled = Vec::new();
    let mut families: Vec<Family> = Vec::new();
    let mut remembers: Vec<Scope> = Vec::new();
    for entry in registry::STEPS {
        let meta = entry.meta;
        let Some(parameters) = settings.get(meta.id) else {
            if of_preset.contains_key(meta.id) {
                disabled.push(meta);
            }
            continue;
        };
        let mut own = parameters.clone();
        let common = common(&meta, &mut own).map_err(CompileError::new)?;
        let built = (entry.build)(Value::Object(own))
            .map_err(|what| CompileError::new(explain(entry, parameters, &what)))?;
        families.extend(built.families.iter().filter(|f| !families.contains(f)).collect::<Vec<_>>());
        remembers.extend(built.remembers.iter().filter(|s| !remembers.contains(s)).collect::<Vec<_>>());
        steps.push(Placed { meta, common, parameters: built.parameters, run: built.run });
    }
    let custom = custom_patterns(&steps)?;
    let scanner = Scanner::new(&families, &custom).map_err(|e| CompileError::new(e.to_string()))?;
    let call = steps
        .iter()
        .position(|s| s.meta.id == registry::PROVIDER_CALL)
        .ok_or_else(|| CompileError::new("a pipeline needs the step `call_llm`"))?;
    let before = steps.iter().take_while(|s| s.meta.phase == Phase::Before).count();
    let hash = hash(&steps);
    Ok(Arc::new(Pipeline {
        name: name.to_owned(),
        preset: preset.to_owned(),
        version,
        hash,
        steps,
        disabled,
        scanner,
        remembers,
        forward: before..call + 1,
    }))
}

/// `classify_data` states them; the one scan has to know them.
fn custom_patterns(steps: &[Placed]) -> Result<Vec<CustomPattern>, CompileError> {
    let stated = steps.iter().find_map(|s| s.parameters.get("custom_patterns"));
    stated.map_or_else(
        || Ok(Vec::new()),
        |v| serde_json::from_value(v.clone()).map_err(|e| CompileError::new(format!("custom_patterns: {e}"))),
    )
}

fn common(meta: &Meta, own: &mut Map<String, Value>) -> Result<Common, String> {
    let mut common = Common { on_detection: meta.on_detection, on_error: OnError::Block };
    if let Some(v) = own.shift_remove("on_detection") {
        common.on_detection = serde_json::from_value(v).map_err(|_| {
            format!("`{}.on_detection` must be block, redact, notify, log or continue", meta.id)
        })?;
    }
    if let Some(v) = own.shift_remove("on_error") {
        common.on_error = serde_json::from_value(v)
            .map_err(|_| format!("`{}.on_error` must be block or continue", meta.id))?;
    }
    Ok(common)
}

/// A parameter that does not fit, with the nearest name when it is unknown.
fn explain(entry: &Entry, given: &Map<String, Value>, what: &str) -> String {
    let id = entry.meta.id;
    let schema = (entry.schema)();
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|p| p.keys().map(String::as_str))
        .chain(["enabled", "on_detection", "on_error"])
        .collect();
    match given.keys().find(|k| !known.contains(&k.as_str())) {
        Some(key) => format!("`{id}`: {}", unknown("parameter", key, known.into_iter())),
        None => format!("`{id}`: {what}"),
    }
}

fn find(id: &str) -> Result<&'static Entry, String> {
    registry::STEPS
        .iter()
        .find(|e| e.meta.id == id)
        .ok_or_else(|| unknown("step", id, registry::STEPS.iter().map(|e| e.meta.id)))
}

fn object(key: &str, value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(format!("`{key}` must be a mapping")),
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let nearest = known.iter().copied().min_by_key(|k| strsim::damerau_levenshtein(k, name));
    match nearest {
        Some(near) if strsim::damerau_levenshtein(near, name) <= 3 => {
            format!("unknown {what} `{name}`; did you mean `{near}`?")
        }
        _ => format!("unknown {what} `{name}`; known: {}", known.join(", ")),
    }
}

fn hash(steps: &[Placed]) -> String {
    let all: Vec<Value> = steps.iter().map(|s| json!([s.meta.id, s.common, s.parameters])).collect();
    hex::encode(digest(&SHA256, json!(all).to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(yaml: &str) -> String {
        compile("p", 1, yaml).err().expect("must be refused").to_string()
    }

    #[test]
    fn starter_is_seven_two_two() {
        let p = compile_preset("starter").expect("compiles");
        let count = |phase| p.steps.iter().filter(|s| s.meta.phase == phase).count();
        assert_eq!((count(Phase::Before), count(Phase::Call), count(Phase::After)), (7, 2, 2));
        assert_eq!(p.steps[p.forward().end - 1].meta.id, "call_llm");
        assert_eq!(p.hash.len(), 64);
    }

    #[test]
    fn three_grammars_one_meaning() {
        let subject = "preset: starter\noverrides:\n  pii: {on_detection: block, allowlist: [Anna Router]}\n";
        let step =
            "preset: starter\noverrides:\n  detect_pii: {on_detection: block, allowlist: [Anna Router]}\n";
        let category = "preset: starter\noverrides:\n  categories:\n    before:\n      data_protection:\n        \
             steps: {detect_pii: {on_detection: block, options: {allowlist: [Anna Router]}}}\n";
        let hashes: Vec<String> =
            [subject, step, category].iter().map(|y| compile("p", 1, y).expect(y).hash.clone()).collect();
        assert_eq!(hashes[0], hashes[1]);
        assert_eq!(hashes[1], hashes[2]);
        assert_ne!(hashes[0], compile_preset("starter").expect("compiles").hash);
    }

    #[test]
    fn a_category_sets_its_steps() {
        let yaml =
            "preset: starter\noverrides: {categories: {before: {data_protection: {on_detection: redact}}}}";
        let p = compile("p", 1, yaml).expect("compiles");
        for id in ["detect_pii", "detect_secrets"] {
            let on = p.step(id).expect(id).common.on_detection;
            assert_eq!(on, tappass_model::OnDetection::Redact, "{id}");
        }
    }

    #[test]
    fn a_step_can_be_switched_off_and_is_then_absent() {
        let p =
            compile("p", 1, "preset: starter\noverrides: {detect_injection: {enabled: false}}").expect("ok");
        assert!(p.step("detect_injection").is_none());
        assert_eq!(p.disabled.len(), 1);
        assert!(error("preset: starter\noverrides: {call_llm: {enabled: false}}").contains("cannot"));
    }

    #[test]
    fn errors_name_line_and_nearest() {
        assert!(error("preset: startr").contains("did you mean `starter`"));
        let e =
            error("preset: starter\noverrides:\n  detect_pii: {on_detection: log}\n  detect_secret: {}\n");
        assert!(e.contains("line 4") && e.contains("did you mean `detect_secrets`"), "{e}");
        let e = error("preset: starter\noverrides: {rate_limit: {max_call: 3}}");
        assert!(e.contains("did you mean `max_calls`"), "{e}");
        assert!(error("preset: starter\noverrides: {rate_limit: {max_calls: many}}").contains("rate_limit"));
        assert!(
            error("preset: starter\noverrides: {detect_pii: {on_detection: explode}}").contains("redact")
        );
        assert!(error("preset: [").contains("line"));
        assert!(error("presets: starter").contains("presets"));
        let e = error(
            "preset: starter\noverrides: {classification: {custom_patterns: [{name: x, pattern: '(', level: INTERNAL}]}}",
        );
        assert!(e.contains('x'), "{e}");
    }
}
