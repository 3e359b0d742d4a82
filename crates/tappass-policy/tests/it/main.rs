//! The generated schemas are fresh. `UPDATE=1 cargo test -p tappass-policy` writes them.

use std::{fs, path::Path};

use tappass_policy::Question;

#[test]
fn the_schemas_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/policies");
    for question in Question::ALL {
        let schema = serde_json::to_string_pretty(&question.schema()).expect("writes") + "\n";
        let file = folder.join(format!("{}.schema.json", question.name()));
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &schema).expect("writes the schema");
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(there == schema, "{} is stale: run `UPDATE=1 cargo test -p tappass-policy`", file.display());
    }
}
