//! Parameters by step: a preset's, then what overrides say in any of the three grammars. Each parameter remembers
//! where it was written, so that what is wrong with it can be said there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    builtin,
    error::{CompileError, Problem, unknown},
    source::{Source, under},
};
use crate::{
    registry,
    step::{Entry, Meta, Phase},
};

/// One parameter.
#[derive(Clone)]
pub(super) struct Parameter {
    pub(super) value: Value,
    /// Where it stands in the text that is compiled; `None` for what a preset or a pack says.
    pub(super) at: Option<String>,
}

/// Parameters by step id; a step that is not here does not run.
#[derive(Clone, Default)]
pub(super) struct Settings(pub(super) BTreeMap<&'static str, BTreeMap<String, Parameter>>);

/// Grammar 1 names what a step is about; the others name the step.
pub(super) const SUBJECTS: [(&str, &str); 5] = [
    ("classification", "classify_data"),
    ("pii", "detect_pii"),
    ("secrets", "detect_secrets"),
    ("injection", "detect_injection"),
    ("tools", "tool_permissions"),
];

/// What grammar 1 calls a step, where it has a word for it.
#[must_use]
pub fn subject_of(step: &str) -> Option<&'static str> {
    SUBJECTS.iter().find(|(_, id)| *id == step).map(|(subject, _)| *subject)
}

/// Grammar 1's `policy`: what it may hold, and which parameter of which step that is.
pub(super) const POLICY: [(&str, &str, &str); 1] = [("require_human_approval", "require_approval", "when")];

/// The keys of a pipeline's text.
pub(super) const KEYS: [&str; 4] = ["name", "preset", "description", "overrides"];

impl Settings {
    /// Those of a preset or a pack.
    pub(super) fn of_builtin(name: &str) -> Result<Self, CompileError> {
        if let Some(text) = builtin::pack(name) {
            let source = Source::read(text)?;
            let mut problems = Vec::new();
            let mut settings = Self::of_file(&source, &mut problems)?;
            CompileError::check(problems)?;
            // What a pack says has no place in the text that builds on it.
            settings.0.values_mut().flat_map(BTreeMap::values_mut).for_each(|p| p.at = None);
            return Ok(settings);
        }
        let mut settings = Self::default();
        for (id, parameters) in builtin::preset(name)? {
            let entry = find(&id).map_err(CompileError::new)?;
            let shipped = parameters.into_iter().map(|(name, value)| (name, Parameter { value, at: None }));
            settings.0.insert(entry.meta.id, shipped.collect());
        }
        Ok(settings)
    }

