//! What one call asked for, held against what its organisation allows: the mode and the steps' actions it gets.

use tappass_model::{
    AgentSettings, FlagError, Flags, Mode, OnDetection, OrgFlags, ToolRules,
    flags::{BudgetFlag, EmailFlag, FilesFlag, PiiFlag, SecretsFlag, ToolsFlag},
};

use crate::compile::Pipeline;

/// What holds for one call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The mode after the floor.
    pub mode: Mode,
    /// The flags that took effect.
    pub flags: Flags,
    /// What a hit does, for the steps where a flag changed it.
    pub on_detection: Vec<(&'static str, OnDetection)>,
    /// Tools that the call's flags leave, beside the agent's own rules.
    pub tools: Option<ToolRules>,
    /// What the call's `budget` flag allows, in the place of what is configured.
    pub spend: Spend,
    /// Loosenings that the floor or a lock refused, as `flag=value`: recorded and alerted.
    pub refused: Vec<String>,
}

impl Plan {
    /// What a hit of a step does in this call, before the mode.
    #[must_use]
    pub fn on_detection(&self, step: &str, configured: OnDetection) -> OnDetection {
        self.on_detection.iter().find(|(id, _)| *id == step).map_or(configured, |(_, on)| *on)
    }
}

/// Bounds in USD; `None` where the configured one holds, infinite for no bound.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spend {
    /// Of the call.
    pub call_usd: Option<f64>,
    /// Of its session.
    pub session_usd: Option<f64>,
    /// Of its agent in a day.
    pub day_usd: Option<f64>,
}

/// Why a call's flags cannot be honoured: 422, nothing is forwarded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a flag.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// A promise that the pipeline could not keep is not made.
    #[error("flag `{flag}` needs the step `{step}`, which pipeline `{pipeline}` does not run")]
    NoStep {
        /// As given.
        flag: String,
        /// The step that would do it.
        step: &'static str,
        /// The agent's pipeline.
        pipeline: String,
    },
}

/// Order: the organisation's lock, the call's flags, the agent's, the organisation's default; then the floor. A call may
/// always tighten; it may loosen what is not locked, while the agent's floor lets calls through unhindered (observe or
/// warn).
///
/// # Errors
/// [`PlanError::NoStep`] for a flag that nothing in this pipeline would honour.
pub fn plan(
    call: &Flags,
    settings: &AgentSettings,
    org: &OrgFlags,
    pipeline: &Pipeline,
) -> Result<Plan, PlanError> {
    let (asked, refused) = org.hold(call);
    let mode = asked.mode.or(settings.flags.mode);
    // What people have set, the nearest first: it holds whatever the floor.
    let set = org.locks.clone().over(&settings.flags).over(&org.defaults);
    let mut plan = Plan { flags: Flags { mode, ..asked.over(&set) }, refused, ..Plan::default() };
    plan.mode = mode.unwrap_or(settings.mode).max(settings.floor);
    if let Some(asked) = call.mode.filter(|m| *m < plan.mode && org.locks.mode.is_none_or(|lock| *m >= lock))
    {
        plan.refused.push(format!("mode={asked}"));
    }
    plan.flags.mode = plan.flags.mode.map(|_| plan.mode);
    let may_loosen = !settings.floor.acts();

    if let Some(pii) = plan.flags.pii {
        let on = match pii {
            PiiFlag::Off => OnDetection::Continue,
            PiiFlag::Flag => OnDetection::Log,
            PiiFlag::Mask => OnDetection::Redact,
            PiiFlag::Block => OnDetection::Block,
        };
        let own = set.pii == Some(pii);
        if !plan.turn(pipeline, "detect_pii", on, may_loosen || own, format!("pii={pii}"))? {
            plan.flags.pii = None;
        } else if on <= OnDetection::Log && (may_loosen || own) {
            // What is to be left as it is, is not swapped for a token either.
            plan.on_detection.push(("pii_tokenize", on));
        }
    }
    if let Some(secrets) = plan.flags.secrets {
        let on = match secrets {
            SecretsFlag::Flag => OnDetection::Log,
            SecretsFlag::Redact => OnDetection::Redact,
            SecretsFlag::Block => OnDetection::Block,
        };
        let own = set.secrets == Some(secrets);
        if !plan.turn(pipeline, "detect_secrets", on, may_loosen || own, format!("secrets={secrets}"))? {
            plan.flags.secrets = None;
        }
    }
    if let Some(tools) = &plan.flags.tools {
        needs(pipeline, "tool_permissions", || format!("tools={tools}"))?;
        plan.tools = match tools {
            ToolsFlag::Allowlist(names) => Some(ToolRules { allow: names.clone(), deny: Vec::new() }),
            ToolsFlag::Denylist(names) => Some(ToolRules { allow: Vec::new(), deny: names.clone() }),
            ToolsFlag::Block => Some(ToolRules { allow: Vec::new(), deny: vec!["*".into()] }),
            ToolsFlag::Log => None,
        };
    }
    if let Some(budget) = plan.flags.budget.clone() {
        let own = set.budget.as_ref() == Some(&budget);
        if !plan.spend(pipeline, &budget, may_loosen || own)? {
            plan.flags.budget = None;
        }
    }
    // These are kept by steps that a pipeline may lack: then the call hears it instead of a silent nothing.
    if let Some(email) = plan.flags.email.as_ref().filter(|e| **e != EmailFlag::Allow) {
        needs(pipeline, "tool_constraints", || format!("email={email}"))?;
    }
    if let Some(files) = plan.flags.files.filter(|f| *f != FilesFlag::Allow) {
        needs(pipeline, "tool_constraints", || format!("files={files}"))?;
    }
    if let Some(db) = plan.flags.db {
        needs(pipeline, "detect_code_exec", || format!("db={db}"))?;
    }
    Ok(plan)
}

