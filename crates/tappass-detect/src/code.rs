//! Code: SQL that is smuggled in or destroys, and requests to run code.
//!
//! Honest SQL and an injection use the same words; what tells them apart is the seam: a value that goes on as SQL, a
//! condition that is always true, a comment that cuts off the rest, a query for the schema or for time. What destroys
//! (`DROP TABLE`, `DELETE` without `WHERE`) counts in honest SQL too.

use std::borrow::Cow;

use tappass_model::Family;

use crate::rule::{Hit, Rule};

/// Between two words of SQL: space, its encodings, comments, parentheses.
const GAP: &str = r"(?:[ \t\r\n\x0b+(]|%20|%0[9abd]|/\*!?[0-9]{0,5}|\*/|/\*[^*\n]{0,30}\*/)";
/// A call that no filter of a list has a reason to make.
const PROBES: &str = r"(?:sleep|benchmark|pg_sleep|ascii|ord|substr|substring|mid|left|right|length|len|char|chr|hex|unhex|pi|cos|sin|version|user|current_user|system_user|database|db_name|schema|if|iif|exists|select|case|convert|cast|count|extractvalue|updatexml|randomblob|load_file|json_keys|make_set|elt|row|rlike|regexp_like|utl_inaddr|ctxsys|dbms_[a-z]{2,12})";

/// One column of a list.
const ITEM: &str = r"[a-z0-9_.*\x22`\[\]]{1,60}(?:\([^()\n]{0,60}\))?(?:~{1,3}as~{1,3}[a-z0-9_]{1,40})?";

