//! Kept calls of the past, judged by another pipeline: what it would have done otherwise. Nothing is called, nobody asked,
//! no budget touched, nothing recorded of the calls.

mod past;
mod told;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tappass_identity::vault::VaultError;
use tappass_model::{
    AgentCaller, AgentCredential, Classification, Exchange, Flags, Mode, OrgFlags, SessionRef, json,
};
use tappass_pipeline::{Call, Compared, Known, Nobody, Pipeline, Services, compare, plan};
use tappass_provider::dialects;
use tappass_store::{KeptCall, KeptFilter, MemoryState};
use uuid::Uuid;

use self::past::Past;
pub use self::told::Replayed;
use self::told::Tally;
use crate::{error::ApiError, kept::Said, state::App};

/// The most calls that are judged, and how many unless said otherwise.
pub const MOST_CALLS: u32 = 1_000;
/// How long it may take; what is not judged by then is not.
const WITHIN: Duration = Duration::from_secs(10);
/// How many are read at once.
const AT_ONCE: u32 = 100;

/// What is asked.
pub struct Replay {
    /// The pipeline that judges.
    pub pipeline: Arc<Pipeline>,
    /// Whose calls; `None`: of all agents.
    pub agents: Option<Vec<String>>,
    /// From when on.
    pub since: Timestamp,
    /// How many at most.
    pub limit: u32,
}

/// Judges an organisation's kept calls, the newest first.
///
/// # Errors
/// What keeps the database from answering.
pub async fn replay(app: &App, org_id: Uuid, asked: &Replay) -> Result<Replayed, ApiError> {
    let _turn = app.kept.turn.acquire().await.map_err(ApiError::internal)?;
    let (begun, now) = (Instant::now(), app.clock.now());
    let mut filter = KeptFilter { agents: asked.agents.clone(), since: asked.since, before: None };
    let mut tally = Tally::default();
    let mut judge = Judge::new(app, org_id, &asked.pipeline).await?;
    while tally.looked_at < asked.limit {
        let some = AT_ONCE.min(asked.limit - tally.looked_at);
        let calls = app.store.kept_calls().list(org_id, &filter, now, some).await?;
        let Some(last) = calls.last() else { break };
        filter.before = Some((last.ts, last.call_id));
        for kept in &calls {
            if begun.elapsed() > WITHIN {
                tally.ran_out = true;
                break;
            }
            tally.looked_at += 1;
            judge.judge(kept, &mut tally).await?;
            // The scan of a call takes the processor; others have calls under way.
            tokio::task::yield_now().await;
        }
        if tally.ran_out {
            break;
        }
    }
    filter.before = None;
    let recorded = app.store.audit().count_calls(org_id, asked.agents.as_deref(), asked.since).await?;
    let mut kept = [0; 2];
    for (kind, count) in ["llm_call", "tool_call"].into_iter().zip(&mut kept) {
        *count = app.store.kept_calls().count(org_id, kind, &filter, now).await?;
    }
    let keeps = app.kept.settings.of(org_id).await?.keep_days > 0;
    Ok(tally.told(asked, &told::Window { now, recorded, kept, keeps }))
}

/// What judges the calls of one replay.
struct Judge<'a> {
    app: &'a App,
    org_id: Uuid,
    pipeline: &'a Arc<Pipeline>,
    known: Known,
    policies: Arc<dyn tappass_policy::Engine>,
    allowlist: tappass_detect::Allowlist,
    org_flags: OrgFlags,
    providers: Arc<tappass_provider::Providers>,
    agents: HashMap<String, Option<Arc<AgentCaller>>>,
}

impl<'a> Judge<'a> {
    async fn new(app: &'a App, org_id: Uuid, pipeline: &'a Arc<Pipeline>) -> Result<Self, ApiError> {
        Ok(Self {
            app,
            org_id,
            pipeline,
            // Its own, so that calls under way keep theirs.
            known: Known::default(),
            policies: app.policies.get(org_id).await.map_err(|error| {
                let detail = format!("The organisation's policies cannot be used: {error}.");
                ApiError::unavailable("policy_unavailable", 5, detail)
            })?,
            allowlist: app.allowlists.of(org_id).await?,
            org_flags: app.org_flags.of(org_id).await?,
            providers: app.own_providers.of(org_id).await?,
            agents: HashMap::new(),
        })
    }

