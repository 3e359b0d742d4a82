//! Code in a text, and the packages that it installs or imports. Reads lines, does not parse languages.

use serde_json::Value;

use super::names::Ecosystem;

/// Most names that are read of one piece of code.
const MOST: usize = 200;

/// A piece of code in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code<'a> {
    /// The language its fence names, as written; empty where none does.
    pub language: &'a str,
    /// The code.
    pub text: &'a str,
    /// Whether it has a fence; otherwise it stands in a line.
    pub block: bool,
}

/// A package that code wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whose.
    pub ecosystem: Ecosystem,
    /// Its name, without version.
    pub name: String,
    /// Whether it is installed; otherwise it is imported, and may be a module of the project itself.
    pub installed: bool,
}

/// The code in a Markdown text: fenced blocks, and spans between backticks.
#[must_use]
pub fn code(text: &str) -> Vec<Code<'_>> {
    let mut found = Vec::new();
    let mut open: Option<(&str, &str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let fence = ["```", "~~~"].into_iter().find(|f| trimmed.starts_with(f));
        match (open, fence) {
            (Some((mark, language, start)), Some(f)) if f == mark => {
                found.push(Code { language, text: &text[start..at], block: true });
                open = None;
            }
            (None, Some(f)) => {
                let language =
                    trimmed.trim_start_matches(['`', '~']).split_whitespace().next().unwrap_or_default();
                open = Some((f, language, at + line.len()));
            }
            (None, None) => {
                let spans = line.split('`').skip(1).step_by(2).filter(|s| !s.is_empty());
                found.extend(spans.map(|text| Code { language: "", text, block: false }));
            }
            _ => {}
        }
        at += line.len();
    }
    // A fence that nothing closed: the answer was cut, the code is there.
    if let Some((_, language, start)) = open {
        found.push(Code { language, text: &text[start..], block: true });
    }
    found
}

/// The packages that a piece of code installs or imports.
#[must_use]
pub fn wanted(code: &Code<'_>) -> Vec<Wanted> {
    let language = code.language.to_ascii_lowercase();
    let mut found = Vec::new();
    for line in code.text.lines() {
        commands(line, &mut found);
    }
    match language.as_str() {
        "python" | "py" | "python3" | "ipython" => code.text.lines().for_each(|l| python(l, &mut found)),
        "javascript" | "js" | "typescript" | "ts" | "jsx" | "tsx" | "mjs" => {
            code.text.lines().for_each(|l| javascript(l, &mut found));
        }
        "go" | "golang" => code.text.lines().for_each(|l| go(l, &mut found)),
        "toml" => cargo_toml(code.text, &mut found),
        "json" => package_json(code.text, &mut found),
        "" | "txt" | "text" | "requirements" | "requirements.txt" if code.block => {
            code.text.lines().for_each(|l| requirement(l, &mut found));
        }
        _ => {}
    }
    found.truncate(MOST);
    found
}

/// Commands that install, what they end with, and whose packages they take.
const COMMANDS: &[(&str, Ecosystem)] = &[
    ("pip install", Ecosystem::PyPi),
    ("pip3 install", Ecosystem::PyPi),
    ("pipx install", Ecosystem::PyPi),
    ("uv add", Ecosystem::PyPi),
    ("poetry add", Ecosystem::PyPi),
    ("pdm add", Ecosystem::PyPi),
    ("npm install", Ecosystem::Npm),
    ("npm i", Ecosystem::Npm),
    ("npm add", Ecosystem::Npm),
    ("pnpm add", Ecosystem::Npm),
    ("pnpm install", Ecosystem::Npm),
    ("yarn add", Ecosystem::Npm),
    ("bun add", Ecosystem::Npm),
    ("cargo add", Ecosystem::Crates),
    ("cargo install", Ecosystem::Crates),
    ("go get", Ecosystem::Go),
    ("go install", Ecosystem::Go),
];

/// Flags whose next word is no package.
const TAKES_A_VALUE: &[&str] = &[
    "-r",
    "-c",
    "-e",
    "-i",
    "-t",
    "--requirement",
    "--constraint",
    "--index-url",
    "--extra-index-url",
    "--target",
    "--prefix",
    "--registry",
    "--features",
    "-F",
    "--git",
    "--branch",
    "--tag",
    "--rev",
    "--path",
    "--version",
    "--vers",
    "--group",
    "-G",
    "--package",
    "-p",
];

