//! What a call knows of the calls before it, and what it leaves for those after it.

use std::{sync::Arc, time::Duration};

use tappass_model::{Change, Scope};
use uuid::Uuid;

use crate::{runner::Call, step::Runnable};

/// Silence after which a session is forgotten.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 60);

/// Silence after which an agent's memory is forgotten.
const AGENT_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The name of a session's risk in its memory: points for what its calls were found to hold.
pub const SESSION_RISK: &str = "session";

/// Seconds in which a session's risk halves.
const RISK_HALF_LIFE: u32 = 30 * 60;

/// The key under which a session's memory is kept. Sessions of one name are another's for each agent.
#[must_use]
pub fn session_key(org_id: Uuid, agent_uuid: Uuid, session_id: &str) -> String {
    format!("session:{org_id}:{agent_uuid}:{session_id}")
}

impl Call {
    /// Looks up what the pipeline's steps name.
    pub(crate) async fn recall(&mut self) {
        for scope in &self.pipeline.remembers {
            let memory = self.services.state.recall(&self.memory_key(*scope)).await;
            match scope {
                Scope::Session => self.exchange.session_memory = memory,
                Scope::Agent => self.exchange.agent_memory = memory,
            }
        }
    }

    /// Keeps what the steps asked to remember, and turns what they set aside into what was spent. To be called when
    /// the call has ended, however it ended.
    pub async fn settle(&mut self) {
        self.settle_holds().await;
        self.give_approvals_back().await;
        self.remember_the_end();
        let mut changes = std::mem::take(&mut self.changes);
        if self.repeated {
            changes.clear();
        }
        if self.trace.blocked.is_some() && !self.went_out() {
            // What never left is in nobody's conversation: the session carries nothing of it.
            changes.retain(|(_, change)| !matches!(change, Change::Taint(_) | Change::Token(_)));
        }
        for (scope, life) in [(Scope::Session, SESSION_LIFE), (Scope::Agent, AGENT_LIFE)] {
            let of_scope: Vec<Change> =
                changes.iter().filter(|(s, _)| *s == scope).map(|(_, change)| change.clone()).collect();
            if !of_scope.is_empty() {
                self.services.state.remember(&self.memory_key(scope), &of_scope, life).await;
            }
        }
    }

    /// Remembers when the call ends; its own later steps know at once.
    pub(crate) fn remember(&mut self, scope: Scope, change: Change) {
        let memory = match scope {
            Scope::Session => &mut self.exchange.session_memory,
            Scope::Agent => &mut self.exchange.agent_memory,
        };
        Arc::make_mut(memory).apply(&change, self.exchange.now);
        self.changes.push((scope, change));
    }

    /// Remembers at once, so that other calls under way know too; gives what is remembered by then.
    pub(crate) async fn remember_now(&mut self, scope: Scope, change: Change) {
        let life = match scope {
            Scope::Session => SESSION_LIFE,
            Scope::Agent => AGENT_LIFE,
        };
        let (key, state) = (self.memory_key(scope), Arc::clone(&self.services.state));
        state.remember(&key, &[change], life).await;
        let mut memory = state.recall(&key).await;
        for (_, change) in self.changes.iter().filter(|(s, _)| *s == scope) {
            Arc::make_mut(&mut memory).apply(change, self.exchange.now);
        }
        match scope {
            Scope::Session => self.exchange.session_memory = memory,
            Scope::Agent => self.exchange.agent_memory = memory,
        }
    }

    /// What is remembered of every call of a session, and what its steps say at the end.
    fn remember_the_end(&mut self) {
        let pipeline = Arc::clone(&self.pipeline);
        if pipeline.remembers.contains(&Scope::Session) {
            let points = self.trace.risk();
            if points > 0.0 {
                let name = SESSION_RISK;
                self.remember(Scope::Session, Change::Risk { name, points, half_life: RISK_HALF_LIFE });
            }
            let level = self.exchange.classification;
            if level > self.exchange.session_memory.high_water {
                self.remember(Scope::Session, Change::Raise(level));
            }
        }
        for step in &pipeline.steps {
            if let Runnable::Waiting(waiting) = &step.run {
                for (scope, change) in waiting.at_the_end(self) {
                    self.remember(scope, change);
                }
            }
        }
    }

    fn memory_key(&self, scope: Scope) -> String {
        let (caller, session) = (&self.exchange.caller, &self.exchange.session);
        match scope {
            Scope::Session => session_key(caller.org_id, caller.agent_uuid, &session.id),
            Scope::Agent => format!("agent:{}:{}", caller.org_id, caller.agent_uuid),
        }
    }
}
