//! What keeps the steps uniform: every file is in the registry and the reverse, ids and documentation are whole.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use tappass_pipeline::{
    Phase, compile_preset,
    docs::{HEADINGS, documentation},
    preset_names,
    registry::{PROVIDER_CALL, STEPS},
};

#[test]
fn every_file_is_registered_and_every_step_has_its_file() {
    let steps = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steps");
    let mut files = BTreeSet::new();
    for phase in ["before", "call", "after"] {
        for file in fs::read_dir(steps.join(phase)).expect("a folder for each phase") {
            let name = file.expect("an entry").file_name().to_string_lossy().into_owned();
            files.insert(format!("{phase}/{name}"));
        }
    }
    let registered: BTreeSet<String> =
        STEPS.iter().map(|e| format!("{}/{}.rs", e.meta.phase.as_str(), e.meta.id)).collect();
    assert_eq!(files, registered);
    assert_eq!(registered.len(), STEPS.len(), "ids are unique");
    assert!(registered.contains(&format!("call/{PROVIDER_CALL}.rs")));
}

#[test]
fn positions_and_phases_ascend() {
    for pair in STEPS.windows(2) {
        assert!(
            pair[0].meta.position < pair[1].meta.position,
            "{} before {}",
            pair[0].meta.id,
            pair[1].meta.id
        );
        assert!(pair[0].meta.phase <= pair[1].meta.phase);
    }
}

#[test]
fn presets_have_the_published_counts() {
    let published = [("starter", [7, 2, 2]), ("standard", [23, 5, 10]), ("regulated", [24, 8, 13])];
    assert_eq!(STEPS.len(), 49);
    assert_eq!(preset_names().collect::<Vec<_>>(), ["starter", "standard", "regulated"]);
    for (name, counts) in published {
        let preset = compile_preset(name).expect("compiles");
        let count = |phase| preset.steps.iter().filter(|s| s.meta.phase == phase).count();
        assert_eq!([Phase::Before, Phase::Call, Phase::After].map(count), counts, "{name}");
    }
}

#[test]
fn documentation_has_every_heading_in_order() {
    for entry in STEPS {
        let schema = (entry.schema)().to_value();
        let doc = documentation(entry);
        let headings: Vec<&str> = doc.lines().filter_map(|l| l.strip_prefix("# ")).collect();
        assert_eq!(headings, HEADINGS, "{}", entry.meta.id);
        assert!(!entry.meta.summary.is_empty() && !entry.meta.summary.ends_with('.'), "{}", entry.meta.id);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{}.{name} has no doc comment", entry.meta.id);
        }
    }
}

#[test]
fn defaults_validate_and_round_trip_and_unknown_parameters_do_not() {
    for entry in STEPS {
        let built = (entry.build)(json!({})).expect(entry.meta.id);
        let again = (entry.build)(built.parameters.clone()).expect(entry.meta.id);
        assert_eq!(built.parameters, again.parameters, "{}", entry.meta.id);
        assert!((entry.build)(json!({"no_such_parameter": Value::Null})).is_err(), "{}", entry.meta.id);
    }
}
