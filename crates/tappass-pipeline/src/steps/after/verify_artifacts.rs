//! Looks at what an answer brings that somebody may run or install.

use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_model::{Exchange, Finding, OnDetection, Origin, Outcome};

use super::shared::{is_json, summary};
use crate::{
    artifacts::{Code, Verdict, code, embedded, judge, load, type_of, wanted},
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// Shown of a hash: enough to find it, 64 bits.
const SHOWN: usize = 16;
/// Artifacts that a message lists.
const LISTED: usize = 8;

/// # What it does
/// Reads the code in an answer and in the commands of its tool calls: what it installs (`pip`, `npm`, `cargo`, `go`
/// and their like, `requirements.txt`, `package.json`, `Cargo.toml`) and what it imports. A name that models are known
/// to invent is a hit; so is an installed name that is one or two letters from a well-known one and not known itself.
/// Files that stand in the answer as data URLs are told by their first bytes. Every block and file is recorded with
/// its type and SHA-256.
/// # Why
/// A package that a model made up can be registered by anybody, and is then installed by whoever follows the answer.
/// # On a hit
/// Notifies unless configured otherwise. `block` holds a streamed answer back until it is complete.
/// # Limits
/// Knows lists, not registries: 15,000 names of PyPI, 8,000 of npm, 2,900 of Go, some 500 crates, and about 210 invented
/// names, as of 2026 (`data/packages/`). A name that no list knows passes unless `unknown` is set, and a rare real
/// package that is spelled like a famous one is a hit: put it into `allow`. Imports are only held against the invented
/// names, since a project has modules of its own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyArtifacts {
    /// Whether installing a package that no list knows is a hit.
    pub unknown: bool,
    /// Packages that are never a hit, such as the organisation's own.
    pub allow: Vec<String>,
    /// Types of embedded files that are a hit: `windows-program`, `linux-program`, `mac-program`, `java-class`, `wasm`,
    /// `script`, `zip`, `pdf`, `ms-office`, `image/png` …
    pub blocked_types: Vec<String>,
    /// SHA-256 of files and code blocks that are a hit, in hexadecimal.
    pub blocked_hashes: Vec<String>,
}

impl Default for VerifyArtifacts {
    fn default() -> Self {
        let types = ["windows-program", "linux-program", "mac-program", "java-class", "script"];
        Self {
            unknown: false,
            allow: Vec::new(),
            blocked_types: types.map(str::to_owned).to_vec(),
            blocked_hashes: Vec::new(),
        }
    }
}

impl Define for VerifyArtifacts {
    const META: Meta = Meta {
        id: "verify_artifacts",
        position: 770,
        phase: Phase::After,
        category: Category::ResponseSafety,
        summary: "Files and code in the answer: type, hash, packages that do not exist",
        threats: &["LLM03", "LLM09", "ASI04"],
        on_detection: OnDetection::Notify,
    };
    const ABOUT: About = About::Answer;

    fn prepare(&mut self) -> Result<(), String> {
        for hash in &mut self.blocked_hashes {
            if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err("`blocked_hashes` must be SHA-256 in 64 hexadecimal digits".into());
            }
            hash.make_ascii_lowercase();
        }
        load();
        Ok(())
    }
}

impl VerifyArtifacts {
    fn packages(&self, code: &Code<'_>, findings: &mut Vec<Finding>) {
        for package in wanted(code) {
            if self.allow.contains(&package.name) {
                continue;
            }
            let name: String = package.name.chars().take(80).collect();
            let (kind, sample) = match judge(package.ecosystem, &package.name) {
                Verdict::Invented => ("INVENTED_PACKAGE", name),
                Verdict::LooksLike(known) if package.installed => {
                    ("LOOKALIKE_PACKAGE", format!("{name}, not {known}"))
                }
                Verdict::Unknown if package.installed && self.unknown => ("UNKNOWN_PACKAGE", name),
                _ => continue,
            };
            if !findings.iter().any(|f| f.kind == kind && f.sample == sample) {
                findings.push(Finding::about(Self::META.id, kind, sample));
            }
        }
    }

    /// An artifact's line in the record; a finding where it is unwanted.
    fn artifact(&self, kind: &str, bytes: &[u8], is_file: bool, findings: &mut Vec<Finding>) -> String {
        let hash = hex::encode(digest(&SHA256, bytes));
        let line = format!("{kind} sha256:{}", &hash[..SHOWN]);
        if self.blocked_hashes.contains(&hash) {
            findings.push(Finding::about(Self::META.id, "ARTIFACT_HASH", line.clone()));
        }
        if is_file && self.blocked_types.iter().any(|t| t == kind) {
            findings.push(Finding::about(Self::META.id, "ARTIFACT_TYPE", line.clone()));
        }
        line
    }
}

