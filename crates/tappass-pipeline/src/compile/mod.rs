//! From YAML to a pipeline: a preset or a pack, then the overrides, checked with their places. What comes out never
//! changes.

mod builtin;
mod error;
mod schema;
mod settings;
mod source;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};
use tappass_detect::{AllowEntry, Allowlist, CustomPattern, Scanner};
use tappass_model::{Family, Scope};

pub use builtin::{DEFAULT_PRESET, builtin_names, pack_names, preset_names};
use error::plain;
pub use error::{CompileError, Problem};
pub use schema::schema;
pub use settings::subject_of;
use settings::{Parameter, Settings};
use source::{Source, push};

use crate::{
    prices::Prices,
    registry,
    step::{About, BuildError, Built, Common, Entry, Meta, OnError, Phase, Runnable},
};

/// A configured step in its place.
pub struct Placed {
    /// What never changes.
    pub meta: Meta,
    /// What a hit and a failure do.
    pub common: Common,
    /// What of a call it is about.
    pub about: About,
    /// The memories it reads or adds to.
    pub remembers: &'static [Scope],
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
    /// What its steps never count as a hit.
    pub allowlist: Allowlist,
    /// The memories that its steps read or add to.
    pub remembers: Vec<Scope>,
    /// What models cost.
    pub prices: Prices,
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

/// A preset or a pack as shipped.
///
/// # Errors
/// No such preset; names the nearest.
pub fn compile_preset(name: &str) -> Result<Arc<Pipeline>, CompileError> {
    // A pack says itself which preset it is built on.
    let on = match builtin::pack(name) {
        Some(text) => Source::read(text)?.value["preset"].as_str().unwrap_or_default().to_owned(),
        None => name.to_owned(),
    };
    build(Target { name, version: 0, preset: &on }, &Settings::of_builtin(name)?, None, Vec::new())
}

/// A pipeline from a text: `preset: NAME` (a preset or a pack) and `overrides: {…}` in any of the three grammars
/// (by subject, by step id, by category).
///
/// # Errors
/// All that is wrong: where, what, and the nearest valid name.
pub fn compile(name: &str, version: u32, yaml: &str) -> Result<Arc<Pipeline>, CompileError> {
    let source = Source::read(yaml)?;
    let mut problems = Vec::new();
    let settings = Settings::of_file(&source, &mut problems)?;
    let preset = source.value["preset"].as_str().unwrap_or_default().to_owned();
    if settings.0.is_empty() {
        CompileError::check(problems)?;
        return Err(CompileError::new("a pipeline needs steps"));
    }
    build(Target { name, version, preset: &preset }, &settings, Some(&source), problems)
}

/// The name that a pipeline's text gives itself, if it does.
#[must_use]
pub fn name_in(yaml: &str) -> Option<String> {
    Source::read(yaml).ok()?.value["name"].as_str().map(str::to_owned)
}

/// What a pipeline will be called.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    version: u32,
    preset: &'a str,
}

fn build(
    target: Target<'_>,
    Settings(settings): &Settings,
    source: Option<&Source>,
    mut problems: Vec<Problem>,
) -> Result<Arc<Pipeline>, CompileError> {
    let of_preset = Settings::of_builtin(target.preset)?.0;
    let mut steps = Vec::new();
    let mut disabled = Vec::new();
    let mut families: Vec<Family> = Vec::new();
    let mut remembers: Vec<Scope> = Vec::new();
    let mut allowed: Vec<AllowEntry> = Vec::new();
    for entry in registry::STEPS {
        let meta = entry.meta;
        let Some(parameters) = settings.get(meta.id) else {
            if of_preset.contains_key(meta.id) {
                disabled.push(meta);
            }
            continue;
        };
        match step(entry, parameters) {
            Ok((common, built)) => {
                families.extend(built.families.iter().filter(|f| !families.contains(f)).collect::<Vec<_>>());
                remembers
                    .extend(built.remembers.iter().filter(|s| !remembers.contains(s)).collect::<Vec<_>>());
                if meta.phase == Phase::Before {
                    allowed.extend(allowed_by(&built));
                }
                let Built { about, remembers, parameters, run, .. } = built;
                steps.push(Placed { meta, common, about, remembers, parameters, run });
            }
            Err(error) => problems.push(located(entry, parameters, source, &error)),
        }
    }
    CompileError::check(problems)?;
    let custom = custom_patterns(&steps)?;
    let scanner = Scanner::new(&families, &custom).map_err(|e| {
        let what = e.to_string();
        let empty = BTreeMap::new();
        let given = settings.get("classify_data").unwrap_or(&empty);
        let place = source.and_then(|s| mentioned(s, given, &what));
        CompileError { problems: vec![Problem { place, what }] }
    })?;
    let call = steps
        .iter()
        .position(|s| s.meta.id == registry::PROVIDER_CALL)
        .ok_or_else(|| CompileError::new("a pipeline needs the step `call_llm`"))?;
    let before = steps.iter().take_while(|s| s.meta.phase == Phase::Before).count();
    let hash = hash(&steps);
    let prices = prices(&steps)?;
    let allowlist =
        Allowlist::new(allowed).map_err(|e| CompileError::new(format!("the allowlists together: {e}")))?;
    Ok(Arc::new(Pipeline {
        name: target.name.to_owned(),
        preset: target.preset.to_owned(),
        version: target.version,
        hash,
        steps,
        disabled,
        scanner,
        allowlist,
        remembers,
        prices,
        forward: before..call + 1,
    }))
}

