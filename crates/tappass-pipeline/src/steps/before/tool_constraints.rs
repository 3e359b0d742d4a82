//! Holds the arguments of tool calls against rules: the organisation's own, and the flags `email` and `files`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_model::{
    Exchange, Finding, OnDetection, Outcome, ToolCall,
    flags::{EmailFlag, FilesFlag},
};
use tappass_provider::dialects;

use crate::{
    arguments::{
        Kind, Kinds, Objection, Rule, Rules, UrlPolicy, inside, path_values, read, recipients, shown,
    },
    step::{About, Category, Define, Meta, Phase, Pure},
};

/// # What it does
/// Judges the arguments of each tool call by `rules`: type, range, a list of values, globs, a regular expression,
/// folders that a path must stay in, safe web addresses, networks. The flag `email` bounds whom tools write to
/// (`mirror:<address>`: an e-mail must go to that address too), the flag `files` what they do to files; both go by
/// well-known names of tools and arguments. Here the calls in the request's history are judged; `scan_tool_calls`
/// applies the same rules to those in the answer, before an agent runs them.
/// # Why
/// A tool is as dangerous as what it is asked to do: reading a report and reading a private key are one tool.
/// # On a hit
/// Blocks, and names the tool, the argument and the rule; never the value.
/// # Limits
/// Paths are judged as they are written: a link inside a folder that leads out of it is not seen. With `files` set to
/// anything but `allow`, tools that run commands are refused, since what they do to files cannot be told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolConstraints {
    /// What arguments may be.
    pub rules: Vec<Rule>,
    /// Hosts, by name or glob, that `url_safe` lets pass although they are internal.
    pub allow_hosts: Vec<String>,
    /// The folders that the flag `files=project` means; paths that are relative count as inside.
    pub project: Vec<String>,
    /// The folders that the flag `files=sandbox` means.
    pub sandbox: Vec<String>,
    #[serde(skip)]
    ready: Rules,
}

impl Default for ToolConstraints {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            allow_hosts: Vec::new(),
            project: vec!["/workspace".into()],
            sandbox: vec!["/sandbox".into()],
            ready: Rules::default(),
        }
    }
}

impl Define for ToolConstraints {
    const META: Meta = Meta {
        id: "tool_constraints",
        position: 160,
        phase: Phase::Before,
        category: Category::AccessControl,
        summary: "Bounds what the arguments of tool calls may be",
        threats: &["LLM06", "ASI02", "ASI05"],
        on_detection: OnDetection::Block,
    };
    const ABOUT: About = About::Conversation;

    fn prepare(&mut self) -> Result<(), String> {
        self.ready = Rules::new(&self.rules, UrlPolicy { allow_hosts: self.allow_hosts.clone() })?;
        Ok(())
    }
}

impl Pure for ToolConstraints {
    fn run(&self, x: &Exchange) -> Outcome {
        if self.rules.is_empty() && x.flags.email.is_none() && x.flags.files.is_none() {
            return Outcome::pass();
        }
        let calls = dialects::of(x.request.dialect).history(&x.request.body).calls;
        let refused = calls.iter().filter_map(|past| Some((&past.call.name, self.objects(x, &past.call)?)));
        hit(Self::META.id, refused)
    }

    fn objects(&self, x: &Exchange, call: &ToolCall) -> Option<Objection> {
        let by_flags = x.flags.email.is_some() || x.flags.files.is_some();
        if !by_flags && !self.ready.speak_of(&call.name) {
            return None;
        }
        let arguments = match read(call) {
            Ok(arguments) => arguments,
            Err(objection) => return Some(objection),
        };
        if let Some(objection) = self.ready.objection(&call.name, &arguments) {
            return Some(objection);
        }
        let kinds = Kinds::of(&call.name, &arguments);
        let by_email = x.flags.email.as_ref().and_then(|flag| by_email(flag, &kinds, &arguments));
        by_email.or_else(|| self.by_files(x.flags.files?, &kinds, &arguments))
    }
}

fn by_email(flag: &EmailFlag, kinds: &Kinds, arguments: &Value) -> Option<Objection> {
    if !kinds.has(Kind::SendsMail) {
        return None;
    }
    let to = recipients(arguments);
    let why = match flag {
        EmailFlag::Allow => return None,
        EmailFlag::Block => "no e-mail may be sent in this call",
        EmailFlag::Internal(domain) => {
            let end = format!("@{}", domain.trim_start_matches('@').to_lowercase());
            if !to.is_empty() && to.iter().all(|address| address.ends_with(&end)) {
                return None;
            }
            "e-mail may only go to the domain that the flag names"
        }
        EmailFlag::Mirror(address) => {
            if to.contains(&address.to_lowercase()) {
                return None;
            }
            "e-mail must go to the address that the flag names too"
        }
    };
    Some(Objection::new("EMAIL_NOT_ALLOWED", why))
}

