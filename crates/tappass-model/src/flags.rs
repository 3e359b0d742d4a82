//! Flags: what one call asks for. `X-TapPass-Flags: mode=enforce, pii=mask`, `TAPPASS_FLAGS`, `flags={…}`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Mode;

/// Every flag with what it may be; `<…>` stands for a text.
pub const KNOWN: [(&str, &[&str]); 8] = [
    ("mode", &["observe", "warn", "enforce", "lockdown"]),
    ("pii", &["mask", "block", "flag", "off"]),
    ("secrets", &["redact", "block", "flag"]),
    ("email", &["mirror:<address>", "internal:<domain>", "block", "allow"]),
    ("budget", &["dev", "standard", "custom:<USD a call>:<USD a session>", "unlimited"]),
    ("tools", &["allowlist:<a>:<b>", "denylist:<a>:<b>", "log", "block"]),
    ("files", &["read_only", "project", "sandbox", "block", "allow"]),
    ("db", &["read_only", "safe_write", "block"]),
];

/// A flag that cannot be read. The text names the valid ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// Not `key=value`.
    #[error("flag `{0}` is not of the form key=value")]
    Form(String),
    /// No such flag.
    #[error("unknown flag `{0}`; valid flags: mode, pii, secrets, email, budget, tools, files, db")]
    Unknown(String),
    /// Given twice.
    #[error("flag `{0}` is given twice")]
    Twice(String),
    /// Not a value of this flag.
    #[error("flag `{flag}` cannot be `{value}`; valid: {valid}")]
    Value {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What may be given.
        valid: String,
    },
}

/// What to do about personal data. Ordered from loosest to strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PiiFlag {
    /// Do not look.
    Off,
    /// Record it.
    Flag,
    /// Replace it.
    Mask,
    /// Refuse the call.
    Block,
}

/// What to do about secrets. Ordered from loosest to strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretsFlag {
    /// Record them.
    Flag,
    /// Replace them.
    Redact,
    /// Refuse the call.
    Block,
}

/// Which tools the call may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolsFlag {
    /// Only these, by name or glob.
    Allowlist(Vec<String>),
    /// All but these.
    Denylist(Vec<String>),
    /// Record what is used.
    Log,
    /// None.
    Block,
}

/// What may happen to e-mail that tools send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailFlag {
    /// A copy to this address.
    Mirror(String),
    /// To this domain only.
    Internal(String),
    /// None.
    Block,
    /// Any.
    Allow,
}

/// How much a call and a session may cost, in USD.
#[derive(Debug, Clone, PartialEq)]
pub enum BudgetFlag {
    /// 1 a session, 5 a day.
    Dev,
    /// 10 a session, 50 a day.
    Standard,
    /// A call, a session.
    Custom(f64, f64),
    /// No bound.
    Unlimited,
}

/// What tools may do to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesFlag {
    /// Read only.
    ReadOnly,
    /// Inside the project.
    Project,
    /// Inside a sandbox.
    Sandbox,
    /// Nothing.
    Block,
    /// Anything.
    Allow,
}

/// What tools may do to databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbFlag {
    /// Read only.
    ReadOnly,
    /// No destructive statements.
    SafeWrite,
    /// Nothing.
    Block,
}

/// The flags of a call, an agent or an organisation; what is `None` is left to the next in order.
/// In JSON an object of strings, the values as in the header: `{"mode": "observe", "pii": "mask"}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
#[schemars(with = "BTreeMap<String, String>")]
pub struct Flags {
    /// How strictly.
    pub mode: Option<Mode>,
    /// Personal data.
    pub pii: Option<PiiFlag>,
    /// Secrets.
    pub secrets: Option<SecretsFlag>,
    /// E-mail.
    pub email: Option<EmailFlag>,
    /// Cost.
    pub budget: Option<BudgetFlag>,
    /// Tools.
    pub tools: Option<ToolsFlag>,
    /// Files.
    pub files: Option<FilesFlag>,
    /// Databases.
    pub db: Option<DbFlag>,
}