impl Plan {
    /// Whether it took effect, at least in part: a bound that is tighter than the configured one always does.
    fn spend(&mut self, pipeline: &Pipeline, flag: &BudgetFlag, may_loosen: bool) -> Result<bool, PlanError> {
        let (call, session, day) = match flag {
            BudgetFlag::Dev => (None, Some(1.0), Some(5.0)),
            BudgetFlag::Standard => (None, Some(10.0), Some(50.0)),
            BudgetFlag::Custom(call, session) => (Some(*call), Some(*session), None),
            BudgetFlag::Unlimited => (Some(f64::INFINITY), Some(f64::INFINITY), Some(f64::INFINITY)),
        };
        let (mut took_effect, mut refused) = (false, false);
        for (asked, step, parameter, slot) in [
            (call, "budget", "call_usd", &mut self.spend.call_usd),
            (day, "budget", "day_usd", &mut self.spend.day_usd),
            (session, "session_budget", "usd", &mut self.spend.session_usd),
        ] {
            let Some(asked) = asked else { continue };
            if asked.is_finite() {
                needs(pipeline, step, || format!("budget={flag}"))?;
            }
            let configured = pipeline.step(step).and_then(|s| s.parameters[parameter].as_f64());
            if configured.is_some_and(|configured| asked > configured) && !may_loosen {
                refused = true;
            } else {
                *slot = Some(asked);
                took_effect = true;
            }
        }
        if refused {
            self.refused.push(format!("budget={flag}"));
        }
        Ok(took_effect)
    }

    /// Whether it took effect.
    fn turn(
        &mut self,
        pipeline: &Pipeline,
        step: &'static str,
        on: OnDetection,
        may_loosen: bool,
        flag: String,
    ) -> Result<bool, PlanError> {
        let configured = match pipeline.step(step) {
            Some(placed) => placed.common.on_detection,
            // Nothing to loosen, and nothing that would keep the promise.
            None if on <= OnDetection::Log => return Ok(true),
            None => return Err(PlanError::NoStep { flag, step, pipeline: pipeline.name.clone() }),
        };
        if on < configured && !may_loosen {
            self.refused.push(flag);
            return Ok(false);
        }
        self.on_detection.push((step, on));
        Ok(true)
    }
}

