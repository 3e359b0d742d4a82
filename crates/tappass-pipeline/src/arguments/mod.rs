//! What the arguments of tool calls may be: rules per tool, and what holds for every tool.

mod known;
mod net;
mod path;
mod rule;
mod url;

use std::borrow::Cow;

use serde_json::{Value, json};
use tappass_model::{ToolCall, json::parse_strict};

pub use known::{Kind, Kinds, recipients};
pub use net::{Network, is_internal};
pub use path::{Zones, climbs, inside};
pub use rule::{JsonType, Rule, Rules};
pub use url::{UrlPolicy, looks_like_url};

/// Why a tool call may not be run. Holds names of tools and arguments, never what they carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// For findings: `PATH_TRAVERSAL`, `URL_INTERNAL`, `ARGUMENT` …
    pub kind: &'static str,
    /// One sentence.
    pub why: Cow<'static, str>,
}

impl Objection {
    /// An objection.
    #[must_use]
    pub fn new(kind: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, why: why.into() }
    }
}

/// A call's arguments as a value. What is not JSON is one text, `input`: so custom tools take it.
///
/// # Errors
/// JSON that two readers could take differently (a key that stands twice) or that is cut off: it cannot be judged.
pub fn read(call: &ToolCall) -> Result<Value, Objection> {
    let text = call.arguments.trim();
    if text.is_empty() {
        return Ok(json!({}));
    }
    if !text.starts_with(['{', '[']) {
        return Ok(json!({"input": call.arguments}));
    }
    parse_strict(text.as_bytes())
        .map_err(|_| Objection::new("UNREADABLE_ARGUMENTS", "its arguments cannot be read as JSON"))
}

/// A value inside arguments, and where: `files.path` (positions in arrays are left out).
pub struct Leaf<'a> {
    /// The keys that lead there, with dots between.
    pub path: String,
    /// What stands there.
    pub value: &'a Value,
    /// Whether it is an item of a list.
    pub item: bool,
}

impl Leaf<'_> {
    /// The last key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

/// Every value of the arguments, those of objects and arrays before what they hold.
pub fn values(arguments: &Value) -> Vec<Leaf<'_>> {
    let mut all = Vec::new();
    walk(arguments, "", &mut all);
    all
}

fn walk<'a>(value: &'a Value, path: &str, all: &mut Vec<Leaf<'a>>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                all.push(Leaf { path: path.clone(), value, item: false });
                walk(value, &path, all);
            }
        }
        Value::Array(items) => {
            for value in items {
                all.push(Leaf { path: path.to_owned(), value, item: true });
                walk(value, path, all);
            }
        }
        _ => {}
    }
}

/// The texts that are paths, by the name of their argument or by how they look.
#[must_use]
pub fn path_values(arguments: &Value) -> Vec<&str> {
    let leaves = values(arguments).into_iter();
    let paths = leaves.filter_map(|leaf| {
        let text = leaf.value.as_str()?;
        (path::is_path_key(leaf.key()) || path::looks_like_path(text)).then_some(text)
    });
    paths.collect()
}

/// A key as people mean it: `filePath`, `file-path` and `FILE_PATH` are `file_path`.
#[must_use]
pub fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut lower_before = false;
    for c in name.chars() {
        if c.is_uppercase() && lower_before {
            out.push('_');
        }
        lower_before = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() { out.extend(c.to_lowercase()) } else { out.push('_') }
    }
    out
}

/// A name that is shown: short, and without control characters.
#[must_use]
pub fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(arguments: &str) -> ToolCall {
        ToolCall { id: String::new(), name: "t".into(), arguments: arguments.into() }
    }

    #[test]
    fn arguments_are_read_as_every_reader_would() {
        assert_eq!(read(&call("")), Ok(json!({})));
        assert_eq!(read(&call("SELECT 1")), Ok(json!({"input": "SELECT 1"})));
        assert!(read(&call(r#"{"path": "/a", "path": "/b"}"#)).is_err(), "which of the two would count?");
        assert!(read(&call(r#"{"path": "/a"#)).is_err());
    }

    #[test]
    fn every_value_has_its_path() {
        let arguments = json!({"files": [{"path": "a"}, {"path": "b"}], "n": 1});
        let paths: Vec<String> = values(&arguments).into_iter().map(|leaf| leaf.path).collect();
        assert_eq!(paths, ["files", "files", "files.path", "files", "files.path", "n"]);
        assert_eq!(snake("filePath"), "file_path");
        assert_eq!(snake("mcp__fs__Read-File2"), "mcp__fs__read_file2");
    }
}