/// The `allowlist` of a step that looks at requests. It holds in the whole pipeline, for what the step reads.
fn allowed_by(built: &Built) -> Vec<AllowEntry> {
    let entries: Vec<AllowEntry> = built
        .parameters
        .get("allowlist")
        .and_then(|v| serde_json::from_value(v.clone()).ok())
        .unwrap_or_default();
    let kinds = || built.families.iter().map(|f| f.as_str().to_owned()).collect();
    let held = |e: AllowEntry| if e.kinds.is_empty() { AllowEntry { kinds: kinds(), ..e } } else { e };
    entries.into_iter().map(held).collect()
}

/// One step of its parameters.
fn step(entry: &Entry, parameters: &BTreeMap<String, Parameter>) -> Result<(Common, Built), BuildError> {
    let mut own: Map<String, Value> = parameters.iter().map(|(k, p)| (k.clone(), p.value.clone())).collect();
    let mut common = Common { on_detection: entry.meta.on_detection, on_error: OnError::Block };
    if let Some(value) = own.shift_remove("on_detection") {
        common.on_detection = word("on_detection", value)?;
    }
    if let Some(value) = own.shift_remove("on_error") {
        common.on_error = word("on_error", value)?;
    }
    Ok((common, (entry.build)(Value::Object(own))?))
}

/// A common parameter.
fn word<T: serde::de::DeserializeOwned>(name: &str, value: Value) -> Result<T, BuildError> {
    serde_json::from_value(value).map_err(|e| BuildError { path: vec![name.to_owned()], what: e.to_string() })
}

/// What is wrong with a step, where its text says it.
fn located(
    entry: &Entry,
    parameters: &BTreeMap<String, Parameter>,
    source: Option<&Source>,
    error: &BuildError,
) -> Problem {
    let id = entry.meta.id;
    let mut what = plain(&error.what);
    // The common parameters are no part of the step's own.
    if let ([name], true) = (error.path.as_slice(), error.what.starts_with("unknown field")) {
        let schema = (entry.schema)();
        let own = schema.get("properties").and_then(Value::as_object);
        let own = own.into_iter().flat_map(|p| p.keys().map(String::as_str));
        what = error::unknown("parameter", name, own.chain(["enabled", "on_detection", "on_error"]));
    }
    let place = source.and_then(|source| {
        let Some((first, rest)) = error.path.split_first() else {
            return mentioned(source, parameters, &error.what);
        };
        let mut at = parameters.get(first)?.at.clone()?;
        rest.iter().for_each(|part| push(&mut at, part));
        if error.what.starts_with("unknown field") { source.key(&at) } else { source.value(&at) }
    });
    let path = error.path.join(".");
    let name = if path.is_empty() { format!("`{id}`") } else { format!("`{id}.{path}`") };
    Problem { place, what: format!("{name}: {what}") }
}

/// Where the parameter, or the text, stands that a sentence names first.
fn mentioned(source: &Source, parameters: &BTreeMap<String, Parameter>, what: &str) -> Option<(u64, u64)> {
    let quoted = what.split(['`', '"']).skip(1).step_by(2);
    for name in quoted {
        for (key, parameter) in parameters {
            let Some(at) = &parameter.at else { continue };
            if key == name {
                return source.value(at);
            }
            if let Some(found) = text_at(&parameter.value, name, at) {
                return source.value(&found);
            }
        }
    }
    parameters.values().find_map(|p| source.value(p.at.as_ref()?))
}

fn text_at(value: &Value, text: &str, at: &str) -> Option<String> {
    match value {
        Value::String(s) => (s == text).then(|| at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(i, v)| text_at(v, text, &source::under(at, &i.to_string())))
        }
        Value::Object(map) => map.iter().find_map(|(k, v)| text_at(v, text, &source::under(at, k))),
        _ => None,
    }
}