/// (kind, weight, pattern): every candidate counts. `~` is a gap.
const PATTERNS: &[(&str, f32, &str)] = &[
    (
        "SQL_TIME_DELAY",
        0.9,
        r"waitfor~{1,3}(?:delay|time)~{0,3}['\x22]|pg_sleep~{0,2}\(|benchmark~{0,2}\(~{0,2}[0-9]{3,12}~{0,2},|dbms_(?:lock\.sleep|pipe\.receive_message)|randomblob~{0,2}\(~{0,2}[0-9]{5}",
    ),
    (
        "SQL_SYSTEM_CALL",
        0.85,
        r"xp_(?:cmdshell|reg(?:read|write)|dirtree|fileexist)|sp_(?:oacreate|makewebtask|addlogin|password|configure~['\x22]?show)|into~{1,3}(?:out|dump)file~{0,3}['\x22]|load_file~{0,2}\(|load~{1,3}data~{1,3}(?:local~{1,3})?infile|copy~{1,3}[a-z_()~]{1,30}~{1,3}(?:from|to)~{1,3}program|utl_http\.request|utl_inaddr\.|openrowset~{0,2}\(|lo_import~{0,2}\(|sys_(?:eval|exec)~{0,2}\(|sys\.fn_(?:my|xe)",
    ),
    (
        "SQL_ERROR_LEAK",
        0.75,
        r"(?:extractvalue|updatexml|xmltype)~{0,2}\(~{0,2}[^()\n]{0,20},~{0,2}(?:concat|0x|char)|floor~{0,2}\(~{0,2}rand~{0,2}\(|concat(?:_ws)?~{0,2}\(~{0,2}(?:0x[0-9a-f]{2}|char~?\(|chr~?\()|group_concat~{0,2}\(~{0,2}(?:table|column|schema)_name|cast~{0,2}\(~{0,2}0x[0-9a-f]{8}|(?:chr|char)~{0,2}\([0-9]{1,3}\)~{0,2}(?:\|\||\+|,|&)~{0,2}(?:chr|char)~{0,2}\(|unhex~{0,2}\(~{0,2}hex|json_keys~?\(~?\(|dbms_utility\.",
    ),
    (
        "SQL_SCHEMA",
        0.4,
        r"information_schema|all_tab_tables|all_tables|user_tables|pg_(?:catalog|shadow|user|stat_user_tables|tables|database)|sys(?:objects|columns|databases|\.(?:tables|objects|databases|columns|sql_logins))|sqlite_(?:master|schema)|mysql\.(?:user|db)|master\.\.|msysobjects|dba_users",
    ),
    (
        "SQL_SERVER_VARIABLE",
        0.55,
        r"@@(?:version(?:_compile_os)?|hostname|servername|datadir|basedir|plugin_dir|global)",
    ),
    (
        "SQL_DESTRUCTION",
        0.65,
        r"drop~{1,3}(?:table|database|schema|user|login|role|tablespace)~{1,3}['\x22`\[]?[a-z_][a-z0-9_.]{0,60}|truncate~{1,3}table~{1,3}[a-z_][a-z0-9_.]{0,60}|db\.(?:dropdatabase|[a-z_]{1,40}\.(?:drop|remove|deletemany)~?\(~?(?:\{~?\})?~?\))|flushall|shutdown~{1,3}with~{1,3}nowait",
    ),
    (
        "SQL_RIGHTS",
        0.65,
        r"grant~{1,3}(?:all(?:~{1,3}privileges)?|dba|connect|resource|super|sysdba|file|execute)~{1,3}(?:on~{1,3}[a-z0-9_.*]{1,40}~{1,3})?to~{1,3}['\x22a-z]|(?:create|alter)~{1,3}(?:user|login)~{1,3}['\x22a-z0-9_@%.\[\]]{1,40}~{1,3}(?:identified|with~{1,3}(?:superuser|password))",
    ),
    // Code that breaks out or loads code.
    (
        "SANDBOX_ESCAPE",
        0.85,
        r"__(?:subclasses__|globals__|builtins__|mro__|bases__|reduce__)|__import__~?\(~?['\x22](?:os|subprocess|sys|pty|socket|commands|shutil)|process\.mainmodule|constructor\.constructor~?\(|getruntime\(\)\.exec|ctypes\.(?:cdll|windll)",
    ),
    (
        "LOADED_CODE",
        0.85,
        r"(?:eval|exec|function|assert|iex|settimeout)~?\(~?(?:base64[._a-z0-9]{0,14}|atob|gzinflate|gzuncompress|str_rot13|bytes\.fromhex|codecs\.decode|zlib\.decompress|compile~?\(~?(?:base64|requests)|requests\.get|urllib[a-z.]{0,10}\.?urlopen|marshal\.loads|string\.fromcharcode|buffer\.from|fetch|unescape)~?\(|pickle\.loads?~?\(~?(?:base64|request|urllib|bytes|codecs|b['\x22])|yaml\.(?:unsafe_load|load~?\([^)\n]{1,40}loader=yaml\.(?:unsafe)?loader)",
    ),
    (
        "CODE_CALL",
        0.4,
        r"os\.(?:system|popen|exec[lv]p?e?)~?\(|subprocess\.(?:run|call|popen|check_output|check_call|getoutput)~?\(|child_process|(?:eval|exec)~?\(|shell=true|processbuilder~?\(|new~function~?\(",
    ),
    (
        "CODE_REQUEST",
        0.45,
        r"(?:run|execute|eval(?:uate)?|exec|interpret|invoke)~{1,2}(?:(?:the|this|that|these|following|below|attached|above|given|my|any|some|arbitrary|it|as|raw)~{1,2}){1,4}(?:(?:python|javascript|js|node|bash|shell|powershell|perl|ruby|php|java|sql|system|native|terminal)~{1,2}){0,2}(?:code|script|snippet|commands?|payload|program|expression|function|query|statement)s?|(?:f[uü]hre?|exécute[rz]?|ejecuta|esegui|voer)~{1,2}(?:(?:den|das|diesen?|folgenden?|ce|le|la|cette|este|il|questo|deze|de|het|volgende)~{1,2}){1,3}(?:code|script|skript|código|codice|commande|befehl|programm)",
    ),
    (
        "ARBITRARY_CODE",
        0.6,
        r"(?:arbitrary|untrusted|attacker'?s?|remote|malicious)~{1,2}(?:code|commands?)~{1,2}(?:execution|on~{1,2}(?:the|your)|in~{1,2}your)|(?:in|on|inside|with)~{1,2}your~{1,2}(?:python~|code~|local~|own~)?(?:interpreter|shell|terminal|sandbox|container|host|machine|environment)~{0,2}(?:run|execute|and~{1,2}(?:run|execute|print|return))|(?:run|execute)~{1,2}(?:as~{1,2}root|with~{1,2}(?:root|admin|sudo|elevated)|without~{1,2}(?:sandbox|sandboxing|confirmation|asking))",
    ),
];