impl Flags {
    /// Reads the header's form: `key=value, key=value`. Blank text is no flags.
    ///
    /// # Errors
    /// [`FlagError`] for the first that cannot be read.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| FlagError::Form(part.to_owned()))?;
            flags.set(key.trim(), value.trim())?;
        }
        Ok(flags)
    }

    /// Sets one flag from its text.
    ///
    /// # Errors
    /// [`FlagError`] when there is no such flag or value, or it is set already.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), FlagError> {
        let Some((flag, valid)) = KNOWN.iter().find(|(flag, _)| *flag == key) else {
            return Err(FlagError::Unknown(key.to_owned()));
        };
        let fits = match *flag {
            "mode" => put(&mut self.mode, value),
            "pii" => put(&mut self.pii, value),
            "secrets" => put(&mut self.secrets, value),
            "email" => put(&mut self.email, value),
            "budget" => put(&mut self.budget, value),
            "tools" => put(&mut self.tools, value),
            "files" => put(&mut self.files, value),
            _ => put(&mut self.db, value),
        };
        match fits {
            Fits::Yes => Ok(()),
            Fits::Twice => Err(FlagError::Twice(key.to_owned())),
            Fits::No => Err(FlagError::Value { flag, value: value.to_owned(), valid: valid.join(", ") }),
        }
    }

    /// These flags, and where they are silent those of `below`.
    #[must_use]
    pub fn over(self, below: &Self) -> Self {
        Self {
            mode: self.mode.or(below.mode),
            pii: self.pii.or(below.pii),
            secrets: self.secrets.or(below.secrets),
            email: self.email.or_else(|| below.email.clone()),
            budget: self.budget.or_else(|| below.budget.clone()),
            tools: self.tools.or_else(|| below.tools.clone()),
            files: self.files.or(below.files),
            db: self.db.or(below.db),
        }
    }

    /// The flags that are set, by name, as text.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let mut map = BTreeMap::new();
        let mut add = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        add("mode", self.mode.map(|v| v.to_string()));
        add("pii", self.pii.map(|v| v.to_string()));
        add("secrets", self.secrets.map(|v| v.to_string()));
        add("email", self.email.as_ref().map(ToString::to_string));
        add("budget", self.budget.as_ref().map(ToString::to_string));
        add("tools", self.tools.as_ref().map(ToString::to_string));
        add("files", self.files.map(|v| v.to_string()));
        add("db", self.db.map(|v| v.to_string()));
        map
    }
}

/// How a value went into its place.
enum Fits {
    Yes,
    Twice,
    No,
}

fn put<T: FromStr>(slot: &mut Option<T>, value: &str) -> Fits {
    if slot.is_some() {
        return Fits::Twice;
    }
    *slot = value.parse().ok();
    if slot.is_some() { Fits::Yes } else { Fits::No }
}

impl From<Flags> for BTreeMap<String, String> {
    fn from(flags: Flags) -> Self {
        flags.to_map()
    }
}

impl TryFrom<BTreeMap<String, String>> for Flags {
    type Error = FlagError;
    fn try_from(map: BTreeMap<String, String>) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        for (key, value) in map {
            flags.set(&key, &value)?;
        }
        Ok(flags)
    }
}

/// The words of a flag whose values carry nothing, for `FromStr` and `Display` alike.
trait Words: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn read(s: &str) -> Result<Self, ()> {
        Self::WORDS.iter().find(|(word, _)| *word == s).map(|(_, v)| *v).ok_or(())
    }
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, v)| *v == self).map_or("", |(word, _)| word)
    }
}

impl Words for PiiFlag {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("flag", Self::Flag), ("mask", Self::Mask), ("block", Self::Block)];
}
impl Words for SecretsFlag {
    const WORDS: &'static [(&'static str, Self)] =
        &[("flag", Self::Flag), ("redact", Self::Redact), ("block", Self::Block)];
}
impl Words for FilesFlag {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("read_only", Self::ReadOnly),
        ("project", Self::Project),
        ("sandbox", Self::Sandbox),
        ("block", Self::Block),
        ("allow", Self::Allow),
    ];
}
impl Words for DbFlag {
    const WORDS: &'static [(&'static str, Self)] =
        &[("read_only", Self::ReadOnly), ("safe_write", Self::SafeWrite), ("block", Self::Block)];
}

