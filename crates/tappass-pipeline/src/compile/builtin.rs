//! What comes with the program: presets, which list steps, and packs, which build on a preset for an industry.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{CompileError, unknown};

/// The presets, the smallest first.
const PRESETS: &[(&str, &str)] = &[
    ("starter", include_str!("../../../../presets/starter.yaml")),
    ("standard", include_str!("../../../../presets/standard.yaml")),
    ("regulated", include_str!("../../../../presets/regulated.yaml")),
];

/// The packs, the regulated industries first.
const PACKS: &[(&str, &str)] = &[
    ("finance", include_str!("../../../../presets/packs/finance.yaml")),
    ("healthcare", include_str!("../../../../presets/packs/healthcare.yaml")),
    ("legal", include_str!("../../../../presets/packs/legal.yaml")),
    ("government", include_str!("../../../../presets/packs/government.yaml")),
    ("saas", include_str!("../../../../presets/packs/saas.yaml")),
    ("consulting", include_str!("../../../../presets/packs/consulting.yaml")),
    ("startup", include_str!("../../../../presets/packs/startup.yaml")),
];

/// The preset of an organisation that has not chosen one.
pub const DEFAULT_PRESET: &str = "starter";

/// The names of the presets.
pub fn preset_names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, _)| *name)
}

/// The names of the packs.
pub fn pack_names() -> impl Iterator<Item = &'static str> {
    PACKS.iter().map(|(name, _)| *name)
}

/// Presets and packs: every name that `preset:` takes.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    preset_names().chain(pack_names())
}

/// The text of a pack, as shipped.
pub(super) fn pack(name: &str) -> Option<&'static str> {
    PACKS.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// A preset's steps with their parameters.
pub(super) fn preset(name: &str) -> Result<BTreeMap<String, Map<String, Value>>, CompileError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[expect(dead_code, reason = "for readers of the file")]
        description: String,
        steps: BTreeMap<String, Option<Map<String, Value>>>,
    }
    let Some((_, text)) = PRESETS.iter().find(|(n, _)| *n == name) else {
        return Err(CompileError::new(unknown("preset", name, builtin_names())));
    };
    let file: File = serde_saphyr::from_str(text).map_err(|e| CompileError::new(format!("{name}: {e}")))?;
    Ok(file.steps.into_iter().map(|(id, parameters)| (id, parameters.unwrap_or_default())).collect())
}
