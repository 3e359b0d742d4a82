//! Rules about files: size, lints, one version, no trace of the machine they were written on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{read, root};

/// Longer than this, a file has more than one thing to say.
const MAX_LINES: usize = 600;

/// What tools make and no one commits.
const GENERATED: [&str; 5] = ["target", "node_modules", "__pycache__", "dist", "venv"];

/// Every file of the repository, without what tools leave there.
fn files() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let hidden = name.starts_with('.') && name != ".ci";
            if entry.file_type().expect("a type").is_dir() {
                if !hidden && !GENERATED.contains(&name.as_ref()) {
                    walk(&path, found);
                }
            } else if !hidden || name == ".gitignore" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 50, "too few files to be the repository");
    found
}

fn with_extension(extension: &str) -> impl Iterator<Item = PathBuf> {
    files().into_iter().filter(move |path| path.extension().is_some_and(|e| e == extension))
}

#[test]
fn no_source_file_is_too_long() {
    for path in with_extension("rs").chain(with_extension("py")) {
        let lines = fs::read_to_string(&path).expect("text").lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines: split it (at most {MAX_LINES})", path.display());
    }
}

#[test]
fn every_crate_takes_the_workspaces_lints_and_version() {
    let mut crates = 0;
    for path in files().into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        let manifest = fs::read_to_string(&path).expect("text");
        if !manifest.contains("[package]") {
            continue;
        }
        crates += 1;
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}: [lints] workspace = true",
            path.display()
        );
        assert!(manifest.contains("version.workspace = true"), "{}: version.workspace", path.display());
    }
    assert!(crates >= 10, "only {crates} crates found");
}

#[test]
fn the_wheel_has_the_workspaces_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("sdk/python/tappass/_version.py").starts_with(&format!("__version__ = \"{version}\"")),
        "sdk/python/tappass/_version.py does not say {version}"
    );
    // The wheel's own number is read from the program's crate, which has the workspace's.
    assert!(read("pyproject.toml").contains("dynamic = [\"version\"]"));
    assert!(read("CHANGELOG.md").contains(&format!("## {version}")), "CHANGELOG.md has no section {version}");
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let here = root();
    let mut traces = vec![concat!("/wo", "rk/").to_owned(), concat!(".lib", "rary/").to_owned()];
    if here.components().count() > 2 {
        traces.push(here.to_str().expect("text").to_owned());
    }
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for trace in &traces {
            assert!(!text.contains(trace), "{} names {trace}", path.display());
        }
    }
}

#[test]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt as _;
    for script in ["tappass", "test", ".ci/run"] {
        let mode = fs::metadata(root().join(script)).expect(script).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} is not executable");
    }
}