fn needs(pipeline: &Pipeline, step: &'static str, flag: impl Fn() -> String) -> Result<(), PlanError> {
    if pipeline.step(step).is_some() {
        return Ok(());
    }
    Err(PlanError::NoStep { flag: flag(), step, pipeline: pipeline.name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile_preset;

    fn planned(call: &str, settings: &AgentSettings) -> Result<Plan, PlanError> {
        let flags = Flags::parse(call)?;
        plan(&flags, settings, &OrgFlags::default(), &compile_preset("starter").expect("compiles"))
    }

    fn agent(mode: Mode, floor: Mode, flags: &str) -> AgentSettings {
        AgentSettings { mode, floor, flags: Flags::parse(flags).expect("flags"), ..AgentSettings::default() }
    }

    #[test]
    fn a_call_may_tighten_but_not_go_below_the_floor() {
        let pilot = agent(Mode::Observe, Mode::Observe, "");
        assert_eq!(planned("mode=enforce", &pilot).expect("ok").mode, Mode::Enforce);
        assert_eq!(planned("", &pilot).expect("ok").mode, Mode::Observe);
        let live = agent(Mode::Enforce, Mode::Enforce, "");
        let plan = planned("mode=observe", &live).expect("ok");
        assert_eq!((plan.mode, plan.refused), (Mode::Enforce, vec!["mode=observe".to_owned()]));
        assert_eq!(planned("mode=lockdown", &live).expect("ok").mode, Mode::Lockdown);
    }

    #[test]
    fn loosening_a_step_needs_a_low_floor() {
        let configured = OnDetection::Block;
        let pilot = planned("secrets=flag", &agent(Mode::Enforce, Mode::Observe, "")).expect("ok");
        assert_eq!(pilot.on_detection("detect_secrets", configured), OnDetection::Log);
        let live = planned("secrets=flag", &agent(Mode::Enforce, Mode::Enforce, "")).expect("ok");
        assert_eq!(live.on_detection("detect_secrets", configured), OnDetection::Block);
        assert_eq!(live.refused, ["secrets=flag"]);
        // What the admin has set on the agent holds whatever the floor.
        let set = planned("", &agent(Mode::Enforce, Mode::Enforce, "secrets=redact")).expect("ok");
        assert_eq!(set.on_detection("detect_secrets", configured), OnDetection::Redact);
        let tighter = planned("pii=mask", &agent(Mode::Enforce, Mode::Enforce, "")).expect("ok");
        assert_eq!(tighter.on_detection("detect_pii", OnDetection::Log), OnDetection::Redact);
    }

    #[test]
    fn locks_hold_over_calls_and_agents_and_defaults_below_both() {
        let pipeline = compile_preset("starter").expect("compiles");
        let flags = |text: &str| Flags::parse(text).expect("flags");
        let org = OrgFlags { locks: flags("mode=enforce, secrets=redact"), defaults: flags("pii=mask") };
        let planned = |call: &str, settings: &AgentSettings| {
            plan(&flags(call), settings, &org, &pipeline).expect("a plan")
        };
        let pilot = agent(Mode::Observe, Mode::Observe, "");
        let silent = planned("", &pilot);
        assert_eq!((silent.mode, silent.refused.len()), (Mode::Enforce, 0));
        assert_eq!(silent.on_detection("detect_secrets", OnDetection::Block), OnDetection::Redact);
        assert_eq!(silent.on_detection("detect_pii", OnDetection::Log), OnDetection::Redact);
        let loose = planned("mode=observe, secrets=flag, pii=flag", &pilot);
        assert_eq!(
            (loose.mode, &loose.refused),
            (Mode::Enforce, &vec!["mode=observe".into(), "secrets=flag".into()])
        );
        assert_eq!(
            loose.on_detection("detect_pii", OnDetection::Redact),
            OnDetection::Log,
            "a default is no lock"
        );
        assert_eq!(planned("mode=lockdown", &pilot).mode, Mode::Lockdown);
        // The agent's own flag is over the default and under the lock; what the lock says holds whatever the floor.
        let own = planned("", &agent(Mode::Enforce, Mode::Enforce, "pii=off, secrets=block"));
        assert_eq!(own.on_detection("detect_pii", OnDetection::Block), OnDetection::Continue);
        assert_eq!(own.on_detection("detect_secrets", OnDetection::Block), OnDetection::Redact);
        // Nor does a lock get below an agent's floor.
        let below = OrgFlags { locks: flags("mode=observe"), ..OrgFlags::default() };
        let live =
            plan(&flags(""), &agent(Mode::Enforce, Mode::Enforce, ""), &below, &pipeline).expect("a plan");
        assert_eq!((live.mode, live.refused.len()), (Mode::Enforce, 0));
    }

    #[test]
    fn a_flag_that_nothing_honours_is_refused() {
        let pilot = agent(Mode::Observe, Mode::Observe, "");
        let error = planned("budget=dev", &pilot).expect_err("refused").to_string();
        assert!(error.contains("needs the step `budget`") && error.contains("starter"), "{error}");
        assert!(planned("budget=unlimited, email=allow, files=allow", &pilot).is_ok());
    }

    #[test]
    fn a_budget_may_be_tighter_and_looser_only_above_a_low_floor() {
        let yaml = "preset: starter\noverrides: {budget: {day_usd: 20}, session_budget: {usd: 5}}";
        let pipeline = crate::compile("p", 1, yaml).expect("compiles");
        let planned = |flags: &str, floor, own: &str| {
            let settings = agent(Mode::Enforce, floor, own);
            plan(&Flags::parse(flags).expect("flags"), &settings, &OrgFlags::default(), &pipeline)
                .expect("a plan")
        };
        let dev = planned("budget=dev", Mode::Enforce, "");
        assert_eq!(
            (dev.spend.session_usd, dev.spend.day_usd, dev.spend.call_usd),
            (Some(1.0), Some(5.0), None)
        );
        // 10 a session and 50 a day would be looser than what is configured.
        let loose = planned("budget=standard", Mode::Enforce, "");
        assert_eq!((loose.spend, loose.refused), (Spend::default(), vec!["budget=standard".to_owned()]));
        assert_eq!(planned("budget=standard", Mode::Observe, "").spend.day_usd, Some(50.0));
        assert_eq!(planned("", Mode::Enforce, "budget=standard").spend.day_usd, Some(50.0));
        // Tighter in one, looser in the other: each is judged by itself.
        let custom = planned("budget=custom:0.5:100", Mode::Enforce, "");
        assert_eq!((custom.spend.call_usd, custom.spend.session_usd), (Some(0.5), None));
        assert_eq!(custom.refused, ["budget=custom:0.5:100"]);
        let none = planned("budget=unlimited", Mode::Observe, "").spend;
        assert_eq!(none.day_usd, Some(f64::INFINITY));
    }

    #[test]
    fn tools_flags_become_rules() {
        let pilot = agent(Mode::Observe, Mode::Observe, "");
        let rules = planned("tools=allowlist:read_*:search", &pilot).expect("ok").tools.expect("rules");
        assert_eq!(rules.allow, ["read_*", "search"]);
        assert_eq!(planned("tools=block", &pilot).expect("ok").tools.expect("rules").deny, ["*"]);
    }
}