fn commands(line: &str, found: &mut Vec<Wanted>) {
    for (command, ecosystem) in COMMANDS {
        for (at, _) in line.match_indices(command) {
            let before = line[..at].chars().next_back();
            let rest = &line[at + command.len()..];
            if before.is_some_and(char::is_alphanumeric) || !rest.starts_with([' ', '\t']) {
                continue;
            }
            let mut skip = false;
            for word in rest.split_whitespace() {
                if matches!(word, "&&" | "||" | ";" | "|" | "#" | "\\" | ">" | "<") {
                    break;
                }
                if std::mem::take(&mut skip) {
                    continue;
                }
                if word.starts_with('-') {
                    skip = TAKES_A_VALUE.contains(&word);
                    continue;
                }
                let last = word.ends_with([';', ')', '`']);
                let word = word.trim_matches(|c| matches!(c, '"' | '\'' | '`' | ';' | ')' | '('));
                found.extend(package(*ecosystem, word));
                if last {
                    break;
                }
            }
        }
    }
}

/// The name in what a command is given; `None` for a path, an address or what is no name.
fn package(ecosystem: Ecosystem, word: &str) -> Option<Wanted> {
    if word.contains("://") || word.starts_with(['.', '/', '~', '$', '<', '{', '%']) || word.contains('+') {
        return None;
    }
    let name = match ecosystem {
        Ecosystem::PyPi => word.split(['=', '<', '>', '!', '~', '[', ';', '@']).next().unwrap_or_default(),
        Ecosystem::Npm => match word.get(1..).and_then(|w| w.find('@')) {
            Some(at) => &word[..=at],
            None => word,
        },
        Ecosystem::Crates | Ecosystem::Go => word.split('@').next().unwrap_or_default(),
    };
    let name = if ecosystem == Ecosystem::Go { name.trim_end_matches("/...") } else { name };
    let scoped = name.strip_prefix('@').and_then(|n| n.split_once('/'));
    let fits = |s: &str| {
        s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let valid = match ecosystem {
        Ecosystem::Npm => scoped.map_or_else(|| fits(name), |(scope, name)| fits(scope) && fits(name)),
        Ecosystem::Go => is_module(name),
        _ => fits(name),
    };
    valid.then(|| Wanted { ecosystem, name: name.to_owned(), installed: true })
}

/// A path whose first part is a host.
fn is_module(path: &str) -> bool {
    let Some((host, rest)) = path.split_once('/') else { return false };
    host.contains('.') && !rest.is_empty() && !path.contains(char::is_whitespace)
}

fn imported(ecosystem: Ecosystem, name: &str) -> Option<Wanted> {
    (!name.is_empty()).then(|| Wanted { ecosystem, name: name.to_owned(), installed: false })
}

/// `import a.b as c, d` and `from a.b import c`; relative imports are the project's own.
fn python(line: &str, found: &mut Vec<Wanted>) {
    let line = line.trim();
    let first = |path: &str| {
        let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
        path[..end].to_owned()
    };
    if let Some(rest) = line.strip_prefix("from ") {
        found.extend(imported(Ecosystem::PyPi, &first(rest.trim_start())));
    } else if let Some(rest) = line.strip_prefix("import ") {
        found.extend(rest.split(',').filter_map(|part| imported(Ecosystem::PyPi, &first(part.trim_start()))));
    }
}

/// `from 'x'`, `import 'x'`, `require('x')`: what is not relative, an alias or built in.
fn javascript(line: &str, found: &mut Vec<Wanted>) {
    for before in ["from ", "import ", "require(", "import("] {
        for (at, _) in line.match_indices(before) {
            let rest = line[at + before.len()..].trim_start();
            let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
            let Some(path) = rest[1..].split(quote).next() else { continue };
            if path.starts_with(['.', '/', '~', '#']) || path.starts_with("@/") || path.contains(':') {
                continue;
            }
            let parts = if path.starts_with('@') { 2 } else { 1 };
            let name: Vec<&str> = path.split('/').take(parts).collect();
            found.extend(imported(Ecosystem::Npm, &name.join("/")));
        }
    }
}

/// `import "x/y"`, or a line of an import block.
fn go(line: &str, found: &mut Vec<Wanted>) {
    let line = line.trim();
    let Some(start) = line.find('"') else { return };
    let path = line[start + 1..].split('"').next().unwrap_or_default();
    let alone = line[..start].split_whitespace().filter(|w| *w != "import").count() <= 1;
    if alone && line.ends_with('"') && is_module(path) {
        found.extend(imported(Ecosystem::Go, path));
    }
}

/// The keys of the dependency tables of a `Cargo.toml`.
fn cargo_toml(text: &str, found: &mut Vec<Wanted>) {
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
            let tables = ["dependencies", "dev-dependencies", "build-dependencies", "workspace.dependencies"];
            inside = tables.contains(&table);
            let own = tables.iter().find_map(|t| table.strip_prefix(t)?.strip_prefix('.'));
            found.extend(own.and_then(|name| package(Ecosystem::Crates, name)));
        } else if inside && let Some((name, _)) = line.split_once('=') {
            found.extend(package(Ecosystem::Crates, name.trim().trim_matches('"')));
        }
    }
}

