//! What an organisation says about flags: locks, which a call may tighten and never loosen, and defaults, which hold
//! where neither the call nor its agent says anything.

use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Flags,
    flags::{BudgetFlag, DbFlag, EmailFlag, FilesFlag, ToolsFlag},
};

/// An organisation's locks and defaults of flags. Order: lock, call, agent, default, the pipeline's own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrgFlags {
    /// Hold in every call of every agent; a call may ask for what is stricter.
    pub locks: Flags,
    /// Hold where neither the call nor its agent says anything. None of `mode`: each agent has its own.
    pub defaults: Flags,
}

impl OrgFlags {
    /// What a call asked for, under the locks; and what was refused, as `flag=value`.
    #[must_use]
    pub fn hold(&self, call: &Flags) -> (Flags, Vec<String>) {
        let (lock, mut refused) = (&self.locks, Vec::new());
        let held = Flags {
            mode: held("mode", call.mode, lock.mode, |a, b| a > b, &mut refused),
            pii: held("pii", call.pii, lock.pii, |a, b| a > b, &mut refused),
            secrets: held("secrets", call.secrets, lock.secrets, |a, b| a > b, &mut refused),
            email: held(
                "email",
                call.email.clone(),
                lock.email.clone(),
                |a, b| *a == EmailFlag::Block || *b == EmailFlag::Allow,
                &mut refused,
            ),
            budget: held(
                "budget",
                call.budget.clone(),
                lock.budget.clone(),
                |a, b| *b == BudgetFlag::Unlimited || (a, b) == (&BudgetFlag::Dev, &BudgetFlag::Standard),
                &mut refused,
            ),
            tools: held(
                "tools",
                call.tools.clone(),
                lock.tools.clone(),
                |a, b| *a == ToolsFlag::Block || *b == ToolsFlag::Log,
                &mut refused,
            ),
            files: held(
                "files",
                call.files,
                lock.files,
                |a, b| *a == FilesFlag::Block || *b == FilesFlag::Allow,
                &mut refused,
            ),
            db: held("db", call.db, lock.db, |a, b| db_rank(*a) > db_rank(*b), &mut refused),
        };
        (held, refused)
    }
}

/// The lock, unless what is asked for is at least as strict. Two that cannot be compared leave the lock.
fn held<T: PartialEq + Display>(
    flag: &str,
    asked: Option<T>,
    lock: Option<T>,
    stricter: impl Fn(&T, &T) -> bool,
    refused: &mut Vec<String>,
) -> Option<T> {
    match (asked, lock) {
        (Some(asked), Some(lock)) if asked == lock || stricter(&asked, &lock) => Some(asked),
        (Some(asked), Some(lock)) => {
            refused.push(format!("{flag}={asked}"));
            Some(lock)
        }
        (asked, lock) => asked.or(lock),
    }
}

const fn db_rank(flag: DbFlag) -> u8 {
    match flag {
        DbFlag::SafeWrite => 0,
        DbFlag::ReadOnly => 1,
        DbFlag::Block => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(locks: &str, call: &str) -> (String, Vec<String>) {
        let parse = |text: &str| Flags::parse(text).expect("flags");
        let org = OrgFlags { locks: parse(locks), defaults: Flags::default() };
        let (flags, refused) = org.hold(&parse(call));
        let told: Vec<String> = flags.to_map().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        (told.join(", "), refused)
    }

    #[test]
    fn a_call_tightens_a_lock_and_never_loosens_it() {
        for (lock, looser, stricter) in [
            ("mode=enforce", "mode=observe", "mode=lockdown"),
            ("pii=mask", "pii=off", "pii=block"),
            ("secrets=redact", "secrets=flag", "secrets=block"),
            ("email=internal:acme.eu", "email=allow", "email=block"),
            ("email=internal:acme.eu", "email=internal:evil.example", "email=block"),
            ("budget=standard", "budget=unlimited", "budget=dev"),
            ("budget=standard", "budget=custom:1:1000", "budget=dev"),
            ("tools=denylist:shell", "tools=log", "tools=block"),
            ("tools=denylist:shell", "tools=allowlist:shell", "tools=block"),
            ("files=read_only", "files=allow", "files=block"),
            ("db=read_only", "db=safe_write", "db=block"),
        ] {
            assert_eq!(under(lock, ""), (lock.to_owned(), vec![]), "a silent call");
            assert_eq!(under(lock, lock), (lock.to_owned(), vec![]), "the same");
            assert_eq!(under(lock, looser), (lock.to_owned(), vec![looser.to_owned()]));
            assert_eq!(under(lock, stricter), (stricter.to_owned(), vec![]));
        }
    }

    #[test]
    fn what_allows_everything_locks_nothing() {
        let free = "budget=unlimited, email=allow, files=allow, tools=log";
        let asked = "budget=dev, email=mirror:a@b.eu, files=project, tools=denylist:shell";
        assert_eq!(under(free, asked), (asked.to_owned(), vec![]));
    }

    #[test]
    fn flags_without_a_lock_are_the_calls() {
        assert_eq!(under("pii=mask", "secrets=flag"), ("pii=mask, secrets=flag".to_owned(), vec![]));
    }
}
