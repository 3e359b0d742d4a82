//! The steps, one file each, in the folder of their phase. `registry` lists them in order.

#[path = "steps/before/adaptive_thresholds.rs"]
pub mod adaptive_thresholds;
#[path = "steps/before/budget.rs"]
pub mod budget;
#[path = "steps/before/classify_data.rs"]
pub mod classify_data;
#[path = "steps/before/detect_code_exec.rs"]
pub mod detect_code_exec;
#[path = "steps/before/detect_escalation.rs"]
pub mod detect_escalation;
#[path = "steps/before/detect_injection.rs"]
pub mod detect_injection;
#[path = "steps/before/detect_multimodal.rs"]
pub mod detect_multimodal;
#[path = "steps/before/detect_pii.rs"]
pub mod detect_pii;
#[path = "steps/before/detect_secrets.rs"]
pub mod detect_secrets;
#[path = "steps/before/detect_unicode.rs"]
pub mod detect_unicode;
#[path = "steps/before/enforce_clearance.rs"]
pub mod enforce_clearance;
#[path = "steps/before/filter_tools.rs"]
pub mod filter_tools;
#[path = "steps/before/inspect_images.rs"]
pub mod inspect_images;
#[path = "steps/before/isolate_context.rs"]
pub mod isolate_context;
#[path = "steps/before/llm_judge.rs"]
pub mod llm_judge;
#[path = "steps/before/pii_tokenize.rs"]
pub mod pii_tokenize;
#[path = "steps/before/rate_limit.rs"]
pub mod rate_limit;
#[path = "steps/before/session_budget.rs"]
pub mod session_budget;
#[path = "steps/before/shell_bleed.rs"]
pub mod shell_bleed;
#[path = "steps/before/taint_check.rs"]
pub mod taint_check;
#[path = "steps/before/tool_constraints.rs"]
pub mod tool_constraints;
#[path = "steps/before/tool_permissions.rs"]
pub mod tool_permissions;
#[path = "steps/before/user_tool_scopes.rs"]
pub mod user_tool_scopes;
#[path = "steps/before/validate_input.rs"]
pub mod validate_input;

#[path = "steps/call/call_llm.rs"]
pub mod call_llm;
#[path = "steps/call/call_tool.rs"]
pub mod call_tool;
#[path = "steps/call/detect_tool_poison.rs"]
pub mod detect_tool_poison;
#[path = "steps/call/loop_guard.rs"]
pub mod loop_guard;
#[path = "steps/call/model_routing.rs"]
pub mod model_routing;
#[path = "steps/call/scan_tool_calls.rs"]
pub mod scan_tool_calls;
#[path = "steps/call/session_loop_guard.rs"]
pub mod session_loop_guard;
#[path = "steps/call/verify_tool_governance.rs"]
pub mod verify_tool_governance;

#[path = "steps/after/cost_tracking.rs"]
pub mod cost_tracking;
#[path = "steps/after/debug_log.rs"]
pub mod debug_log;
#[path = "steps/after/detect_exfiltration.rs"]
pub mod detect_exfiltration;
#[path = "steps/after/detect_insider_threat.rs"]
pub mod detect_insider_threat;
#[path = "steps/after/output_constraints.rs"]
pub mod output_constraints;
#[path = "steps/after/output_dedup.rs"]
pub mod output_dedup;
#[path = "steps/after/pii_restore.rs"]
pub mod pii_restore;
#[path = "steps/after/scan_output.rs"]
pub mod scan_output;
#[path = "steps/after/session_escalation.rs"]
pub mod session_escalation;
#[path = "steps/after/verify_artifacts.rs"]
pub mod verify_artifacts;

mod definitions;
mod loops;
mod scored;
pub(crate) mod shared;

pub(crate) use shared::is_json;