/// All rules of the family.
pub(crate) fn rules() -> Vec<Rule> {
    let rule = |kind: &'static str, score: f32, pattern: &str| {
        let regex = pattern.replace("PROBES", PROBES).replace("ITEM", ITEM).replace('~', GAP);
        Rule { regex: Cow::Owned(format!("(?i:{regex})")), ..Rule::new(Family::Code, kind, score, "") }
    };
    let mut rules: Vec<Rule> = PATTERNS.iter().map(|(kind, score, p)| rule(kind, *score, p).open()).collect();
    rules.extend([
        rule("SQL_UNION", 0.9, r"(?:[0-9][0-9a-z]{0,7}?)?union(?:~{1,6}(?:all|distinct|distinctrow))?~{1,6}select").after(48).check(union),
        rule("SQL_TAUTOLOGY", 0.85, r"(?:or|and|xor|having|&&|\|\||where)~{0,4}[('\x22]{0,3}~{0,2}(?:not~{1,2})?(?<v>[0-9a-z_.+*/-]{1,24}['\x22]?(?:\(\))?[)]{0,2}~{0,2}(?:=|<>|!=|<=>|<|>|r?like|is|in)~{0,2}[('\x22]{0,3}[0-9a-z_.+*/-]{1,24})").after(4).check(tautology),
        rule("SQL_TAUTOLOGY", 0.85, r"(?:or|and|xor|having|&&|\|\|)~{0,4}\(?['\x22][^'\x22\n]{0,16}['\x22]~{0,2}(?:=|<>|!=|<|>|r?like)~{0,2}['\x22](?:[^'\x22\n]{0,16})").open().check(same_text),
        rule("SQL_SEAM", 0.75, r"(?:or|and|xor|&&|\|\|)~{0,4}(?:not~{1,2})?(?:true|false|null|[0-9]{1,6}|[a-z]=[a-z])['\x22)]{0,3}~{0,3}(?:--|#|/\*|;%00)").open(),
        rule("SQL_SEAM", 0.75, r"(?:order|group)~{1,4}by~{1,4}[0-9]{1,4}~{0,3}(?:--|#|/\*|,~{0,2}(?:sleep|benchmark|\(select))").open(),
        rule("SQL_SEAM", 0.75, r"['\x22]\)*~{0,2}(?:--|#|/\*)[-+ ]{0,4}").after(4).open().check(cut_off),
        rule("SQL_SEAM", 0.65, r"\)~{0,3}--[-+ \t]{0,4}").after(4).open().check(cut_off),
        rule("SQL_SEAM", 0.7, r"['\x22]\)*~{0,3}(?:or|and|xor|&&|\|\||union|having|order~{1,3}by|group~{1,3}by|procedure|into|limit)~{0,3}[('\x22@0-9]").check(value_then_sql),
        rule("SQL_SEAM", 0.65, r"'~{0,2}(?:not~{1,2}|sounds~{1,2})?(?:r?like|regexp|div|mod|xor|between)~{0,2}'").check(value_then_sql),
        rule("SQL_SEAM", 0.75, r"['\x22]~{0,3}(?:[|&^*/%+=<>!-]|or|and|xor|r?like|regexp|is|between|in|div|mod|having|procedure)[^\n]{0,80}(?:['\x22]|--|#)[-a-z0-9( ]{0,4}").after(2).open().check(reopened),
        rule("SQL_SEAM", 0.7, r"['\x22]\)*~{0,3}(?:or|and|xor|&&|\|\|)~{1,3}[a-z_.]{1,30}~{1,3}(?:is~{1,2}not|is|<>|!=|=|<|>|r?like)~{0,2}['\x22(0-9-]").open().check(value_then_sql),
        rule("SQL_TAUTOLOGY", 0.7, r"(?:or|and|xor|\|\|)~{1,3}[a-z_.]{1,30}~{1,3}r?like~{1,3}['\x22]%{1,3}['\x22]"),
        rule("SQL_TIME_DELAY", 0.8, r"from~{1,3}(?:sys(?:users|columns|objects)|all_users|all_objects|information_schema\.[a-z]{4,12})~{1,3}(?:as~{1,3})?[a-z0-9]{1,6}~{0,2},~{0,2}(?:sys|all_|information_schema)").open(),
        rule("SQL_STACKED", 0.85, r"['\x22)0-9]~{0,3};~{0,3}(?:drop|delete|update|insert|alter|create|truncate|exec|execute|shutdown|grant|declare|select|waitfor|if|begin|call|merge|copy)~{1,3}[a-z_@*('\x22\[]").check(value_then_sql),
        rule("SQL_STACKED", 0.85, r"'~{0,2}(?:declare~{1,3}@|exec(?:ute)?~{1,3}(?:master|sp_|xp_|\(|@)|goto~{1,3}label|select~{1,3}@@|begin~{1,3}(?:declare|goto)|insert~{1,3}into|delete~{1,3}from|update~{1,3}[a-z_]{1,30}~{1,3}set|grant~{1,3}[a-z]{2,12}~{1,3}to|drop~{1,3}table)").open().check(value_then_sql),
        rule("SQL_BLIND", 0.8, r"(?:or|and|xor|&&|\|\||having|when|like|=|<|>)~{0,5}(?:not~{1,3})?PROBES~{0,3}\(").open().check(probe),
        rule("SQL_BLIND", 0.8, r"(?:or|and|xor|&&|\|\|)~{0,4}\(~{0,3}select~{1,4}").open().check(probe),
        rule("SQL_TIME_DELAY", 0.8, r"(?:sleep)~{0,2}\(~{0,2}[0-9]{1,4}~{0,2}\)").after(4).check(sleep),
        rule("SQL_DESTRUCTION", 0.6, r"delete~{1,3}from~{1,3}['\x22`\[]?[a-z_][a-z0-9_.]{0,60}['\x22`\]]?~{0,3}(?:;|--|$|where~{1,3}(?:1~?=~?1|true|'1'='1'))").check(|hit| hit.when(!asks(hit))),
        rule("SQL_DESTRUCTION", 0.6, r"update~{1,3}[a-z_][a-z0-9_.]{0,60}~{1,3}set~{1,3}[a-z_][a-z0-9_.]{0,60}~{0,3}=~{0,3}(?:'[^'\n]{0,60}'|[0-9a-z_.]{1,40})~{0,3}(?:;|--|$)"),
        // No attack: what the flag `db` asks about. They weigh nothing.
        rule("SQL_READ", 0.02, r"(?:select~{1,4}(?:distinct~{1,3}|top~{1,3}[0-9]{1,6}~{1,3})?ITEM(?:~{0,3},~{0,3}ITEM){0,40}~{1,4}from~{1,4}[a-z_\x22`\[(]|show~{1,3}(?:tables|databases|schemas)|describe~{1,3}[a-z_]{2,40}|with~{1,3}[a-z_]{1,40}~{1,3}as~{1,3}select)").open().check(statement),
        rule("SQL_WRITE", 0.03, r"(?:(?:insert|replace|merge)~{1,3}(?:ignore~{1,3})?into~{1,3}[a-z_\x22`\[]|update~{1,3}[a-z_][a-z0-9_.\x22`]{0,60}~{1,3}set~{1,3}[a-z_\x22`\[]|delete~{1,3}from~{1,3}[a-z_\x22`\[]|(?:create|alter)~{1,3}(?:or~{1,3}replace~{1,3})?(?:temp(?:orary)?~{1,3})?(?:table|view|index|unique~{1,3}index|schema|database|function|procedure|trigger|sequence|type)~{1,3}[a-z_\x22`\[]|copy~{1,3}[a-z_.]{1,40}~{1,3}from~)").open().check(statement),
        rule("SQL_FUZZ", 0.6, r"\([ ]{0,3}(?:(?:select|binary|cos|\(|@a|1|'[ab]'|in|or)[ ]{0,3}){1,12}(?:binary|cos|@a)"),
    ]);
    rules
}

