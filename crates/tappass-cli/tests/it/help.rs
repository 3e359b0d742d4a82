//! Help is read by people and quoted in documents: a change to it shows here.

use std::{fs, path::Path};

use clap::CommandFactory as _;
use tappass_cli::{Cli, help};

#[test]
fn the_help_is_grouped_by_who_uses_a_command() {
    let help = help::grouped(Cli::command()).term_width(100).render_help().to_string();
    insta::assert_snapshot!(help);
}

/// The page holds the help of every command, so this is the snapshot of each of them.
#[test]
fn the_reference_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/cli.md");
    let fresh = help::reference(Cli::command());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &fresh).expect("written");
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    assert!(published == fresh, "docs/reference/cli.md is stale: run the test with UPDATE=1");
}