    async fn judge(&mut self, kept: &KeptCall, tally: &mut Tally) -> Result<(), ApiError> {
        let Some(past) = Past::of(self.app, self.org_id, kept.call_id).await? else {
            tally.skipped += 1;
            return Ok(());
        };
        let said = match self.app.kept.opened(kept).await {
            Ok(said) => said,
            Err(VaultError::Sealed(_)) => None,
            Err(VaultError::Store(error)) => return Err(error.into()),
            Err(other) => return Err(ApiError::internal(other)),
        };
        let agent = self.agent(&kept.agent_id).await?;
        let (Some(said), Some(agent)) = (said, agent) else {
            tally.skipped += 1;
            return Ok(());
        };
        let judged = match self.call(kept, &said, agent) {
            Err(Unplayable::Unread) => {
                tally.skipped += 1;
                return Ok(());
            }
            Err(Unplayable::Refused(reason)) => told::Judged::refused(&past, reason),
            Ok((mut call, lockdown)) => {
                let answer = said.answer.map(crate::kept::SaidAnswer::into_answer);
                tally.with_answer += u32::from(answer.is_some());
                call.rehearse(answer).await;
                let compared: Compared = compare(&call, &past.steps, lockdown);
                told::Judged::of(&call, &past, compared)
            }
        };
        tally.replayed += 1;
        tally.add(kept, judged);
        Ok(())
    }

    /// The agent as it is set now; the pipeline is the one that is tried.
    async fn agent(&mut self, agent_id: &str) -> Result<Option<Arc<AgentCaller>>, ApiError> {
        if let Some(known) = self.agents.get(agent_id) {
            return Ok(known.clone());
        }
        let found = self.app.store.agents().find(self.org_id, agent_id).await?;
        let caller = found.map(|agent| {
            Arc::new(AgentCaller {
                org_id: agent.org_id,
                agent_uuid: agent.agent_uuid,
                agent_id: agent.agent_id,
                credential: AgentCredential::ApiKey { key_id: Uuid::nil() },
                settings: agent.settings,
            })
        });
        self.agents.insert(agent_id.to_owned(), caller.clone());
        Ok(caller)
    }

    /// The call as it came, at its start; and whether its agent is in lockdown.
    fn call(
        &self,
        kept: &KeptCall,
        said: &Said,
        caller: Arc<AgentCaller>,
    ) -> Result<(Call, bool), Unplayable> {
        let body = json::parse_strict(said.request.as_bytes()).map_err(|_| Unplayable::Unread)?;
        let shape = dialects::of(said.dialect);
        let request = shape.read_request(body, said.request.len()).map_err(|_| Unplayable::Unread)?;
        let flags = Flags::parse(&said.flags).map_err(|_| Unplayable::Unread)?;
        let plan = plan(&flags, &caller.settings, &self.org_flags, self.pipeline)
            .map_err(|e| Unplayable::Refused(format!("the call would be refused with 422: {e}")))?;
        let lockdown = plan.mode == Mode::Lockdown;
        let exchange = Exchange {
            task_id: kept.call_id,
            request_id: String::new(),
            caller,
            end_user: said.user.clone(),
            context: said.context.clone(),
            session: SessionRef { id: said.session.clone(), turn_index: said.turn },
            mode: Mode::Observe,
            flags: plan.flags.clone(),
            tools: plan.tools.clone(),
            request,
            matches: Vec::new(),
            answer: None,
            classification: Classification::Public,
            cost_usd: None,
            now: kept.ts,
            session_memory: Arc::default(),
            agent_memory: Arc::default(),
            strictness: 0.0,
        };
        let services = Arc::new(Services {
            state: Arc::new(MemoryState::new(self.app.clock.clone(), self.app.ids.clone())),
            providers: self.providers.clone(),
            clock: self.app.clock.clone(),
            approvals: Arc::new(Nobody),
            known: self.known.clone(),
            tagger: self.app.services.tagger.clone(),
        });
        let mut call = Call::new(exchange, self.pipeline.clone(), plan, services);
        call.policies = self.policies.clone();
        call.allowlist = self.allowlist.clone();
        Ok((call, lockdown))
    }
}

/// Why a call cannot be judged again.
enum Unplayable {
    /// This version reads such a body no more.
    Unread,
    /// The other pipeline would not take it, for this reason.
    Refused(String),
}
