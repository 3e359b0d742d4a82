//! The repository's guards: rules that no compiler checks, held by tests.

mod dependencies;
mod promises;
mod sources;

use std::path::{Path, PathBuf};

/// The workspace's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// A file of the repository as text.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display())).expect("a file of text")
}

/// The crates of `crates/README.md`, in its order, from the program down to the vocabulary.
fn listed_crates() -> Vec<String> {
    read("crates/README.md")
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.split_once(". **`")?;
            number.parse::<u8>().ok()?;
            Some(rest.split_once('`')?.0.to_owned())
        })
        .collect()
}