/// Honest queries join with `UNION` too: after a `SELECT … FROM`, and with columns in the list.
fn union(hit: &Hit<'_>) -> Option<f32> {
    let (before, after) = (hit.before.to_ascii_lowercase(), hit.after.to_ascii_lowercase());
    let honest = before.contains("select ") && before.contains(" from ");
    let columns = after.trim_start().starts_with(|c: char| c.is_ascii_alphabetic() || c == '*');
    let dull = columns
        && ![
            "null",
            "user",
            "version",
            "database",
            "concat",
            "load_file",
            "group_concat",
            "char",
            "table_name",
            "password",
        ]
        .iter()
        .any(|w| after.trim_start().starts_with(w));
    Some(if honest && dull { 0.3 } else { hit.score })
}

/// Two constants compared: nobody writes that by hand but to make a condition true or false.
fn tautology(hit: &Hit<'_>) -> Option<f32> {
    let at = hit
        .value
        .find(['=', '<', '>', '!'])
        .or_else(|| hit.value.to_ascii_lowercase().find("like"))
        .or_else(|| hit.value.find(' '))?;
    let side = |text: &str| text.trim_matches(|c: char| "()'\"=<>! \t+%".contains(c)).to_ascii_lowercase();
    let (left, right) = (side(&hit.value[..at]), side(&hit.value[at..]));
    let right = right
        .trim_start_matches(|c: char| "=<>!".contains(c))
        .trim_start_matches("like")
        .trim_matches(['(', '\'', '"', ' '])
        .to_owned();
    let number = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit() || b".+*-/e".contains(&b))
            && text.bytes().any(|b| b.is_ascii_digit())
    };
    let compared = hit.value.contains(['=', '<', '>']) || hit.value.to_ascii_lowercase().contains("like");
    // `1 and 1/2" button`: the words must be an operator of SQL with something compared.
    hit.when(
        compared
            && ((number(&left) && number(&right))
                || (left == right && left.len() <= 24 && !left.is_empty() && hit.value.contains('='))),
    )
}