/// The strings of a tool call's arguments: each may be a command or a file's content.
fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(object) => object.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

impl Pure for VerifyArtifacts {
    fn run(&self, x: &Exchange) -> Outcome {
        let Some(answer) = &x.answer else { return Outcome::pass() };
        let (mut findings, mut artifacts) = (Vec::new(), Vec::new());
        for segment in &answer.segments {
            if segment.origin == Origin::ToolArguments {
                let mut texts = Vec::new();
                match serde_json::from_str(&segment.text) {
                    Ok(arguments) if is_json(&segment.pointer) => strings(&arguments, &mut texts),
                    _ => texts.push(segment.text.clone()),
                }
                for text in &texts {
                    self.packages(&Code { language: "", text, block: true }, &mut findings);
                }
                continue;
            }
            for code in code(&segment.text) {
                self.packages(&code, &mut findings);
                if code.block {
                    let tag: String =
                        code.language.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
                    let kind = if tag.is_empty() { "code" } else { &tag };
                    artifacts.push(self.artifact(kind, code.text.as_bytes(), false, &mut findings));
                }
            }
            for file in embedded(&segment.text) {
                artifacts.push(self.artifact(type_of(&file), &file, true, &mut findings));
            }
        }
        let more = artifacts.len().saturating_sub(LISTED);
        artifacts.truncate(LISTED);
        let mut listed = artifacts.join(", ");
        if more > 0 {
            listed.push_str(&format!(" and {more} more"));
        }
        if findings.is_empty() {
            return if listed.is_empty() { Outcome::pass() } else { Outcome::pass_with(listed) };
        }
        let with = if listed.is_empty() { String::new() } else { format!(" ({listed})") };
        Outcome::hit(format!("in the answer: {}{with}", summary(&findings)), findings)
    }

    fn holds(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::answered;

    fn kinds(step: &VerifyArtifacts, text: &str) -> Vec<String> {
        step.run(&answered(text)).findings.iter().map(|f| format!("{} {}", f.kind, f.sample)).collect()
    }

    #[test]
    fn lets_known_packages_and_own_modules_pass_and_records_what_came() {
        let text = "```python\nimport requsts_helpers, numpy\n```\nand `pip install requests our-own-thing`";
        let outcome = VerifyArtifacts::default().run(&answered(text));
        assert!(!outcome.detected && outcome.message.starts_with("python sha256:"), "{outcome:?}");
        assert_eq!(VerifyArtifacts::default().run(&answered("No code here.")), Outcome::pass());
    }

    #[test]
    fn catches_invented_names_look_alikes_and_programs() {
        let step = VerifyArtifacts::default();
        assert_eq!(kinds(&step, "`npm install fast-jsonwebtoken`"), ["INVENTED_PACKAGE fast-jsonwebtoken"]);
        assert_eq!(
            kinds(&step, "```sh\npip install reqeusts\n```"),
            ["LOOKALIKE_PACKAGE reqeusts, not requests"]
        );
        let program = kinds(&step, "[tool](data:application/octet-stream;base64,f0VMRgIBAQA=)");
        assert!(program.len() == 1 && program[0].starts_with("ARTIFACT_TYPE linux-program"), "{program:?}");
    }

    #[test]
    fn reads_the_commands_of_tool_calls_and_its_own_lists() {
        let mut x = answered(r#"{"cmd": ["sh", "-c", "cd x && cargo add cyclonedx-rs"]}"#);
        let segment = &mut x.answer.as_mut().expect("an answer").segments[0];
        segment.origin = Origin::ToolArguments;
        segment.pointer = "/choices/0/message/tool_calls/0/function/arguments".into();
        let outcome = VerifyArtifacts::default().run(&x);
        assert_eq!(outcome.findings[0].kind, "INVENTED_PACKAGE");
        let strict =
            VerifyArtifacts { unknown: true, allow: vec!["our-own".into()], ..VerifyArtifacts::default() };
        assert_eq!(
            kinds(&strict, "`pip install our-own never-heard-of-it`"),
            ["UNKNOWN_PACKAGE never-heard-of-it"]
        );
        let hash = hex::encode(digest(&SHA256, b"rm -rf /\n"));
        let mut listed =
            VerifyArtifacts { blocked_hashes: vec![hash.to_uppercase()], ..VerifyArtifacts::default() };
        listed.prepare().expect("fits");
        assert_eq!(kinds(&listed, "```sh\nrm -rf /\n```").len(), 1);
        assert!(
            VerifyArtifacts { blocked_hashes: vec!["x".into()], ..VerifyArtifacts::default() }
                .prepare()
                .is_err()
        );
    }
}
