//! The published schema and the compiler say the same: asked of an independent validator (Python's `jsonschema`).

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tappass_pipeline::{compile, compile::schema, pack_names, preset_names};

const VALIDATOR: &str = "
import json, sys
from jsonschema import Draft202012Validator
asked = json.load(sys.stdin)
Draft202012Validator.check_schema(asked['schema'])
validator = Draft202012Validator(asked['schema'])
print(json.dumps([[e.message for e in validator.iter_errors(text)] for text in asked['texts']]))
";

/// What the validator finds wrong with each text.
fn validate(texts: &[String]) -> Vec<Vec<String>> {
    let values: Vec<Value> = texts.iter().map(|t| serde_saphyr::from_str(t).expect("YAML")).collect();
    let mut python = Command::new("python3")
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let asked = json!({"schema": schema(), "texts": values}).to_string();
    python.stdin.take().expect("a pipe").write_all(asked.as_bytes()).expect("it reads");
    let done = python.wait_with_output().expect("it ends");
    assert!(
        done.status.success(),
        "the Python package `jsonschema` is needed: ./test installs it into .venv"
    );
    serde_json::from_slice(&done.stdout).expect("an answer")
}

#[test]
fn what_comes_with_the_program_fits_the_schema() {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../presets");
    let files =
        preset_names().map(|n| format!("{n}.yaml")).chain(pack_names().map(|n| format!("packs/{n}.yaml")));
    let texts: Vec<String> =
        files.map(|f| fs::read_to_string(presets.join(f)).expect("it is there")).collect();
    for (text, wrong) in texts.iter().zip(validate(&texts)) {
        assert!(wrong.is_empty(), "{wrong:?}\n{text}");
        assert!(
            text.starts_with("# yaml-language-server: $schema="),
            "editors find the schema by the first line: {text}"
        );
    }
}

#[test]
fn the_schema_and_the_compiler_agree_on_each_grammar() {
    let right = [
        "preset: starter",
        "preset: finance\nname: claims\ndescription: ours",
        "preset: regulated\noverrides:\n  classification:\n    custom_patterns:\n      - {name: client_account_number, pattern: 'ACC-[0-9]{8}', level: CONFIDENTIAL}\n  pii: {allowlist: [Anna Router, {pattern: '* Scanner', kinds: [PERSON]}]}",
        "preset: starter\noverrides: {detect_pii: {on_detection: block, threshold: 0.6}, rate_limit: {max_calls: 5}, call_tool: {enabled: false}}",
        "preset: starter\noverrides:\n  categories:\n    before:\n      data_protection:\n        on_detection: redact\n        steps: {detect_pii: {enabled: true, options: {kinds: [EMAIL]}}}",
        "preset: starter\noverrides: {cost_tracking: {prices: {house: {input: 1, output: 2.5}}}}",
        "preset: starter\noverrides: {detect_pii: }",
    ];
    let wrong = [
        "preset: startr",
        "presets: starter",
        "overrides: {}",
        "preset: starter\noverrides: {detect_pi: {}}",
        "preset: starter\noverrides: {detect_pii: {treshold: 0.5}}",
        "preset: starter\noverrides: {detect_pii: {on_detection: explode}}",
        "preset: starter\noverrides: {rate_limit: {max_calls: many}}",
        "preset: starter\noverrides: {classification: {custom_patterns: [{name: x, pattern: y, level: SECRETIVE}]}}",
        "preset: starter\noverrides: {categories: {befor: {}}}",
        "preset: starter\noverrides: {categories: {before: {data_protection: {steps: {detect_injection: {}}}}}}",
        "preset: starter\noverrides: {categories: {before: {data_protection: {steps: {detect_pii: {options: {kind: [x]}}}}}}}",
        "preset: starter\noverrides: {pii: {allowlist: [{texts: a}]}}",
    ];
    let texts: Vec<String> = right.iter().chain(&wrong).map(ToString::to_string).collect();
    for (index, (text, errors)) in texts.iter().zip(validate(&texts)).enumerate() {
        let compiled = compile("p", 1, text).map(|_| ()).map_err(|e| e.to_string());
        assert_eq!(errors.is_empty(), index < right.len(), "the schema: {errors:?}\n{text}");
        assert_eq!(compiled.is_ok(), index < right.len(), "the compiler: {compiled:?}\n{text}");
    }
}
