//! An agent's settings file with our hooks in it, and everything else as it was.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tappass_server::hooks::CodingAgent;

use crate::error::CliError;

/// A hook: the event, which tools it is for, and whether an answer can refuse.
pub struct Hook {
    /// The event's name in the settings.
    pub event: &'static str,
    /// Which tools, where the agent wants to know.
    matcher: Option<&'static str>,
    /// Whether it can refuse.
    pub refuses: bool,
}

/// Longer than `hooks run` waits: it is the one that says no. In seconds.
const PATIENCE: u64 = 30;

const fn hook(event: &'static str, matcher: Option<&'static str>, refuses: bool) -> Hook {
    Hook { event, matcher, refuses }
}

/// Events that every version with hooks knows, so that no version drops the file for one of them.
const CLAUDE: [Hook; 6] = [
    hook("UserPromptSubmit", None, true),
    hook("PreToolUse", Some("*"), true),
    hook("PostToolUse", Some("*"), true),
    hook("SessionStart", None, false),
    hook("SessionEnd", None, false),
    hook("Stop", None, false),
];
const CODEX: [Hook; 5] = [
    hook("UserPromptSubmit", None, true),
    hook("PreToolUse", None, true),
    hook("PostToolUse", None, true),
    hook("SessionStart", None, false),
    hook("Stop", None, false),
];
/// Commands, MCP tools and reading have events of their own, in every version; the general one is for all other tools,
/// so that no call is judged twice.
const CURSOR: [Hook; 9] = [
    hook("beforeSubmitPrompt", None, true),
    hook("beforeShellExecution", None, true),
    hook("beforeMCPExecution", None, true),
    hook("beforeReadFile", None, true),
    hook("preToolUse", Some("^(?!Shell$|Read$|MCP:)"), true),
    hook("afterShellExecution", None, false),
    hook("afterMCPExecution", None, false),
    hook("afterFileEdit", None, false),
    hook("stop", None, false),
];
const WINDSURF: [Hook; 8] = [
    hook("pre_user_prompt", None, true),
    hook("pre_run_command", None, true),
    hook("pre_read_code", None, true),
    hook("pre_write_code", None, true),
    hook("pre_mcp_tool_use", None, true),
    hook("post_mcp_tool_use", None, false),
    hook("post_run_command", None, false),
    hook("post_write_code", None, false),
];

/// The hooks of an agent.
pub const fn hooks(agent: CodingAgent) -> &'static [Hook] {
    match agent {
        CodingAgent::ClaudeCode => &CLAUDE,
        CodingAgent::Codex => &CODEX,
        CodingAgent::Cursor => &CURSOR,
        CodingAgent::Windsurf => &WINDSURF,
    }
}

/// The settings of an agent, as they are.
pub struct File {
    path: PathBuf,
    agent: CodingAgent,
    text: Option<String>,
    root: Map<String, Value>,
}

