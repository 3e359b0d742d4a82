//! What a capability token says, what may be made of it, and whether a use is within it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tappass_audit::canonical;
use tappass_model::{Classification, Mode};
use uuid::Uuid;

use super::globs::covers;

/// The type in the header, which no other signature of the gateway has.
pub const TYP: &str = "tappass-cap+jwt";
/// How long a token holds, in seconds.
pub const TTL: i64 = 60;
/// How far clocks may be apart, in seconds.
pub const LEEWAY: i64 = 5;
/// Beyond this, neighbouring integers share one double, so that two values would have one hash (RFC 7493 §2.2).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// What a token says. A verifier refuses what it does not know: a member that it overlooks could be a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The version of these claims.
    pub v: u8,
    /// The gateway's address.
    pub iss: String,
    /// The token.
    pub jti: Uuid,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Until when it holds; not then any more.
    pub exp: i64,
    /// The agent, by its UUID.
    pub sub: Uuid,
    /// The agent, by its name.
    pub agent_id: String,
    /// Its organisation.
    pub org_id: Uuid,
    /// The session of the call.
    pub sid: String,
    /// The call, by its id in the audit log.
    pub call: Uuid,
    /// The mode that the call was governed in.
    pub mode: Mode,
    /// The highest level of data.
    pub level: Classification,
    /// The tools, by name or glob; none: none.
    pub tools: Vec<String>,
    /// What may be done: `llm_call`, `tool_call`, `code_exec`, `credential_access`, `system_of_record_write`.
    pub ops: Vec<String>,
    /// The server whose tool it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// SHA-256 in hexadecimal of the only arguments' canonical form (RFC 8785).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_sha256: Option<String>,
    /// What is used up with it: its own id, or what it was made of, where that was for one call.
    pub once: Uuid,
    /// The token that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Uuid>,
}

/// Why a token does not serve. The word is the reason's name in answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No token, another kind of token, or one that was changed.
    #[error("it is no capability token of this gateway")]
    InvalidToken,
    /// Signed with a key that is not published.
    #[error("it is signed with a key that is not known, or no longer")]
    UnknownKey,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// It was made later than now.
    #[error("it was made later than now: look at the clocks")]
    NotYetValid,
    /// Of another organisation.
    #[error("it is another organisation's")]
    WrongOrganisation,
    /// For another agent.
    #[error("it is for another agent")]
    WrongAgent,
    /// For another session.
    #[error("it is for another session")]
    WrongSession,
    /// The tool is not covered.
    #[error("it does not cover this tool")]
    WrongTool,
    /// For a tool of another server.
    #[error("it is for a tool of another server")]
    WrongServer,
    /// The operation is not covered.
    #[error("it does not cover this operation")]
    WrongOperation,
    /// For other arguments, or they were not shown.
    #[error("it is for other arguments, or they were not shown")]
    WrongArguments,
    /// The data is more sensitive than it covers.
    #[error("it does not cover data of this level")]
    LevelExceeded,
    /// It has been used.
    #[error("it has been used")]
    AlreadyUsed,
    /// What is asked for goes beyond the token that it would be made of.
    #[error("it would cover more than the token that it is made of")]
    NotNarrower,
}

/// A use of a token. What is absent is not looked at, except arguments that the token is bound to.
#[derive(Debug, Clone, Default)]
pub struct Use<'a> {
    /// The agent, by its name or UUID.
    pub agent: Option<&'a str>,
    /// The session.
    pub session: Option<&'a str>,
    /// The tool.
    pub tool: Option<&'a str>,
    /// Its server.
    pub server: Option<&'a str>,
    /// The operation.
    pub op: Option<&'a str>,
    /// The hash of its arguments, of [`arguments_hash`].
    pub args_sha256: Option<&'a str>,
    /// The level of the data.
    pub level: Option<Classification>,
}

/// What a child is to cover. What is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Narrowing {
    /// The tools, by name or glob.
    pub tools: Option<Vec<String>>,
    /// What may be done.
    pub ops: Option<Vec<String>>,
    /// The highest level of data.
    pub level: Option<Classification>,
    /// The hash of the only arguments.
    pub args_sha256: Option<String>,
    /// How long it is to hold, in seconds; never longer than its parent.
    pub ttl: Option<i64>,
}

impl Claims {
    /// Whether it holds now.
    ///
    /// # Errors
    /// [`Refusal::Expired`], [`Refusal::NotYetValid`].
    pub fn holds(&self, now: Timestamp) -> Result<(), Refusal> {
        let now = now.as_second();
        if now >= self.exp.saturating_add(LEEWAY) {
            return Err(Refusal::Expired);
        }
        if self.iat > now.saturating_add(LEEWAY) { Err(Refusal::NotYetValid) } else { Ok(()) }
    }