/// The dependencies of a `package.json`.
fn package_json(text: &str, found: &mut Vec<Wanted>) {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    for key in ["dependencies", "devDependencies", "peerDependencies", "optionalDependencies"] {
        for name in value[key].as_object().into_iter().flat_map(serde_json::Map::keys) {
            found.extend(package(Ecosystem::Npm, name));
        }
    }
}

/// A line of a `requirements.txt`: a name and a version.
fn requirement(line: &str, found: &mut Vec<Wanted>) {
    let line = line.split('#').next().unwrap_or_default().trim();
    if ["==", ">=", "~=", "<="].iter().any(|op| line.contains(op)) && !line.contains(' ') {
        found.extend(package(Ecosystem::PyPi, line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let of = |w: Wanted| format!("{}{:?} {}", if w.installed { "+" } else { "" }, w.ecosystem, w.name);
        code(text).iter().flat_map(wanted).map(of).collect()
    }

    #[test]
    fn reads_commands_in_code_and_not_in_prose() {
        let text = "You can pip install nothing here. Run `pip install -U requests[socks]>=2 -r x.txt \"flask\"`.\n\
            ```bash\n$ npm i --save-dev @types/node@20 lodash && npm install ./local\ncargo add serde --features derive\n\
            go get github.com/a/b@latest # go get c\npip install git+https://x/y\n```\n";
        assert_eq!(
            names(text),
            [
                "+PyPi requests",
                "+PyPi flask",
                "+Npm @types/node",
                "+Npm lodash",
                "+Crates serde",
                "+Go github.com/a/b"
            ]
        );
    }

    #[test]
    fn reads_imports_and_manifests() {
        for (text, expected) in [
            (
                "```python\nimport os.path, numpy as np\nfrom .own import x\nfrom a.b import c\n```",
                "PyPi os|PyPi numpy|PyPi a",
            ),
            (
                "```ts\nimport x from '@a/b/c'\nconst y = require(\"z/q\")\nimport './own'\nimport fs from 'node:fs'\n```",
                "Npm @a/b|Npm z",
            ),
            (
                "```go\nimport (\n  \"fmt\"\n  m \"github.com/a/b/c\"\n)\nx := \"not.a/module\"\n```",
                "Go github.com/a/b/c",
            ),
            (
                "```toml\n[dependencies]\nserde = \"1\"\n[dependencies.tokio]\nversion = \"1\"\n[tool.x]\ny = 1\n```",
                "+Crates serde|+Crates tokio",
            ),
            ("```json\n{\"dependencies\": {\"a-b\": \"1\"}}\n```", "+Npm a-b"),
            ("```\nflask==3.0 # web\nplain text == x\n```", "+PyPi flask"),
            ("```python\nimport cut", "PyPi cut"),
        ] {
            assert_eq!(names(text).join("|"), expected, "{text}");
        }
    }
}