impl File {
    /// Reads it; one that is not there is empty.
    ///
    /// # Errors
    /// It cannot be read, or is not what the agent would read.
    pub fn read(path: &Path, agent: CodingAgent) -> anyhow::Result<Self> {
        // A link (settings kept elsewhere) stays one.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            text => Some(text.with_context(|| format!("cannot read {}", path.display()))?),
        };
        let shown = path.display().to_string();
        let root = match text.as_deref().filter(|text| !text.trim().is_empty()) {
            None => Map::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(root)) => root,
                Ok(_) => return Err(CliError::usage(format!("{shown} is no JSON object")).into()),
                Err(e) => {
                    let wrong = CliError::usage(format!("{shown} is not valid JSON: {e}"));
                    return Err(wrong.mend("mend it first: nothing was changed").into());
                }
            },
        };
        let file = Self { path, agent, text, root };
        for (event, entries) in file.events()? {
            if !entries.is_array() {
                return Err(CliError::usage(format!("{shown}: `hooks.{event}` is no array")).into());
            }
        }
        Ok(file)
    }

    fn events(&self) -> anyhow::Result<Map<String, Value>> {
        match self.root.get("hooks") {
            None => Ok(Map::new()),
            Some(Value::Object(events)) => Ok(events.clone()),
            Some(_) => Err(CliError::usage(format!("{}: `hooks` is no object", self.path.display())).into()),
        }
    }

    /// Whether a command is one of ours, for this agent.
    fn is_ours(&self, entry: &Value) -> bool {
        let ours = format!(" hooks run {}", self.agent.as_str());
        entry["command"].as_str().is_some_and(|command| {
            let at = command.find(&ours).map(|at| at + ours.len());
            at.is_some_and(|end| !command[end..].starts_with(|c: char| c.is_alphanumeric() || c == '-'))
        })
    }

    /// Our command for an event, as the agent would run it.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn command(&self, event: &str) -> anyhow::Result<Option<String>> {
        let events = self.events()?;
        let entries = events.get(event).and_then(Value::as_array).into_iter().flatten();
        let all = entries
            .flat_map(|entry| entry["hooks"].as_array().cloned().unwrap_or_else(|| vec![entry.clone()]));
        let mut ours = all.filter(|entry| self.is_ours(entry));
        Ok(ours.next().and_then(|entry| Some(entry["command"].as_str()?.to_owned())))
    }

    /// Takes our hooks out. What is left empty by that goes too.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn remove(&mut self) -> anyhow::Result<bool> {
        let mut events = self.events()?;
        let before = events.clone();
        for entries in events.values_mut().filter_map(Value::as_array_mut) {
            entries.retain_mut(|entry| match entry.get_mut("hooks").and_then(Value::as_array_mut) {
                Some(inner) => {
                    let many = inner.len();
                    inner.retain(|hook| !self.is_ours(hook));
                    !inner.is_empty() || many == 0
                }
                None => !self.is_ours(entry),
            });
        }
        events.retain(|event, entries| {
            entries.as_array().is_none_or(|e| !e.is_empty()) || before.get(event) == Some(entries)
        });
        let changed = events != before;
        if changed {
            if events.is_empty() {
                self.root.shift_remove("hooks");
            } else {
                self.root.insert("hooks".into(), Value::Object(events));
            }
        }
        Ok(changed)
    }

    /// Puts our hooks in, in place of those of an earlier version. `program` is what a shell runs.
    ///
    /// # Errors
    /// As [`File::read`].
    pub fn install(&mut self, program: &str, more: &str) -> anyhow::Result<()> {
        self.remove()?;
        if self.agent == CodingAgent::Cursor && !self.root.contains_key("version") {
            self.root.insert("version".into(), 1.into());
        }
        let mut events = self.events()?;
        for hook in hooks(self.agent) {
            let entries = events.entry(hook.event).or_insert_with(|| json!([]));
            if let Some(entries) = entries.as_array_mut() {
                entries.push(self.entry(hook, program, more));
            }
        }
        self.root.insert("hooks".into(), Value::Object(events));
        Ok(())
    }

    fn entry(&self, hook: &Hook, program: &str, more: &str) -> Value {
        let open = more.contains("--fail-open");
        // A program that is gone, or that dies, must not be a yes: agents take 2, and only 2, for a no. What cannot be
        // refused gets none: a `Stop` that is refused goes on for ever.
        let otherwise = if hook.refuses && !open { 2 } else { 0 };
        let command = format!("{program} hooks run {}{more} || exit {otherwise}", self.agent.as_str());
        let closed = hook.refuses && !open;
        match self.agent {
            CodingAgent::ClaudeCode | CodingAgent::Codex => {
                let mut run = json!({"type": "command", "command": command, "timeout": PATIENCE});
                if closed && self.agent == CodingAgent::ClaudeCode {
                    // 2.1.295 and later: one that hangs is a no, too.
                    run["onFailure"] = "block".into();
                }
                let mut entry = json!({"hooks": [run]});
                if let Some(matcher) = hook.matcher {
                    entry = json!({"matcher": matcher, "hooks": entry["hooks"].take()});
                }
                entry
            }
            CodingAgent::Cursor => {
                let mut entry = json!({"command": command, "timeout": PATIENCE});
                if closed {
                    entry["failClosed"] = true.into();
                }
                if let Some(matcher) = hook.matcher {
                    entry["matcher"] = matcher.into();
                }
                entry
            }
            CodingAgent::Windsurf => json!({"command": command, "show_output": true}),
        }
    }

    /// Writes it, whole or not at all, and keeps what was there beside it. `None` where nothing has changed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> anyhow::Result<Option<PathBuf>> {
        let root = Value::Object(self.root.clone());
        let old = self.text.as_deref();
        if old.is_some_and(|text| serde_json::from_str::<Value>(text).is_ok_and(|old| old == root)) {
            return Ok(None);
        }
        let beside = |ending: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let write = || -> io::Result<()> {
            if let Some(dir) = self.path.parent() {
                fs::create_dir_all(dir)?;
            }
            let new = beside(".new");
            fs::write(&new, format!("{root:#}\n"))?;
            if self.text.is_some() {
                fs::copy(&self.path, beside(".bak"))?;
                fs::set_permissions(&new, fs::metadata(&self.path)?.permissions())?;
            }
            fs::rename(&new, &self.path)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(Some(self.path.clone()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(agent: CodingAgent, text: &str) -> (tempfile::TempDir, PathBuf, File) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agent/settings.json");
        if !text.is_empty() {
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(&path, text).expect("written");
        }
        let file = File::read(&path, agent).expect("reads");
        (dir, path, file)
    }

    fn on_disk(path: &Path) -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("is there")).expect("JSON")
    }

    #[test]
    fn what_is_there_stays_and_what_is_installed_goes_again() {
        let theirs = r#"{"model": "opus", "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks":
            [{"type": "command", "command": "./lint.sh"}]}], "Notification": []}, "permissions": {"deny": ["WebFetch"]}}"#;
        let cursors = r#"{"version": 1, "hooks": {"stop": [{"command": "./done.sh"}]}}"#;
        for (agent, text) in [
            (CodingAgent::ClaudeCode, theirs),
            (CodingAgent::Codex, theirs),
            (CodingAgent::Cursor, cursors),
            (CodingAgent::Windsurf, cursors),
        ] {
            let (_dir, path, mut file) = settings(agent, text);
            file.install("'/opt/tappass'", "").expect("installs");
            assert_eq!(file.write().expect("writes").as_deref(), Some(file.path()));
            let installed = on_disk(&path);
            for hook in hooks(agent) {
                let command = file.command(hook.event).expect("reads").expect("is there");
                assert!(command.ends_with(if hook.refuses { "|| exit 2" } else { "|| exit 0" }), "{command}");
            }
            assert!(installed.to_string().contains(if text == theirs { "./lint.sh" } else { "./done.sh" }));
            assert_eq!(
                on_disk(&path.with_extension("json.bak")),
                serde_json::from_str::<Value>(text).expect("JSON")
            );
            // Again, and of another place: one of each, the newer.
            let mut again = File::read(&path, agent).expect("reads");
            again.install("'/opt/tappass'", "").expect("installs");
            assert_eq!(again.write().expect("writes"), None, "nothing has changed");
            again.install("'/usr/bin/tappass'", " --fail-open").expect("installs");
            again.write().expect("writes");
            assert_eq!(on_disk(&path).to_string().matches(" hooks run ").count(), hooks(agent).len());
            let mut last = File::read(&path, agent).expect("reads");
            assert!(last.remove().expect("removes"));
            last.write().expect("writes");
            assert_eq!(on_disk(&path), serde_json::from_str::<Value>(text).expect("JSON"), "{agent:?}");
            assert!(!last.remove().expect("removes"));
        }
    }

    #[test]
    fn a_file_is_made_where_there_is_none() {
        for agent in CodingAgent::ALL {
            let (_dir, path, mut file) = settings(agent, "");
            file.install("tappass", "").expect("installs");
            file.write().expect("writes");
            assert_eq!(on_disk(&path).get("version").is_some(), agent == CodingAgent::Cursor);
            assert!(!path.with_extension("json.bak").exists());
        }
    }

    #[test]
    fn another_agents_hooks_are_not_ours() {
        let (_dir, _, file) = settings(CodingAgent::Codex, "");
        assert!(file.is_ours(&json!({"command": "'/x/tappass' hooks run codex || exit 2"})));
        assert!(!file.is_ours(&json!({"command": "'/x/tappass' hooks run codex-cloud || exit 2"})));
        assert!(!file.is_ours(&json!({"command": "./hooks run"})));
    }

    #[test]
    fn what_cannot_be_read_is_left_alone_and_said() {
        for (text, word) in [
            ("{\n  // mine\n}", "line 2"),
            ("[]", "object"),
            (r#"{"hooks": []}"#, "`hooks`"),
            (r#"{"hooks": {"Stop": {}}}"#, "hooks.Stop"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("settings.json");
            fs::write(&path, text).expect("written");
            let error = File::read(&path, CodingAgent::ClaudeCode).err().expect("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().expect("a directory");
        let (real, link) = (dir.path().join("real.json"), dir.path().join("settings.json"));
        fs::write(&real, "{}").expect("written");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        let mut file = File::read(&link, CodingAgent::ClaudeCode).expect("reads");
        file.install("tappass", "").expect("installs");
        file.write().expect("writes");
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert!(on_disk(&real).get("hooks").is_some());
    }
}
