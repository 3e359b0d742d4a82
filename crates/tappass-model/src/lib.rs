//! The vocabulary every crate shares: calls, callers, findings, verdicts, modes, ids and the clock. No I/O.

pub mod caller;
pub mod classification;
pub mod clock;
pub mod detect;
pub mod exchange;
pub mod flags;
pub mod ids;
pub mod json;
pub mod memory;
pub mod mode;
pub mod org_flags;
pub mod outcome;
pub mod text;

pub use caller::{AgentCaller, AgentCredential, AgentSettings, Role, TokenScope, ToolRules};
pub use classification::Classification;
pub use clock::{Clock, SystemClock};
pub use detect::{Family, Match};
pub use exchange::{Answer, Dialect, Exchange, ModelRequest, SessionRef, ToolCall, Unread, Usage};
pub use flags::{FlagError, Flags};
pub use ids::{Ids, SystemIds};
pub use memory::{Change, Memory, Scope, Seen, Taint, Tokenised};
pub use mode::{Action, Mode, OnDetection};
pub use org_flags::OrgFlags;
pub use outcome::{Denial, Effect, Finding, Outcome, Scored, Span};
pub use text::{Origin, Segment};
