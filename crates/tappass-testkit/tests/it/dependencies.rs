//! The direction of the crates' arrows, and what must not come in with a dependency.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::{listed_crates, read, root};

/// What must not be in the tree, and why.
const BANNED: [(&str, &str); 6] = [
    ("ring", "one crypto library: aws-lc-rs"),
    ("openssl", "one TLS library: rustls"),
    ("openssl-sys", "one TLS library: rustls"),
    ("native-tls", "one TLS library: rustls"),
    ("serde_yaml", "unmaintained: serde-saphyr"),
    ("serde_yml", "unmaintained: serde-saphyr"),
];

/// What clashes or swells when it is there twice.
const ONCE: [&str; 3] = ["libsqlite3-sys", "aws-lc-sys", "rustls"];

const TESTKIT: &str = "tappass-testkit";

/// What cargo says when asked about the workspace.
fn cargo(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO")).args(arguments).arg("--locked").current_dir(root()).output();
    let out = out.expect("cargo runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("a list")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a text")
}

/// Every package that is built here with the features in use, as (name, version). `cargo tree` and not
/// `cargo metadata`, whose tree also holds optional packages that no one switched on.
fn resolved() -> BTreeSet<(String, String)> {
    let tree = cargo(&["tree", "--workspace", "--edges=normal,build,dev", "--prefix=none", "--format={p}"]);
    let packages = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    let packages: BTreeSet<_> = packages.collect();
    assert!(packages.iter().any(|(name, _)| name == "serde"), "this is not the tree: {tree}");
    packages
}

/// The workspace's own crates with what they depend on among themselves: (crate, dependency, is it dev).
fn arrows() -> Vec<(String, String, bool)> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version=1", "--no-deps"])).expect("JSON");
    let packages = list(&metadata, "packages");
    let names: BTreeSet<_> = packages.iter().map(|p| text(p, "name")).collect();
    let mut arrows = Vec::new();
    for package in packages {
        for dependency in list(package, "dependencies") {
            let name = text(dependency, "name");
            if names.contains(name) {
                arrows.push((text(package, "name").to_owned(), name.to_owned(), dependency["kind"] == "dev"));
            }
        }
    }
    arrows
}

#[test]
fn arrows_point_down_the_list() {
    let order = listed_crates();
    let place = |name: &str| order.iter().position(|listed| listed == name);
    let arrows = arrows();
    assert!(arrows.len() > order.len(), "too few arrows to be the workspace: {arrows:?}");
    for (from, to, dev) in arrows {
        // The bench stands outside the list and may use all of it.
        let Some(from_place) = place(&from) else { continue };
        if to == TESTKIT {
            assert!(dev, "{from} depends on {TESTKIT} outside [dev-dependencies]");
            continue;
        }
        let to_place = place(&to).unwrap_or_else(|| panic!("{to} is missing in crates/README.md"));
        assert!(from_place < to_place, "{from} depends on {to}, which stands above it in crates/README.md");
    }
}

#[test]
fn every_crate_is_listed() {
    let mut listed: BTreeSet<_> = listed_crates().into_iter().collect();
    assert!(read("crates/README.md").contains(TESTKIT));
    listed.insert(TESTKIT.to_owned());
    let there: BTreeSet<_> = std::fs::read_dir(root().join("crates"))
        .expect("crates")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("text"))
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn banned_dependencies_stay_out() {
    let tree = resolved();
    for (banned, why) in BANNED {
        let found = tree.iter().find(|(name, _)| name == banned);
        assert!(found.is_none(), "{banned} is in the tree ({why}): cargo tree --workspace -i {banned}");
    }
}

#[test]
fn native_libraries_are_there_once() {
    let tree = resolved();
    for once in ONCE {
        let copies: Vec<_> = tree.iter().filter(|(name, _)| name == once).collect();
        assert_eq!(copies.len(), 1, "{once}: {copies:?}");
    }
}