/// Two quoted texts compared that are the same, empty, or of a kind.
fn same_text(hit: &Hit<'_>) -> Option<f32> {
    let texts: Vec<&str> = hit.value.split(['\'', '"']).collect();
    let (left, right) = (texts.get(1)?.trim(), texts.get(3)?.trim());
    hit.when(left == right || right.is_empty() || left.starts_with(right) || right.starts_with(left))
}

/// A comment cuts off what would follow: the text ends with it, and there is little before.
fn cut_off(hit: &Hit<'_>) -> Option<f32> {
    let ends = hit.after.trim().is_empty();
    let opened = hit.whole.starts_with(['\'', '"']) && hit.before.matches(['\'', '"']).count() % 2 == 1;
    hit.when(ends && !opened && !hit.before.trim().is_empty() && !hit.before.contains("http"))
}

/// A quote that closes a value, not one that opens a word: no quote is open before it, and no prose stands there.
fn value_then_sql(hit: &Hit<'_>) -> Option<f32> {
    let line = hit.before.rsplit('\n').next().unwrap_or_default();
    let words =
        line.split_whitespace().filter(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_alphabetic())).count();
    let quote = hit.whole.chars().next().filter(|c| "'\"".contains(*c));
    let opens = quote.is_some_and(|q| line.matches(q).count() % 2 == 1);
    hit.when(words <= 2 && !opens && !is_sql(line))
}

/// The whole text is a short value, a quote that ends it, an operator, and a quote (or comment) for what was to follow.
fn reopened(hit: &Hit<'_>) -> Option<f32> {
    let quote = hit.whole.chars().next()?;
    let rest = &hit.whole[1..];
    let value = hit.before.len() <= 12 && hit.before.bytes().all(|b| b.is_ascii_alphanumeric());
    let back = rest.contains(quote) || rest.contains("--") || rest.contains('#');
    hit.when(value && !hit.before.is_empty() && back && hit.after.trim().is_empty())
}