/// `classify_data` states them; the one scan has to know them.
fn custom_patterns(steps: &[Placed]) -> Result<Vec<CustomPattern>, CompileError> {
    let stated = steps.iter().find_map(|s| s.parameters.get("custom_patterns"));
    stated.map_or_else(
        || Ok(Vec::new()),
        |v| serde_json::from_value(v.clone()).map_err(|e| CompileError::new(format!("custom_patterns: {e}"))),
    )
}

/// `cost_tracking` states them; every step that reckons in money has to know them.
fn prices(steps: &[Placed]) -> Result<Prices, CompileError> {
    let Some(step) = steps.iter().find(|s| s.meta.id == "cost_tracking") else {
        return Ok(Prices::default());
    };
    let read = |e: serde_json::Error| CompileError::new(format!("cost_tracking: {e}"));
    Ok(Prices {
        own: serde_json::from_value(step.parameters["prices"].clone()).map_err(read)?,
        default: serde_json::from_value(step.parameters["default_price"].clone()).map_err(read)?,
    })
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
        assert_eq!(
            error("preset: startr"),
            "line 1, column 9: unknown preset `startr`; did you mean `starter`?"
        );
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

    #[test]
    fn every_depth_has_its_line_and_column_and_all_is_said_at_once() {
        let yaml = "preset: starter\n\
            overrides:\n\
            \x20 classification:\n\
            \x20   custom_patterns:\n\
            \x20     - {name: ok, pattern: 'A[0-9]+', level: INTERNAL}\n\
            \x20     - name: acc\n\
            \x20       pattern: 'B[0-9]+'\n\
            \x20       levl: INTERNAL\n\
            \x20 rate_limit:\n\
            \x20   max_calls: 0\n\
            \x20 cost_tracking:\n\
            \x20   prices: {house: {input: 1, output: none}}\n\
            \x20 categories:\n\
            \x20   before:\n\
            \x20     data_protection:\n\
            \x20       steps:\n\
            \x20         detect_pii:\n\
            \x20           options: {kinds: [EMAIL, 3]}\n\
            \x20     threat_detektion: {}\n";
        let refused = compile("p", 1, yaml).err().expect("refused");
        let told: Vec<String> = refused.problems.iter().map(ToString::to_string).collect();
        let wanted = [
            "line 8, column 9: `classify_data.custom_patterns.1.levl`: unknown parameter `levl`; did you mean `level`?",
            "line 10, column 16: `rate_limit`:",
            "line 12, column 40: `cost_tracking.prices.house.output`:",
            "line 18, column 38: `detect_pii.kinds.1`:",
            "line 19, column 7: unknown category `threat_detektion`; did you mean `threat_detection`?",
        ];
        assert_eq!(told.len(), wanted.len(), "{told:#?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(wanted), "{told}\n{wanted}");
        }
        let bad = "preset: starter\noverrides:\n  classification:\n    custom_patterns:\n      \
            - {name: fine, pattern: x}\n      - {name: acc, pattern: 'ACC-['}\n";
        let told = error(bad);
        assert!(told.starts_with("line 6, column 16: custom pattern \"acc\""), "{told}");
    }

    #[test]
    fn named_patterns_add_up_and_other_lists_replace() {
        let new = json!([{"name": "a", "pattern": "y"}, {"name": "c", "pattern": "z"}]);
        let old = json!([{"name": "a", "pattern": "x"}, {"name": "b", "pattern": "x"}]);
        let both = settings::joined(Some(&old), &new);
        assert_eq!(
            both,
            json!([{"name": "a", "pattern": "y"}, {"name": "c", "pattern": "z"}, {"name": "b", "pattern": "x"}])
        );
        assert_eq!(settings::joined(Some(&json!(["x"])), &json!(["y"])), json!(["y"]));
        assert_eq!(settings::joined(Some(&old), &json!([])), json!([]));
    }

    #[test]
    fn every_pack_builds_on_its_preset() {
        for name in pack_names() {
            let pack = compile_preset(name).unwrap_or_else(|e| panic!("{name}: {e}"));
            let base = compile_preset(&pack.preset).expect("a preset");
            assert!(pack.steps.len() >= base.steps.len() && pack.hash != base.hash, "{name}");
            let own = compile("mine", 1, &format!("preset: {name}")).expect("builds on a pack");
            assert_eq!((own.hash.as_str(), own.preset.as_str()), (pack.hash.as_str(), name));
        }
    }
}
