//! What tools do, as far as their names and arguments tell: for flags that speak of files and e-mail, not of tools.

use serde_json::Value;

use super::{path::is_path_key, snake, values};

/// Something a tool does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads files or lists folders.
    ReadsFiles,
    /// Makes, changes, moves or deletes files.
    WritesFiles,
    /// Runs commands or code, and so may do anything.
    RunsCommands,
    /// Sends e-mail.
    SendsMail,
}

/// What a tool does; mostly one thing, or nothing that is known here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds(Vec<Kind>);

const COMMANDS: [&str; 17] = [
    "bash",
    "sh",
    "zsh",
    "shell",
    "exec",
    "execute",
    "terminal",
    "cmd",
    "powershell",
    "pwsh",
    "subprocess",
    "run",
    "eval",
    "interpreter",
    "python",
    "ssh",
    "sudo",
];
const WRITES: [&str; 25] = [
    "write",
    "create",
    "edit",
    "delete",
    "remove",
    "rm",
    "move",
    "mv",
    "rename",
    "append",
    "save",
    "upload",
    "put",
    "copy",
    "cp",
    "mkdir",
    "rmdir",
    "touch",
    "patch",
    "replace",
    "update",
    "chmod",
    "truncate",
    "insert",
    "overwrite",
];
const READS: [&str; 15] = [
    "read", "open", "view", "cat", "list", "ls", "glob", "grep", "search", "find", "download", "get", "load",
    "head", "tail",
];
const FILES: [&str; 11] = [
    "file",
    "files",
    "directory",
    "dir",
    "folder",
    "folders",
    "filesystem",
    "fs",
    "path",
    "notebook",
    "workspace",
];
/// Names that mean files all by themselves.
const FILE_TOOLS_ALONE: [&str; 22] = [
    "read",
    "write",
    "edit",
    "multi_edit",
    "multiedit",
    "glob",
    "grep",
    "ls",
    "cat",
    "rm",
    "mv",
    "cp",
    "mkdir",
    "rmdir",
    "touch",
    "chmod",
    "head",
    "tail",
    "apply_patch",
    "str_replace_editor",
    "str_replace_based_edit_tool",
    "text_editor",
];
const MAIL: [&str; 12] = [
    "mail", "email", "emails", "gmail", "outlook", "smtp", "sendgrid", "mailgun", "ses", "postmark",
    "sendmail", "imap",
];
const SENDS: [&str; 7] = ["send", "reply", "forward", "compose", "sendmail", "mail", "smtp"];

impl Kinds {
    /// What a tool does, by its name and the arguments of a call.
    #[must_use]
    pub fn of(tool: &str, arguments: &Value) -> Self {
        // `mcp__files__read_file`: what stands before the last `__` is the server, and tells too.
        let name = snake(tool);
        let last = name.rsplit("__").next().unwrap_or_default();
        let words: Vec<&str> = name.split('_').filter(|w| !w.is_empty()).collect();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(word));
        let keys: Vec<String> = values(arguments).iter().map(|leaf| snake(leaf.key())).collect();
        let key = |list: &[&str]| keys.iter().any(|key| list.contains(&key.as_str()));

        let mut kinds = Vec::new();
        if has(&MAIL) && (has(&SENDS) || key(&["to", "recipients", "bcc"])) {
            kinds.push(Kind::SendsMail);
        }
        let code = last.contains("code") && has(&["run", "execute", "exec", "interpreter"]);
        if code || COMMANDS.contains(&last) || (has(&COMMANDS) && key(&["command", "cmd", "script", "code"]))
        {
            kinds.push(Kind::RunsCommands);
        }
        let files =
            has(&FILES) || FILE_TOOLS_ALONE.contains(&last) || keys.iter().any(|key| is_path_key(key));
        if files {
            let writes =
                has(&WRITES) || key(&["content", "contents", "new_string", "new_str", "file_text", "patch"]);
            if writes || last.contains("patch") || last.contains("editor") {
                kinds.push(Kind::WritesFiles);
            } else if has(&READS) || keys.iter().any(|key| is_path_key(key)) || has(&["file", "files"]) {
                kinds.push(Kind::ReadsFiles);
            }
        }
        Self(kinds)
    }

    /// Whether it does this.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}

/// The addresses that an e-mail goes to: everything with an `@` under `to`, `cc`, `bcc`, `recipients` and the like.
#[must_use]
pub fn recipients(arguments: &Value) -> Vec<String> {
    const KEYS: [&str; 10] = [
        "to",
        "cc",
        "bcc",
        "recipient",
        "recipients",
        "to_email",
        "to_address",
        "to_addresses",
        "email",
        "emails",
    ];
    let all = values(arguments);
    let texts = all.iter().filter(|leaf| leaf.path.split('.').any(|key| KEYS.contains(&snake(key).as_str())));
    let addresses = texts.filter_map(|leaf| leaf.value.as_str()).flat_map(|text| {
        text.split([',', ';', ' ', '<', '>', '"', '\n', '\t']).filter(|part| part.contains('@'))
    });
    addresses.map(|address| address.trim_end_matches('.').to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(tool: &str, arguments: &Value) -> Vec<Kind> {
        Kinds::of(tool, arguments).0
    }

    #[test]
    fn well_known_tools_are_known() {
        use Kind::*;
        let none = json!({});
        for (tool, kind) in [
            ("read_file", ReadsFiles),
            ("Read", ReadsFiles),
            ("mcp__filesystem__list_directory", ReadsFiles),
            ("write_file", WritesFiles),
            ("Edit", WritesFiles),
            ("deleteFile", WritesFiles),
            ("apply_patch", WritesFiles),
            ("Bash", RunsCommands),
            ("run_code", RunsCommands),
            ("code_interpreter", RunsCommands),
            ("mcp__shell__exec", RunsCommands),
            ("send_email", SendsMail),
            ("gmail-send", SendsMail),
        ] {
            assert!(kinds(tool, &none).contains(&kind), "{tool}: {:?}", kinds(tool, &none));
        }
        assert!(kinds("run_terminal", &json!({"command": "ls"})).contains(&RunsCommands));
        assert!(kinds("store", &json!({"path": "a", "content": "b"})).contains(&WritesFiles));
        assert!(kinds("email", &json!({"to": "a@b.eu"})).contains(&SendsMail));
        for tool in ["search_web", "get_weather", "create_ticket", "run_report", "lookup_customer"] {
            assert!(kinds(tool, &none).is_empty(), "{tool}: {:?}", kinds(tool, &none));
        }
    }

    #[test]
    fn recipients_wherever_they_stand() {
        let arguments = json!({"to": "Jan <Jan@acme.eu>, x@other.com", "message": {"bcc": ["y@acme.eu"]}, "body": "z@no"});
        assert_eq!(recipients(&arguments), ["jan@acme.eu", "x@other.com", "y@acme.eu"]);
    }
}