    /// Whether a use is within it.
    ///
    /// # Errors
    /// The first thing that is not, by its own name.
    pub fn covers(&self, used: &Use<'_>) -> Result<(), Refusal> {
        let sub = self.sub.to_string();
        let checks = [
            (used.agent.is_none_or(|a| a == self.agent_id || a == sub), Refusal::WrongAgent),
            (used.session.is_none_or(|s| s == self.sid), Refusal::WrongSession),
            (used.op.is_none_or(|op| self.ops.iter().any(|o| o == op)), Refusal::WrongOperation),
            (used.tool.is_none_or(|t| self.tools.iter().any(|g| covers(g, t))), Refusal::WrongTool),
            (
                used.server.is_none_or(|s| self.server.as_deref().is_none_or(|own| own == s)),
                Refusal::WrongServer,
            ),
            (
                // Bound arguments that are not shown are as good as wrong ones; without a tool nothing is called.
                self.args_sha256
                    .as_deref()
                    .is_none_or(|own| used.args_sha256.map_or(used.tool.is_none(), |shown| own == shown)),
                Refusal::WrongArguments,
            ),
            (used.level.is_none_or(|level| level <= self.level), Refusal::LevelExceeded),
        ];
        checks.into_iter().find(|(right, _)| !right).map_or(Ok(()), |(_, refusal)| Err(refusal))
    }

    /// The claims of a child: within these, for the same agent in the same session, ending no later.
    ///
    /// # Errors
    /// [`Refusal::NotNarrower`] for what goes beyond, [`Refusal::Expired`] where its time is over.
    pub fn narrowed(&self, to: &Narrowing, jti: Uuid, now: Timestamp) -> Result<Self, Refusal> {
        let now = now.as_second();
        if now >= self.exp {
            return Err(Refusal::Expired);
        }
        let mut child = self.clone();
        if let Some(tools) = &to.tools {
            if !tools.iter().all(|tool| self.tools.iter().any(|own| covers(own, tool))) {
                return Err(Refusal::NotNarrower);
            }
            child.tools.clone_from(tools);
        }
        if let Some(ops) = &to.ops {
            if !ops.iter().all(|op| self.ops.contains(op)) {
                return Err(Refusal::NotNarrower);
            }
            child.ops.clone_from(ops);
        }
        if let Some(level) = to.level {
            if level > self.level {
                return Err(Refusal::NotNarrower);
            }
            child.level = level;
        }
        if let Some(hash) = &to.args_sha256 {
            if self.args_sha256.as_ref().is_some_and(|own| own != hash) {
                return Err(Refusal::NotNarrower);
            }
            child.args_sha256 = Some(hash.clone());
        }
        child.jti = jti;
        child.iat = now;
        child.exp = self.exp.min(now.saturating_add(to.ttl.unwrap_or(TTL).clamp(1, TTL)));
        child.parent = Some(self.jti);
        // What was for one call stays for one call, however many children it has.
        child.once = if self.args_sha256.is_some() { self.once } else { jti };
        Ok(child)
    }
}

