//! Runs the tests that stand beside policies: rules whose names begin with `test_`, as `opa test` runs them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{embedded::bounded, source::CompileError};

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestResult {
    /// `tappass.tools.test_shell_is_refused`
    pub name: String,
    /// Whether its rule is true.
    pub passed: bool,
    /// Why not, where it is more than not true.
    pub error: Option<String>,
}

/// Why tests cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// A file or folder cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// A file is no policy.
    #[error("{0}: {1}")]
    Compile(PathBuf, CompileError),
}

/// Runs all tests of the `.rego` files in `folder` and the folders in it; files of one folder are loaded together.
///
/// # Errors
/// [`TestError`].
pub fn run(folder: &Path) -> Result<Vec<TestResult>, TestError> {
    let (mut results, mut files) = (Vec::new(), Vec::new());
    let unreadable = |e| TestError::Read(folder.to_owned(), e);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect())
        .map_err(unreadable)?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            results.extend(run(&path)?);
        } else if path.extension().is_some_and(|e| e == "rego") {
            let text = std::fs::read_to_string(&path).map_err(|e| TestError::Read(path.clone(), e))?;
            files.push((path, text));
        }
    }
    results.extend(run_together(&files)?);
    Ok(results)
}

fn run_together(files: &[(PathBuf, String)]) -> Result<Vec<TestResult>, TestError> {
    let mut engine = bounded();
    for (path, text) in files {
        let broken = |e: CompileError| TestError::Compile(path.clone(), e);
        crate::source::lint(text).map_err(broken)?;
        engine
            .add_policy(path.display().to_string(), text.clone())
            .map_err(|e| broken(CompileError::of(&e.to_string())))?;
    }
    let mut names: Vec<String> = Vec::new();
    let first = files.first().map(|(path, _)| path.clone()).unwrap_or_default();
    let packages =
        engine.get_packages().map_err(|e| TestError::Compile(first, CompileError::of(&e.to_string())))?;
    for package in packages {
        for (_, text) in files.iter().filter(|(_, text)| in_package(text, &package)) {
            for line in text.lines() {
                let name: String =
                    line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let full = format!("{package}.{name}");
                if name.starts_with("test_") && !names.contains(&full) {
                    names.push(full);
                }
            }
        }
    }
    Ok(names
        .into_iter()
        .map(|rule| {
            let value = engine.eval_rule(rule.clone());
            let name = rule.trim_start_matches("data.").to_owned();
            match value {
                Ok(value) => TestResult { name, passed: value == regorus::Value::Bool(true), error: None },
                Err(e) => TestResult {
                    name,
                    passed: false,
                    error: Some(CompileError::of(&e.to_string()).to_string()),
                },
            }
        })
        .collect())
}

fn in_package(text: &str, package: &str) -> bool {
    let named = text.lines().find_map(|line| line.trim().strip_prefix("package "));
    named.is_some_and(|name| name.trim() == package.trim_start_matches("data."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policies_pass_their_tests() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
        let results = run(&folder).expect("runs");
        for question in crate::Question::ALL {
            assert!(results.iter().any(|r| r.name.starts_with(question.package())), "{question:?} has tests");
        }
        let failed: Vec<_> = results.iter().filter(|r| !r.passed).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }

    #[test]
    fn a_test_that_is_not_true_fails() {
        let files = [(
            PathBuf::from("x.rego"),
            "package x\nimport rego.v1\ntest_no if 1 == 2\ntest_yes if 1 == 1\n".to_owned(),
        )];
        let results = run_together(&files).expect("runs");
        let passed: Vec<(&str, bool)> = results.iter().map(|r| (r.name.as_str(), r.passed)).collect();
        assert_eq!(passed, [("x.test_no", false), ("x.test_yes", true)]);
    }
}
