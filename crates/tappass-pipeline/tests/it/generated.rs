//! The generated pages are fresh. `UPDATE=1 cargo test -p tappass-pipeline` writes them.

use std::{fs, path::Path};

#[test]
fn the_reference_pages_are_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let update = std::env::var_os("UPDATE").is_some();
    let pages = tappass_pipeline::docs::pages();
    for (path, content) in &pages {
        let file = root.join(path);
        if update {
            fs::create_dir_all(file.parent().expect("a folder")).expect("makes the folder");
            fs::write(&file, content).expect("writes the page");
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == *content,
            "docs/reference/{path} is stale: run `UPDATE=1 cargo test -p tappass-pipeline` and commit it"
        );
    }
    for file in fs::read_dir(root.join("steps")).expect("the folder is there") {
        let name = format!("steps/{}", file.expect("an entry").file_name().to_string_lossy());
        assert!(
            pages.iter().any(|(path, _)| *path == name),
            "docs/reference/{name} belongs to no step: remove it"
        );
    }
}