macro_rules! words {
    ($($flag:ty),*) => {$(
        impl FromStr for $flag {
            type Err = ();
            fn from_str(s: &str) -> Result<Self, ()> {
                Self::read(s)
            }
        }
        impl fmt::Display for $flag {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}
words!(PiiFlag, SecretsFlag, FilesFlag, DbFlag);

fn names(list: &str) -> Result<Vec<String>, ()> {
    let names: Vec<String> = list.split(':').map(|n| n.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) { Err(()) } else { Ok(names) }
}

impl FromStr for ToolsFlag {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        match s.split_once(':') {
            None if s == "log" => Ok(Self::Log),
            None if s == "block" => Ok(Self::Block),
            Some(("allowlist", list)) => names(list).map(Self::Allowlist),
            Some(("denylist", list)) => names(list).map(Self::Denylist),
            _ => Err(()),
        }
    }
}

impl fmt::Display for ToolsFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowlist(names) => write!(f, "allowlist:{}", names.join(":")),
            Self::Denylist(names) => write!(f, "denylist:{}", names.join(":")),
            Self::Log => f.write_str("log"),
            Self::Block => f.write_str("block"),
        }
    }
}

impl FromStr for EmailFlag {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        match s.split_once(':') {
            None if s == "block" => Ok(Self::Block),
            None if s == "allow" => Ok(Self::Allow),
            Some(("mirror", address)) if address.contains('@') => Ok(Self::Mirror(address.to_owned())),
            Some(("internal", domain)) if domain.contains('.') => Ok(Self::Internal(domain.to_owned())),
            _ => Err(()),
        }
    }
}

impl fmt::Display for EmailFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mirror(address) => write!(f, "mirror:{address}"),
            Self::Internal(domain) => write!(f, "internal:{domain}"),
            Self::Block => f.write_str("block"),
            Self::Allow => f.write_str("allow"),
        }
    }
}

impl FromStr for BudgetFlag {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        match s.split(':').collect::<Vec<_>>().as_slice() {
            ["dev"] => Ok(Self::Dev),
            ["standard"] => Ok(Self::Standard),
            ["unlimited"] => Ok(Self::Unlimited),
            ["custom", call, session] => {
                let usd = |s: &str| s.parse::<f64>().ok().filter(|v| v.is_finite() && *v >= 0.0).ok_or(());
                Ok(Self::Custom(usd(call)?, usd(session)?))
            }
            _ => Err(()),
        }
    }
}

impl fmt::Display for BudgetFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dev => f.write_str("dev"),
            Self::Standard => f.write_str("standard"),
            Self::Custom(call, session) => write!(f, "custom:{call}:{session}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_round_trips() {
        for text in [
            "mode=enforce",
            "pii=mask",
            "pii=off",
            "secrets=redact",
            "email=mirror:a@b.eu",
            "email=internal:b.eu",
            "budget=custom:0.5:10",
            "budget=dev",
            "tools=allowlist:read_*:search",
            "tools=denylist:shell",
            "tools=block",
            "files=read_only",
            "db=safe_write",
        ] {
            let flags = Flags::parse(text).expect(text);
            let (key, value) = text.split_once('=').expect("a pair");
            assert_eq!(flags.to_map().get(key).map(String::as_str), Some(value), "{text}");
            let json = serde_json::to_string(&flags).expect("writes");
            assert_eq!(serde_json::from_str::<Flags>(&json).expect("reads"), flags);
        }
    }

    #[test]
    fn spaces_and_blanks_are_fine() {
        let flags = Flags::parse(" mode = observe ,pii=mask, ").expect("valid");
        assert_eq!((flags.mode, flags.pii), (Some(Mode::Observe), Some(PiiFlag::Mask)));
        assert_eq!(Flags::parse("  "), Ok(Flags::default()));
    }

    #[test]
    fn errors_name_what_is_valid() {
        let error = |text: &str| Flags::parse(text).expect_err(text).to_string();
        assert!(error("colour=red").contains("valid flags: mode, pii"));
        assert!(error("pii=hide").contains("mask, block, flag, off"));
        assert!(error("mode=on").contains("lockdown"));
        assert!(error("mode").contains("key=value"));
        assert!(error("pii=mask,pii=off").contains("twice"));
        assert!(error("tools=allowlist:").contains("allowlist:<a>"));
        assert!(error("budget=custom:-1:2").contains("custom:"));
    }

    #[test]
    fn the_nearer_wins() {
        let call = Flags::parse("pii=block").expect("valid");
        let agent = Flags::parse("pii=off,secrets=block").expect("valid");
        let both = call.over(&agent);
        assert_eq!((both.pii, both.secrets), (Some(PiiFlag::Block), Some(SecretsFlag::Block)));
    }
}
