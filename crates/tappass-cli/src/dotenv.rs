//! `.env` files, as programs read their variables from: `NAME=value`, a line each.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{error::CliError, settings::write_private};

/// A `.env` file as it was read.
#[derive(Debug)]
pub struct Dotenv {
    path: PathBuf,
    text: String,
}

impl Dotenv {
    /// Reads a file; one that is not there is empty.
    ///
    /// # Errors
    /// It is a link, or no file, or cannot be read: what is written must not end up elsewhere.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), text: String::new() });
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {shown}")),
            Ok(found) if !found.is_file() => {
                return Err(CliError::usage(format!(
                    "{shown} is a link or no file: a key must not end up elsewhere"
                ))
                .mend("name another file with --env-file")
                .into());
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// What a variable is set to, the last line that sets it; without quotes around it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value =
            self.text.lines().rev().find_map(|line| assigned(line).filter(|(n, _)| *n == name))?.1.trim();
        let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(value)).filter(|value| !value.is_empty())
    }

    /// Sets variables and leaves every other line as it is. The file is replaced at once, for its owner only (0600).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn set(&mut self, variables: &[(&str, &str)]) -> anyhow::Result<()> {
        self.text = edited(&self.text, variables);
        write_private(&self.path, self.text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The name and the value of a line that sets a variable.
fn assigned(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some((name, value))
}

fn edited(old: &str, variables: &[(&str, &str)]) -> String {
    let end = if old.contains("\r\n") { "\r\n" } else { "\n" };
    let mut left: Vec<_> = variables.to_vec();
    let mut new = String::new();
    for line in old.lines() {
        let name = assigned(line).map(|(name, _)| name);
        let Some(&(name, value)) = variables.iter().find(|(ours, _)| Some(*ours) == name) else {
            new.push_str(line);
            new.push_str(end);
            continue;
        };
        // Where it was set twice, once is enough.
        if let Some(at) = left.iter().position(|(ours, _)| *ours == name) {
            left.remove(at);
            let export = if line.trim_start().starts_with("export ") { "export " } else { "" };
            new.push_str(&format!("{export}{name}={value}{end}"));
        }
    }
    for (name, value) in left {
        new.push_str(&format!("{name}={value}{end}"));
    }
    new
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn other_lines_stay_as_they_are() {
        let ours = [("TAPPASS_URL", "http://x"), ("TAPPASS_API_KEY", "tp_new")];
        assert_eq!(edited("", &ours), "TAPPASS_URL=http://x\nTAPPASS_API_KEY=tp_new\n");
        let old = "# mine\n\nA = \"b c\" # why\nexport TAPPASS_API_KEY='old'\nNOT_TAPPASS_URL=1\n#TAPPASS_URL=y\nTAPPASS_API_KEY=older\nlast";
        assert_eq!(
            edited(old, &ours),
            "# mine\n\nA = \"b c\" # why\nexport TAPPASS_API_KEY=tp_new\nNOT_TAPPASS_URL=1\n#TAPPASS_URL=y\nlast\nTAPPASS_URL=http://x\n"
        );
        assert_eq!(edited("A=1\r\nTAPPASS_URL=z\r\n", &ours[..1]), "A=1\r\nTAPPASS_URL=http://x\r\n");
        assert_eq!(edited(&edited(old, &ours), &ours), edited(old, &ours));
    }

    #[test]
    fn values_are_read_as_programs_read_them() {
        let text = "A=1\nexport B=\"two\"\nC='x'\nA=2\nD=\n# E=5".to_owned();
        let file = Dotenv { path: PathBuf::new(), text };
        let all = ["A", "B", "C", "D", "E"].map(|name| file.get(name));
        assert_eq!(all, [Some("2"), Some("two"), Some("x"), None, None]);
    }

    #[test]
    fn a_key_ends_up_in_that_file_only_and_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, link) = (dir.path().join(".env"), dir.path().join("link"));
        fs::write(&path, "A=1\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
        Dotenv::read(&path).expect("reads").set(&[("K", "v")]).expect("writes");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "A=1\nK=v\n");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        symlink(&path, &link).expect("linked");
        for wrong in [&link, dir.path()] {
            let told = Dotenv::read(wrong).expect_err("refused").to_string();
            assert!(told.contains("link or no file"), "{told}");
        }
    }
}