/// SHA-256 of the canonical form of a call's arguments (RFC 8785), in hexadecimal. `None` where they hold an integer that
/// a double cannot: other arguments would have the same hash.
#[must_use]
pub fn arguments_hash(arguments: &Value) -> Option<String> {
    if !is_exact(arguments) {
        return None;
    }
    let text = canonical::to_string(arguments);
    Some(hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes())))
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(n) => {
            let int = n.as_i64().map(i64::unsigned_abs).or_else(|| n.as_u64());
            int.is_none_or(|int| int <= MAX_SAFE_INTEGER)
        }
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(super) fn claims() -> Claims {
        Claims {
            v: 1,
            iss: "https://gateway.example".into(),
            jti: Uuid::from_u128(1),
            iat: 1000,
            exp: 1060,
            sub: Uuid::from_u128(2),
            agent_id: "agent".into(),
            org_id: Uuid::from_u128(3),
            sid: "s".into(),
            call: Uuid::from_u128(4),
            mode: Mode::Enforce,
            level: Classification::Confidential,
            tools: vec!["read_*".into(), "search".into()],
            ops: vec!["llm_call".into(), "tool_call".into()],
            server: None,
            args_sha256: None,
            once: Uuid::from_u128(1),
            parent: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn each_wrong_use_has_its_own_reason() {
        let bound =
            Claims { args_sha256: arguments_hash(&json!({"q": 1})), server: Some("crm".into()), ..claims() };
        let hash = arguments_hash(&json!({"q": 1.0})).expect("a hash");
        let right = Use {
            agent: Some("agent"),
            session: Some("s"),
            tool: Some("read_file"),
            server: Some("crm"),
            op: Some("tool_call"),
            args_sha256: Some(&hash),
            level: Some(Classification::Internal),
        };
        assert_eq!(bound.covers(&right), Ok(()));
        assert_eq!(bound.covers(&Use::default()), Ok(()), "nothing is used");
        let sub = bound.sub.to_string();
        assert_eq!(bound.covers(&Use { agent: Some(&sub), ..right.clone() }), Ok(()));
        let other = arguments_hash(&json!({"q": 2}));
        for (wrong, reason) in [
            (Use { agent: Some("agent-2"), ..right.clone() }, Refusal::WrongAgent),
            (Use { session: Some("t"), ..right.clone() }, Refusal::WrongSession),
            (Use { tool: Some("write_file"), ..right.clone() }, Refusal::WrongTool),
            (Use { tool: Some("*"), ..right.clone() }, Refusal::WrongTool),
            (Use { server: Some("erp"), ..right.clone() }, Refusal::WrongServer),
            (Use { op: Some("code_exec"), ..right.clone() }, Refusal::WrongOperation),
            (Use { args_sha256: other.as_deref(), ..right.clone() }, Refusal::WrongArguments),
            (Use { args_sha256: None, ..right.clone() }, Refusal::WrongArguments),
            (Use { level: Some(Classification::Restricted), ..right }, Refusal::LevelExceeded),
        ] {
            assert_eq!(bound.covers(&wrong), Err(reason), "{wrong:?}");
        }
    }

    #[test]
    fn it_holds_for_its_time() {
        let c = claims();
        for (second, holds) in [
            (994, Err(Refusal::NotYetValid)),
            (995, Ok(())),
            (1059, Ok(())),
            (1064, Ok(())),
            (1065, Err(Refusal::Expired)),
        ] {
            assert_eq!(c.holds(at(second)), holds, "{second}");
        }
    }

    #[test]
    fn arguments_have_one_hash_and_only_they() {
        let hash = |v: Value| arguments_hash(&v);
        assert_eq!(hash(json!({"a": 1, "b": [2.0]})), hash(json!({"b": [2], "a": 1.0})));
        assert_ne!(hash(json!({"a": 1})), hash(json!({"a": "1"})));
        for inexact in [json!({"a": 9_007_199_254_740_993_i64}), json!([{"b": u64::MAX}]), json!(i64::MIN)] {
            assert_eq!(hash(inexact), None);
        }
    }

    #[test]
    fn what_was_for_one_call_stays_so() {
        let hash = "a".repeat(64);
        let child = |of: &Claims, n| {
            of.narrowed(
                &Narrowing { args_sha256: Some(hash.clone()), ..Narrowing::default() },
                Uuid::from_u128(n),
                at(1001),
            )
        };
        let first = child(&claims(), 10).expect("narrower");
        assert_eq!((first.once, first.parent), (first.jti, Some(claims().jti)));
        let again = child(&first, 11).expect("as narrow");
        assert_eq!((again.once, again.jti), (first.jti, Uuid::from_u128(11)));
        let other = Narrowing { args_sha256: Some("b".repeat(64)), ..Narrowing::default() };
        assert_eq!(first.narrowed(&other, Uuid::nil(), at(1001)), Err(Refusal::NotNarrower));
        assert_eq!(claims().narrowed(&Narrowing::default(), Uuid::nil(), at(1060)), Err(Refusal::Expired));
    }

    fn level() -> impl Strategy<Value = Classification> {
        prop::sample::select(Classification::ALL.to_vec())
    }

    proptest! {
        /// Whatever a child covers, its parent covers; and it never outlives it.
        #[test]
        fn a_child_is_within_its_parent(
            own in prop::collection::vec("[ab?*]{1,4}", 0..3),
            tools in prop::option::of(prop::collection::vec("[ab?*]{1,4}", 0..3)),
            (own_level, wanted, used) in (level(), prop::option::of(level()), level()),
            (own_args, args, shown) in (prop::option::of("[xy]"), prop::option::of("[xy]"), prop::option::of("[xy]")),
            (ttl, now) in (prop::option::of(-10_i64..200), 990_i64..1070),
            tool in "[ab]{0,4}",
            op in prop::option::of(prop::sample::select(vec!["llm_call", "tool_call", "code_exec"])),
        ) {
            let parent = Claims { tools: own, level: own_level, args_sha256: own_args, ..claims() };
            let ops = op.map(|op| vec![op.to_owned()]);
            let to = Narrowing { tools, ops, level: wanted, args_sha256: args, ttl };
            if let Ok(child) = parent.narrowed(&to, Uuid::from_u128(9), at(now)) {
                prop_assert!(child.exp <= parent.exp && child.exp > now && child.exp - child.iat <= TTL);
                prop_assert_eq!((child.sub, child.org_id, &child.sid, &child.server), (parent.sub, parent.org_id, &parent.sid, &parent.server));
                prop_assert!(parent.args_sha256.is_none() || child.once == parent.once);
                let used = Use { tool: Some(&tool), op, level: Some(used), args_sha256: shown.as_deref(), ..Use::default() };
                if child.covers(&used).is_ok() {
                    prop_assert_eq!(parent.covers(&used), Ok(()), "{:?} of {:?}", child, parent);
                }
            }
        }
    }
}
