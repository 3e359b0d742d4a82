//! The pipeline: steps, registry, compiler, runner and the streaming hold-back.
//!
//! The way in: [`registry::STEPS`] is the table of contents, [`compile::compile`] makes a [`Pipeline`] of a
//! preset and its overrides, [`Call`] takes one exchange through its phases.

pub mod allow;
mod applies;
pub mod approvals;
pub mod arguments;
mod artifacts;
pub mod compare;
pub mod compile;
pub mod difference;
pub mod docs;
pub mod explain;
mod json_schema;
mod known;
pub mod lint;
pub mod mask;
mod media;
mod offered;
pub mod plan;
mod policy;
pub mod prices;
pub mod registry;
pub mod rehearse;
pub mod remember;
pub mod runner;
mod sealed;
pub mod spending;
pub mod step;
pub mod steps;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod tokens;
mod tool_call;
pub mod trace;

pub use approvals::{Approvals, Nobody};
pub use compare::{Compared, Effect, compare};
pub use compile::{
    CompileError, Pipeline, Problem, builtin_names, compile, compile_preset, name_in, pack_names,
    preset_names,
};
pub use explain::{Explained, Found, explain};
pub use known::Known;
pub use plan::{Plan, PlanError, plan};
pub use remember::{SESSION_LIFE, SESSION_RISK, session_key};
pub use runner::{Call, Halt, Services};
pub use step::{Category, Common, Meta, OnError, Phase};
pub use steps::definitions;
pub use stream::StreamGuard;
pub use trace::{Blocked, PolicyRow, Reason, Trace, TraceRow, WouldBlock};