/// Whether a query is written out here.
fn is_sql(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["select ", " from ", " where ", "insert into", "update ", " set "].iter().any(|w| lower.contains(w))
}

/// Where a statement can begin, not within a sentence that has the same words.
fn statement(hit: &Hit<'_>) -> Option<f32> {
    let before = hit.before.trim_end_matches([' ', '\t', '(']);
    hit.when(
        before.is_empty()
            || before.ends_with(['"', '\'', '`', ';', ':', '{', '\n', '=', '\\'])
            || before.ends_with("AS"),
    )
}

/// A function asked in a condition: in a query that is written out, that is ordinary.
fn probe(hit: &Hit<'_>) -> Option<f32> {
    let line = hit.before.rsplit("\n\n").next().unwrap_or_default().to_ascii_lowercase();
    let query =
        ["where ", " join ", " from ", "def ", "function", "return", "if ("].iter().any(|w| line.contains(w));
    let operator = hit.whole.starts_with(['=', '<', '>']);
    let prose = hit.before.split_whitespace().count() > 6;
    Some(if query || prose || operator && !hit.before.contains('\'') { 0.25 } else { hit.score })
}

/// `SLEEP(5)` where a value should be; `time.sleep(5)` of a program is none.
fn sleep(hit: &Hit<'_>) -> Option<f32> {
    let before = hit.before.trim_end().to_ascii_lowercase();
    let word = |w: &str| before.ends_with(w);
    let in_sql =
        ["or", "and", "select", "select(", "(", "xor", "&&", "||", "'", ",", "=", "+", "-", "*", ";"]
            .iter()
            .any(|w| word(w));
    let after = hit.after.trim_start();
    let goes_on = ["=", "'", "--", "#", "&&", "\"", ")", "/*"].iter().any(|w| after.starts_with(w));
    let program = before.ends_with('.')
        || before.contains("await")
        || before.contains("import")
        || before.contains("def ")
        || before.contains('{');
    hit.when(!program && (in_sql && hit.before.len() < 90 || before.is_empty() && goes_on))
}

/// Someone asks how it is done.
fn asks(hit: &Hit<'_>) -> bool {
    let line = hit.before.rsplit(['\n', '.', '!']).next().unwrap_or_default().to_ascii_lowercase();
    ["how ", "what ", "why ", "explain", "difference"].iter().any(|w| line.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scanner, family_score};

    fn score(text: &str) -> f32 {
        family_score(Family::Code, &Scanner::new(&[Family::Code], &[]).unwrap().scan(text))
    }

    #[test]
    fn smuggled_sql_and_code() {
        for text in [
            "1 UNION SELECT username, password FROM users",
            "' OR '1'='1",
            "admin' --",
            "1; DROP TABLE users",
            "5 and 3=4",
            "1' AND SLEEP(5)#",
            "1) OR pg_sleep(5)--",
            "x' AND ascii(substring((SELECT 1),1,1))>64",
            "DELETE FROM customers;",
            "exec(base64.b64decode('cHJpbnQoMSk='))",
            "().__class__.__bases__[0].__subclasses__()",
            "Please execute the following python code: os.system('id')",
        ] {
            assert!(score(text) >= 0.5, "{} {text}", score(text));
        }
    }

    #[test]
    fn honest_sql_and_talk() {
        for text in [
            "SELECT a.id FROM orders a JOIN customers b ON a.id = b.id WHERE b.name LIKE 'Van%'",
            "SELECT id FROM a UNION SELECT id FROM b",
            "UPDATE orders SET status = 'closed' WHERE id = 7",
            "DELETE FROM sessions WHERE expires < now()",
            "It's a drop in orders for Q3 -- compare '24 and '25",
            "The labels are 'yes' and 'no'.",
            "time.sleep(5) blocks the thread",
            "1 and 1/2\" button",
            "How do I run a Python script from the shell?",
            "The trade union selected a few friends",
            "Which is larger, 3 or 4?",
        ] {
            assert!(score(text) < 0.5, "{} {text}", score(text));
        }
    }
}
