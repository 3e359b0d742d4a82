//! Policies in Rego: questions with typed inputs, the shipped answers, an organisation's own, and how both combine.
//!
//! There are four questions ([`Question`]). Each has one package (`tappass.tools` …) and one answer, the rule
//! `decision`. An organisation's own policy can make an answer stricter, never milder: the stricter of both holds.
//! What is undefined, malformed, too slow or broken is an error, and an error refuses the call where decisions act.

mod decision;
mod embedded;
mod engine;
mod input;
mod source;
pub mod testing;

pub use decision::Decision;
pub use embedded::{Embedded, MAX_SOURCE};
pub use engine::{Engine, PolicyError};
pub use input::{Authz, CallView, FindingView, Guardrails, Question, Routing, ToolCallView, Tools};
pub use source::CompileError;
