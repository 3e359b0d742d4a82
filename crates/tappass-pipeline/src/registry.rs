//! The table of contents: every step, in the order of a call.

use crate::{step::Entry, steps::*};

/// The step that calls the provider; no pipeline is without it.
pub const PROVIDER_CALL: &str = "call_llm";

/// All steps, by position.
pub const STEPS: &[Entry] = &[
    // before: may the call leave?
    Entry::pure::<validate_input::ValidateInput>(),
    Entry::waiting::<rate_limit::RateLimitStep>(),
    Entry::waiting::<budget::Budget>(),
    Entry::waiting::<session_budget::SessionBudget>(),
    Entry::pure::<tool_permissions::ToolPermissions>(),
    Entry::pure::<filter_tools::FilterTools>(),
    Entry::pure::<tool_constraints::ToolConstraints>(),
    Entry::pure::<user_tool_scopes::UserToolScopes>(),
    Entry::pure::<adaptive_thresholds::AdaptiveThresholds>(),
    Entry::pure::<detect_pii::DetectPii>(),
    Entry::pure::<pii_tokenize::PiiTokenize>(),
    Entry::pure::<detect_secrets::DetectSecrets>(),
    Entry::pure::<detect_infra::DetectInfra>(),
    Entry::pure::<detect_business::DetectBusiness>(),
    Entry::pure::<taint_check::TaintCheck>(),
    Entry::pure::<detect_unicode::DetectUnicode>(),
    Entry::pure::<detect_injection::DetectInjection>(),
    Entry::pure::<detect_escalation::DetectEscalation>(),
    Entry::pure::<shell_bleed::ShellBleed>(),
    Entry::pure::<detect_code_exec::DetectCodeExec>(),
    Entry::pure::<detect_multimodal::DetectMultimodal>(),
    Entry::pure::<inspect_images::InspectImages>(),
    Entry::waiting::<llm_judge::LlmJudge>(),
    Entry::pure::<classify_data::ClassifyData>(),
    Entry::waiting::<isolate_context::IsolateContext>(),
    Entry::waiting::<enforce_clearance::EnforceClearance>(),
    Entry::waiting::<require_approval::RequireApproval>(),
    // call: run it
    Entry::waiting::<model_routing::ModelRouting>(),
    Entry::pure::<loop_guard::LoopGuard>(),
    Entry::pure::<session_loop_guard::SessionLoopGuard>(),
    Entry::waiting::<detect_tool_poison::DetectToolPoison>(),
    Entry::waiting::<verify_tool_governance::VerifyToolGovernance>(),
    Entry::waiting::<call_llm::CallLlm>(),
    Entry::waiting::<scan_tool_calls::ScanToolCalls>(),
    Entry::pure::<call_tool::CallTool>(),
    // after: may the answer come back?
    Entry::pure::<scan_output::ScanOutput>(),
    Entry::pure::<content_safety::ContentSafety>(),
    Entry::pure::<output_constraints::OutputConstraints>(),
    Entry::pure::<output_dedup::OutputDedup>(),
    Entry::pure::<detect_exfiltration::DetectExfiltration>(),
    Entry::pure::<scan_tool_results::ScanToolResults>(),
    Entry::pure::<detect_memory_poison::DetectMemoryPoison>(),
    Entry::waiting::<detect_insider_threat::DetectInsiderThreat>(),
    Entry::pure::<verify_artifacts::VerifyArtifacts>(),
    Entry::waiting::<session_escalation::SessionEscalation>(),
    Entry::pure::<classify_output::ClassifyOutput>(),
    Entry::pure::<pii_restore::PiiRestore>(),
    Entry::pure::<cost_tracking::CostTracking>(),
    Entry::pure::<debug_log::DebugLog>(),
];