    /// Those of a text: `preset`, then `overrides`. What is wrong goes to `problems`.
    pub(super) fn of_file(source: &Source, problems: &mut Vec<Problem>) -> Result<Self, CompileError> {
        let mut reader = Reader { source, problems };
        let Some(file) = source.value.as_object() else {
            reader.value("", "a pipeline is a mapping with `preset: NAME`");
            return Ok(Self::default());
        };
        for key in file.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            reader.key(&under("", key), unknown("key", key, KEYS));
        }
        for key in ["name", "description"] {
            if file.get(key).is_some_and(|v| !v.is_string()) {
                reader.value(&under("", key), format!("`{key}` must be a text"));
            }
        }
        let preset = match file.get("preset") {
            Some(Value::String(name)) => name,
            Some(_) => {
                reader.value("/preset", "`preset` must be the name of a preset or a pack");
                return Ok(Self::default());
            }
            None => {
                let known: Vec<&str> = builtin::builtin_names().collect();
                reader.value("", format!("`preset` is missing; one of: {}", known.join(", ")));
                return Ok(Self::default());
            }
        };
        if !builtin::builtin_names().any(|name| name == preset) {
            reader.value("/preset", unknown("preset", preset, builtin::builtin_names()));
            return Ok(Self::default());
        }
        let mut settings = Self::of_builtin(preset)?;
        let overrides = reader.mapping(&source.value, "overrides", "");
        for (key, value) in overrides.into_iter().flatten() {
            let at = under("/overrides", key);
            match key.as_str() {
                "categories" => settings.by_category(&mut reader, value, &at),
                "policy" => settings.by_policy(&mut reader, value, &at),
                _ => settings.by_step(&mut reader, key, value, &at),
            }
        }
        Ok(settings)
    }

    /// Grammars 1 and 2: `{<subject or step>: {<parameter>: value}}`.
    fn by_step(&mut self, reader: &mut Reader<'_>, key: &str, value: &Value, at: &str) {
        let id = SUBJECTS.iter().find(|(subject, _)| *subject == key).map_or(key, |(_, id)| id);
        let Ok(entry) = find(id) else {
            let steps = registry::STEPS.iter().map(|e| e.meta.id);
            let subjects = SUBJECTS.iter().map(|(subject, _)| *subject);
            let known = steps.chain(subjects).chain(["categories", "policy"]);
            reader.key(at, unknown("step", key, known));
            return;
        };
        if let Some(parameters) = reader.members(value, at) {
            self.set(reader, entry.meta.id, parameters, at);
        }
    }

    /// Grammar 1's `policy`: lists of cases for steps that decide by them.
    fn by_policy(&mut self, reader: &mut Reader<'_>, value: &Value, at: &str) {
        for (key, value) in reader.members(value, at).into_iter().flatten() {
            let at = under(at, key);
            let known = POLICY.iter().find(|(name, step, _)| name == key && find(step).is_ok());
            let Some((_, step, parameter)) = known else {
                reader.key(&at, unknown("policy", key, POLICY.iter().map(|(name, ..)| *name)));
                continue;
            };
            let one = Parameter { value: value.clone(), at: Some(at) };
            self.0.entry(step).or_default().insert((*parameter).to_owned(), one);
        }
    }

    /// Grammar 3: `{<phase>: {<category>: {on_detection, steps: {<step>: {enabled, on_detection, options}}}}}`.
    fn by_category(&mut self, reader: &mut Reader<'_>, value: &Value, at: &str) {
        for (phase, categories) in reader.members(value, at).into_iter().flatten() {
            let at = under(at, phase);
            let phases = [Phase::Before, Phase::Call, Phase::After].map(Phase::as_str);
            if !phases.contains(&phase.as_str()) {
                reader.key(&at, unknown("phase", phase, phases));
                continue;
            }
            for (category, body) in reader.members(categories, &at).into_iter().flatten() {
                let at = under(&at, category);
                let of_phase =
                    || registry::STEPS.iter().map(|e| e.meta).filter(|m| m.phase.as_str() == phase);
                let members: Vec<Meta> = of_phase().filter(|m| m.category.as_str() == category).collect();
                if members.is_empty() {
                    reader.key(&at, unknown("category", category, of_phase().map(|m| m.category.as_str())));
                    continue;
                }
                self.category(reader, &members, body, &at);
            }
        }
    }

    fn category(&mut self, reader: &mut Reader<'_>, members: &[Meta], body: &Value, at: &str) {
        let Some(body) = reader.members(body, at) else { return };
        let known = ["on_detection", "steps"];
        for key in body.keys().filter(|key| !known.contains(&key.as_str())) {
            reader.key(&under(at, key), unknown("key", key, known));
        }
        if let Some(on) = body.get("on_detection") {
            let one = Parameter { value: on.clone(), at: Some(under(at, "on_detection")) };
            for meta in members {
                if let Some(parameters) = self.0.get_mut(meta.id) {
                    parameters.insert("on_detection".into(), one.clone());
                }
            }
        }
        let at = under(at, "steps");
        let Some(steps) = body.get("steps") else { return };
        for (id, parameters) in reader.members(steps, &at).into_iter().flatten() {
            let at = under(&at, id);
            let Some(meta) = members.iter().find(|m| m.id == id) else {
                reader.key(&at, unknown("step", id, members.iter().map(|m| m.id)));
                continue;
            };
            let Some(parameters) = reader.members(parameters, &at) else { continue };
            let mut own = parameters.clone();
            let options = own.shift_remove("options");
            self.set(reader, meta.id, &own, &at);
            if let Some(options) = options.as_ref()
                && self.0.contains_key(meta.id)
            {
                let at = under(&at, "options");
                if let Some(options) = reader.members(options, &at) {
                    self.set(reader, meta.id, options, &at);
                }
            }
        }
    }

    fn set(&mut self, reader: &mut Reader<'_>, id: &'static str, parameters: &Map<String, Value>, at: &str) {
        match parameters.get("enabled") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) if id == registry::PROVIDER_CALL => {
                return reader.key(&under(at, "enabled"), format!("`{id}` cannot be switched off"));
            }
            Some(Value::Bool(false)) => {
                self.0.remove(id);
                return;
            }
            Some(_) => return reader.value(&under(at, "enabled"), "`enabled` must be true or false"),
        }
        let there = self.0.entry(id).or_default();
        for (name, value) in parameters.iter().filter(|(name, _)| *name != "enabled") {
            let value = joined(there.get(name).map(|p| &p.value), value);
            there.insert(name.clone(), Parameter { value, at: Some(under(at, name)) });
        }
    }
}

/// A list of named things (`custom_patterns`) adds to what is there; the same name replaces. Everything else replaces
/// as a whole. What is new stands first, so that its places are those of the text.
pub(super) fn joined(there: Option<&Value>, new: &Value) -> Value {
    let name = |v: &Value| v.get("name").and_then(Value::as_str).map(str::to_owned);
    let (Some(Value::Array(old)), Value::Array(items)) = (there, new) else { return new.clone() };
    if items.is_empty() || !old.iter().chain(items).all(|v| name(v).is_some()) {
        return new.clone();
    }
    let kept = old.iter().filter(|v| !items.iter().any(|item| name(item) == name(v)));
    Value::Array(items.iter().chain(kept).cloned().collect())
}

/// A step of the registry.
pub(super) fn find(id: &str) -> Result<&'static Entry, String> {
    registry::STEPS
        .iter()
        .find(|e| e.meta.id == id)
        .ok_or_else(|| unknown("step", id, registry::STEPS.iter().map(|e| e.meta.id)))
}

/// Where what is wrong is noted.
struct Reader<'a> {
    source: &'a Source,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn key(&mut self, at: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: self.source.key(at), what: what.into() });
    }

    fn value(&mut self, at: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: self.source.value(at), what: what.into() });
    }

    /// The members of a mapping; of nothing when it is left blank.
    fn members<'v>(&mut self, value: &'v Value, at: &str) -> Option<&'v Map<String, Value>> {
        match value {
            Value::Object(map) => Some(map),
            Value::Null => {
                static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
                Some(&NONE)
            }
            _ => {
                let name = at.rsplit('/').next().unwrap_or_default();
                self.value(at, format!("`{name}` must be a mapping"));
                None
            }
        }
    }

    fn mapping<'v>(&mut self, parent: &'v Value, key: &str, at: &str) -> Option<&'v Map<String, Value>> {
        parent.get(key).and_then(|value| self.members(value, &under(at, key)))
    }
}
