//! Paths as tools take them: where they lead, without looking at a file system.

use std::borrow::Cow;

use super::snake;
use crate::steps::shared::glob;

/// A path with `/` between its parts, without the disguises that readers undo: percent-encoding, backslashes, wide
/// dots and slashes, `file://`.
fn plain(path: &str) -> String {
    let mut text = Cow::Borrowed(path.trim());
    for _ in 0..3 {
        match undo_percent(&text) {
            Some(undone) => text = Cow::Owned(undone),
            None => break,
        }
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '\u{2044}' | '\u{2215}' | '\u{ff0f}' | '\u{ff3c}' => out.push('/'),
            '\u{2024}' | '\u{fe52}' | '\u{ff0e}' => out.push('.'),
            '\u{2025}' => out.push_str(".."),
            '\u{ff5e}' => out.push('~'),
            c => out.push(c),
        }
    }
    match out.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("file://") => out.split_off(7),
        _ => out,
    }
}

/// `%2e` and the like undone once; `None` where there is nothing to undo.
fn undo_percent(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return None;
    }
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let byte = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let byte = byte.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    let undone = String::from_utf8_lossy(&out).into_owned();
    (undone != text).then_some(undone)
}

fn is_absolute(plain: &str) -> bool {
    plain.starts_with('/') || plain.as_bytes().get(1) == Some(&b':')
}

/// Whether a path leads above where it starts, or is absolute and goes up: the shape of a traversal.
#[must_use]
pub fn climbs(path: &str) -> bool {
    let plain = plain(path);
    let absolute = is_absolute(&plain);
    let mut depth = 0_i32;
    for part in plain.split('/') {
        match part.trim_end() {
            "" | "." => {}
            // `....//` is what remains of `../` after a careless filter, or before one.
            ".." | "...." if absolute => return true,
            ".." | "...." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

/// Whether a path stays inside one of the roots. A relative one is taken to start there; `..`, `~` and a NUL never
/// stay.
#[must_use]
pub fn inside(path: &str, roots: &[String]) -> bool {
    let plain = plain(path);
    if plain.contains('\0') || plain.starts_with('~') || plain.split('/').any(|part| part.trim_end() == "..")
    {
        return false;
    }
    if !is_absolute(&plain) {
        return true;
    }
    let parts = |path: &str| -> Vec<String> {
        path.split('/').filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
    };
    let path = parts(&plain);
    roots.iter().any(|root| path.starts_with(&parts(&root.replace('\\', "/"))))
}

/// Whether an argument is a path by its name.
pub fn is_path_key(key: &str) -> bool {
    const WORDS: [&str; 16] = [
        "path",
        "paths",
        "file",
        "files",
        "filename",
        "filenames",
        "filepath",
        "dir",
        "directory",
        "folder",
        "src",
        "source",
        "dst",
        "dest",
        "destination",
        "cwd",
    ];
    let key = snake(key);
    WORDS.contains(&key.as_str())
        || ["_path", "_file", "_dir", "_directory", "_folder"].iter().any(|end| key.ends_with(end))
}

/// Whether a text looks like a path, whatever the argument is called.
pub fn looks_like_path(text: &str) -> bool {
    text.len() < 4096
        && !text.contains(char::is_whitespace)
        && !text.contains("://")
        && (text.contains(['/', '\\'])
            || text.starts_with(['.', '~'])
            || text.contains("%2f")
            || text.contains("%2F"))
}

/// Places that no tool has a reason to touch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Zones(pub Vec<String>);

impl Zones {
    /// Keys, credentials, the system's own files.
    #[must_use]
    pub fn shipped() -> Vec<String> {
        [
            "/etc/*",
            "/proc/*",
            "/sys/*",
            "/boot/*",
            "/root/*",
            "/dev/sd*",
            "/dev/mem",
            "/var/run/docker.sock",
            "/run/docker.sock",
            "/var/run/secrets/*",
            "?:/windows/*",
            "*/.ssh/*",
            "*/.ssh",
            "*/.aws/*",
            "*/.azure/*",
            "*/.config/gcloud/*",
            "*/.kube/*",
            "*/.gnupg/*",
            "*/.docker/config.json",
            "*/.netrc",
            "*/.pgpass",
            "*/.npmrc",
            "*/.pypirc",
            "*/.git-credentials",
            "*/.env",
            "*/.env.*",
            "*/id_rsa*",
            "*/id_ed25519*",
            "*/.bash_history",
            "*/.zsh_history",
        ]
        .map(str::to_owned)
        .into()
    }

    /// The zone that a path leads into.
    #[must_use]
    pub fn hit(&self, path: &str) -> Option<&str> {
        let plain = plain(path).to_lowercase();
        let mut parts: Vec<&str> = Vec::new();
        for part in plain.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        let drive = plain.as_bytes().get(1) == Some(&b':');
        // What is relative begins with a dot, so that `etc/x` is not `/etc/x`.
        let start = if drive {
            ""
        } else if plain.starts_with('/') {
            "/"
        } else {
            "./"
        };
        let clean = start.to_owned() + &parts.join("/");
        // `$HOME/.ssh` and `~/.ssh` are found by what follows.
        let folder = format!("{clean}/");
        self.0.iter().map(String::as_str).find(|zone| glob(zone, &clean) || glob(zone, &folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traversal_in_its_disguises() {
        for bad in [
            "../x",
            "a/../../x",
            "..\\..\\windows",
            "/srv/../etc/passwd",
            "%2e%2e%2fetc",
            "%252e%252e/x",
            "....//x",
            "file:///srv/../x",
            "C:\\a\\..\\b",
            "\u{ff0e}\u{ff0e}/x",
            "./../x",
        ] {
            assert!(climbs(bad), "{bad}");
        }
        for fine in ["a/b", "./a", "a/../b", "/srv/app/x.txt", "C:/a", "..config/x", "a..b", "https", "x...y"]
        {
            assert!(!climbs(fine), "{fine}");
        }
    }

    #[test]
    fn inside_means_inside() {
        let roots = ["/srv/project".to_owned()];
        for fine in ["a.txt", "./a/b", "/srv/project", "/srv/project/a", "/srv//project/./a"] {
            assert!(inside(fine, &roots), "{fine}");
        }
        for bad in [
            "/srv/projects/a",
            "/srv",
            "/etc/passwd",
            "a/../../x",
            "/srv/project/../x",
            "~/x",
            "a\0b",
            "C:/x",
            "/srv/project/%2e%2e/x",
            "file:///etc/passwd",
        ] {
            assert!(!inside(bad, &roots), "{bad}");
        }
    }

    #[test]
    fn zones() {
        let zones = Zones(Zones::shipped());
        for bad in [
            "/etc/shadow",
            "/etc",
            "//etc//passwd",
            "/srv/../etc/passwd",
            "~/.ssh/id_rsa",
            "$HOME/.aws/credentials",
            ".env",
            "app/.env.local",
            "C:\\Windows\\System32",
            "/ETC/passwd",
            "/proc/self/environ",
            "/home/x/.kube/config",
        ] {
            assert!(zones.hit(bad).is_some(), "{bad}");
        }
        for fine in ["etc/x", "/srv/app/config.yaml", "environment.ts", "docs/.envelope", "/home/x/notes"] {
            assert!(zones.hit(fine).is_none(), "{fine}: {:?}", zones.hit(fine));
        }
    }
}