impl ToolConstraints {
    fn by_files(&self, flag: FilesFlag, kinds: &Kinds, arguments: &Value) -> Option<Objection> {
        let (reads, writes) = (kinds.has(Kind::ReadsFiles), kinds.has(Kind::WritesFiles));
        let no = |why: &'static str| Some(Objection::new("FILES_NOT_ALLOWED", why));
        let inside_of = |roots: &[String]| path_values(arguments).iter().all(|path| inside(path, roots));
        match flag {
            FilesFlag::Allow => None,
            _ if kinds.has(Kind::RunsCommands) => no("commands may not be run while files are bounded"),
            FilesFlag::Block if reads || writes => no("no files may be touched in this call"),
            FilesFlag::ReadOnly if writes => no("files may only be read in this call"),
            FilesFlag::Project if (reads || writes) && !inside_of(&self.project) => {
                no("files outside of the project may not be touched")
            }
            FilesFlag::Sandbox if (reads || writes) && !inside_of(&self.sandbox) => {
                no("files outside of the sandbox may not be touched")
            }
            _ => None,
        }
    }
}

/// What comes of tool calls that may not be run: each by its name and why.
pub fn hit<'a>(step: &'static str, refused: impl Iterator<Item = (&'a String, Objection)>) -> Outcome {
    let mut findings = Vec::new();
    let mut message = String::new();
    for (tool, objection) in refused {
        let tool = shown(tool);
        if message.is_empty() {
            message = format!("a call of `{tool}` may not be made: {}", objection.why);
        }
        findings.push(Finding::about(step, objection.kind, tool));
    }
    if findings.is_empty() {
        return Outcome::pass();
    }
    if findings.len() > 1 {
        message = format!("{message} (and {} more)", findings.len() - 1);
    }
    Outcome::hit(message, findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::having_called;
    use serde_json::json;
    use tappass_model::Flags;

    fn ruled(rule: Value) -> ToolConstraints {
        let mut step = ToolConstraints {
            rules: vec![serde_json::from_value(rule).expect("a rule")],
            ..ToolConstraints::default()
        };
        step.prepare().expect("compiles");
        step
    }

    fn kind(step: &ToolConstraints, flags: &str, tool: &str, arguments: &Value) -> Option<String> {
        let mut x = having_called(tool, &arguments.to_string());
        x.flags = Flags::parse(flags).expect("flags");
        step.run(&x).findings.first().map(|f| f.kind.to_string())
    }

    #[test]
    fn lets_pass_what_keeps_to_the_rules() {
        let step = ruled(json!({"tool": "pay", "argument": "amount", "max": 100}));
        assert_eq!(kind(&step, "", "pay", &json!({"amount": 99})), None);
        assert_eq!(kind(&step, "", "search", &json!({"amount": 1000})), None);
        assert_eq!(
            kind(&ToolConstraints::default(), "", "rm", &json!({"path": "/"})),
            None,
            "no rule, no flag"
        );
    }

    #[test]
    fn catches_and_says_which_without_the_value() {
        let step = ruled(json!({"tool": "pay", "argument": "amount", "max": 100}));
        let outcome = step.run(&having_called("pay", r#"{"amount": 4242}"#));
        assert!(outcome.detected && outcome.message.contains("`pay`") && outcome.message.contains("amount"));
        assert!(!format!("{outcome:?}").contains("4242"));
        let twice = having_called("pay", r#"{"amount": 1, "amount": 4242}"#);
        assert_eq!(step.run(&twice).findings[0].kind, "UNREADABLE_ARGUMENTS");
    }

    #[test]
    fn the_flag_email() {
        let step = ToolConstraints::default();
        let mail = |to: &str| json!({"to": to, "body": "hello"});
        for (flags, to, refused) in [
            ("email=allow", "x@other.com", false),
            ("email=block", "x@acme.eu", true),
            ("email=internal:acme.eu", "x@acme.eu", false),
            ("email=internal:acme.eu", "x@acme.eu, y@other.com", true),
            ("email=internal:acme.eu", "x@notacme.eu", true),
            ("email=internal:acme.eu", "", true),
            ("email=mirror:log@acme.eu", "x@other.com", true),
            ("email=mirror:log@acme.eu", "x@other.com, Log@acme.eu", false),
        ] {
            assert_eq!(kind(&step, flags, "send_email", &mail(to)).is_some(), refused, "{flags} {to}");
        }
        assert_eq!(kind(&step, "email=block", "search", &mail("x@acme.eu")), None);
    }

    #[test]
    fn the_flag_files() {
        let step = ToolConstraints::default();
        for (flags, tool, arguments, refused) in [
            ("files=read_only", "read_file", json!({"path": "/x"}), false),
            ("files=read_only", "write_file", json!({"path": "/x"}), true),
            ("files=read_only", "bash", json!({"command": "ls"}), true),
            ("files=project", "write_file", json!({"path": "src/a.rs"}), false),
            ("files=project", "write_file", json!({"path": "/workspace/a.rs"}), false),
            ("files=project", "read_file", json!({"path": "/workspace/../etc/x"}), true),
            ("files=sandbox", "write_file", json!({"path": "/workspace/a"}), true),
            ("files=block", "Read", json!({"file_path": "a"}), true),
            ("files=allow", "bash", json!({"command": "rm -rf /"}), false),
            ("files=block", "get_weather", json!({"city": "Ghent"}), false),
        ] {
            assert_eq!(kind(&step, flags, tool, &arguments).is_some(), refused, "{flags} {tool}");
        }
    }

    #[test]
    fn a_rule_that_cannot_be_is_refused() {
        let rules =
            vec![Rule { tool: "t".into(), argument: "a".into(), regex: Some("(".into()), ..Rule::default() }];
        assert!(
            ToolConstraints { rules, ..ToolConstraints::default() }
                .prepare()
                .is_err_and(|e| e.contains("rules[0]"))
        );
    }
}
