//! What people must decide before agents go on: asked once, decided once, used once.
//!
//! Every step from one state to the next is one conditional `UPDATE`: of two that come at once, one changes the row and
//! the other finds it changed. That a time is over is seen when a row is read, so that no task has to come by first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query};
use tappass_model::Classification;
use uuid::Uuid;

use crate::{
    Db, Page, PageRequest, Reach, StoreError,
    row::{Columns as _, to_word},
};

/// Where an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    /// Nobody has decided yet.
    Pending,
    /// It may be used once, or has been.
    Approved,
    /// No.
    Denied,
    /// Nobody decided, or nobody used it, in time. Means no.
    TimedOut,
    /// The agent does not want it any more.
    Cancelled,
}

impl ApprovalState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::TimedOut, Self::Cancelled];

    /// The name in the API and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalSubject {
    /// That a request goes to its provider.
    Request,
    /// That a tool call in an answer goes to the agent.
    ToolCall,
}

/// One question to a person, and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Whose it is.
    pub org_id: Uuid,
    /// Its id; ascends with time.
    pub approval_id: Uuid,
    /// Who may use it.
    pub agent_uuid: Uuid,
    /// The agent's name when it asked.
    pub agent_id: String,
    /// The session of the call.
    pub session_id: String,
    /// The call (`task_id`, the id of its audit event).
    pub call_id: Uuid,
    /// The end user on whose behalf, as the agent said.
    pub requester: Option<String>,
    /// What is approved.
    pub subject: ApprovalSubject,
    /// The tool, where it is a tool call.
    pub tool: Option<String>,
    /// The rule that asks for it, in words.
    pub rule: String,
    /// How sensitive the call was.
    pub classification: Classification,
    /// SHA-256 of all that is approved, with the agent and the version of the pipeline.
    pub fingerprint: String,
    /// The same of the request it came with.
    pub request_fingerprint: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The pipeline's hash.
    pub pipeline_hash: String,
    /// Whether whoever asked may not decide.
    pub four_eyes: bool,
    /// What was asked, sealed; blank once it is forgotten.
    pub sealed: String,
    /// Where it is.
    pub state: ApprovalState,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when it can be decided and, once approved, used.
    pub expires_at: Timestamp,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// Why, in the words of who decided.
    pub reason: Option<String>,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// The answer to a call that needs an approval.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// There was one; it is used up by this.
    Granted(Uuid),
    /// There is one to wait for; the second says whether it was made by this.
    Waits(Approval, bool),
    /// Somebody said no, and that still holds.
    Denied(Approval),
}

/// Which approvals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApprovalFilter {
    /// Of this agent.
    pub agent_uuid: Option<Uuid>,
    /// In this state.
    pub state: Option<ApprovalState>,
}

/// What somebody decides.
#[derive(Debug, Clone, Copy)]
pub struct Ruling<'a> {
    /// Yes or no.
    pub approve: bool,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// The approvals.
#[derive(Debug, Clone, Copy)]
pub struct Approvals<'a>(pub(crate) &'a Db);

/// All columns, with the state as it is at the time `$1`.
const SELECT: &str = "SELECT org_id, approval_id, agent_uuid, agent_id, session_id, call_id, requester, subject, tool, \
     rule, classification, fingerprint, request_fingerprint, pipeline, pipeline_hash, four_eyes, sealed, created_at, \
     expires_at, decided_by, decided_at, reason, used_at, state_now AS state FROM (SELECT approvals.*, CASE \
     WHEN expires_at <= $1 AND (state = 'pending' OR (state = 'approved' AND used_at IS NULL)) THEN 'timed_out' \
     ELSE state END AS state_now FROM approvals WHERE org_id = $2) AS all_of_org";

#[expect(clippy::missing_errors_doc, reason = "all give StoreError when the database fails")]
impl Approvals<'_> {
    /// Uses the approval of this fingerprint if there is one that is approved, unused and in time; else makes a question
    /// of `new`, or finds the one that waits already.
    pub async fn ask(&self, new: &Approval, now: Timestamp) -> Result<Asked, StoreError> {
        let (org, micros) = (new.org_id.to_string(), now.as_microsecond());
        let mut tx = self.0.write(new.org_id).await?;
        let usable = query(
            "SELECT approval_id FROM approvals WHERE org_id = $1 AND fingerprint = $2 AND state = 'approved' \
             AND used_at IS NULL AND expires_at > $3 ORDER BY approval_id",
        );
        let usable = usable.bind(org.clone()).bind(new.fingerprint.clone()).bind(micros);
        for row in tx.fetch_all(usable).await? {
            let approval_id = row.uuid("approval_id")?;
            let take = query(
                "UPDATE approvals SET used_at = $3, used_by = $4 WHERE org_id = $1 AND approval_id = $2 \
                 AND state = 'approved' AND used_at IS NULL AND expires_at > $3",
            );
            let take = take.bind(org.clone()).bind(approval_id.to_string()).bind(micros);
            if tx.execute(take.bind(new.call_id.to_string())).await? == 1 {
                tx.commit().await?;
                return Ok(Asked::Granted(approval_id));
            }
        }
        let of_call = |state: &str| {
            let sql = format!(
                "{SELECT} WHERE fingerprint = $3 AND state_now = $4 AND expires_at > $1 \
                 ORDER BY approval_id DESC LIMIT 1"
            );
            // Safe: assembled from constants; every value is bound.
            query(sqlx::AssertSqlSafe(sql))
                .bind(micros)
                .bind(org.clone())
                .bind(new.fingerprint.clone())
                .bind(state.to_owned())
        };
        if let Some(row) = tx.fetch_optional(of_call("denied")).await? {
            return Ok(Asked::Denied(approval_of(&row)?));
        }
        // Its place is free once its time is over.
        let over = query(
            "UPDATE approvals SET state = 'timed_out' WHERE org_id = $1 AND fingerprint = $2 \
             AND state = 'pending' AND expires_at <= $3",
        );
        tx.execute(over.bind(org.clone()).bind(new.fingerprint.clone()).bind(micros)).await?;
        let made = tx.execute(insert(new)?).await? == 1;
        let row = tx.fetch_optional(of_call("pending")).await?;
        tx.commit().await?;
        // Decided in this very moment: whoever asks again hears what.
        let Some(row) = row else { return Ok(Asked::Waits(new.clone(), made)) };
        Ok(Asked::Waits(approval_of(&row)?, made))
    }

    /// Whether a tool call of this fingerprint has been approved and used before.
    pub async fn used_before(&self, org_id: Uuid, fingerprint: &str) -> Result<bool, StoreError> {
        let select = query(
            "SELECT approval_id FROM approvals WHERE org_id = $1 AND fingerprint = $2 AND state = 'approved' \
             AND used_at IS NOT NULL LIMIT 1",
        );
        let mut tx = self.0.read(org_id).await?;
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(fingerprint.to_owned())).await?;
        tx.commit().await?;
        Ok(row.is_some())
    }

    /// Gives back what a call used that never came to anything.
    pub async fn give_back(&self, org_id: Uuid, approval_id: Uuid, call_id: Uuid) -> Result<(), StoreError> {
        let update = query(
            "UPDATE approvals SET used_at = NULL, used_by = NULL WHERE org_id = $1 AND approval_id = $2 \
             AND used_by = $3",
        );
        let update = update.bind(org_id.to_string()).bind(approval_id.to_string());
        self.0.execute(org_id, update.bind(call_id.to_string())).await.map(|_| ())
    }

    /// One approval; `None` for a foreign id as for one that does not exist.
    pub async fn get(
        &self,
        org_id: Uuid,
        approval_id: Uuid,
        now: Timestamp,
    ) -> Result<Option<Approval>, StoreError> {
        let sql = format!("{SELECT} WHERE approval_id = $3");
        let select = query(sqlx::AssertSqlSafe(sql)).bind(now.as_microsecond()).bind(org_id.to_string());
        let mut tx = self.0.read(org_id).await?;
        let row = tx.fetch_optional(select.bind(approval_id.to_string())).await?;
        tx.commit().await?;
        row.as_ref().map(approval_of).transpose()
    }

    /// An organisation's approvals, the newest first.
    pub async fn list(
        &self,
        org_id: Uuid,
        filter: &ApprovalFilter,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Approval>, StoreError> {
        // An id begins with a digit or a letter up to `f`: every one is before `~`.
        let after = Some(page.after()?).filter(|a| !a.is_empty()).unwrap_or_else(|| "~".to_owned());
        let sql = format!(
            "{SELECT} WHERE approval_id < $3 AND ($4 = '' OR agent_uuid = $4) AND ($5 = '' OR state_now = $5) \
             ORDER BY approval_id DESC LIMIT $6"
        );
        let select = query(sqlx::AssertSqlSafe(sql))
            .bind(now.as_microsecond())
            .bind(org_id.to_string())
            .bind(after)
            .bind(filter.agent_uuid.map(|id| id.to_string()).unwrap_or_default())
            .bind(filter.state.map(ApprovalState::as_str).unwrap_or_default())
            .bind(page.fetch());
        let mut tx = self.0.read(org_id).await?;
        let rows = tx.fetch_all(select).await?;
        tx.commit().await?;
        let items = rows.iter().map(approval_of).collect::<Result<_, _>>()?;
        Ok(page.page(items, |a: &Approval| a.approval_id.to_string()))
    }

    /// How many wait for somebody.
    pub async fn waiting(&self, org_id: Uuid, now: Timestamp) -> Result<u64, StoreError> {
        let select = query(
            "SELECT count(*) AS n FROM approvals WHERE org_id = $1 AND state = 'pending' AND expires_at > $2",
        );
        let mut tx = self.0.read(org_id).await?;
        let row = tx.fetch_optional(select.bind(org_id.to_string()).bind(now.as_microsecond())).await?;
        tx.commit().await?;
        Ok(row.map(|r| r.int("n")).transpose()?.unwrap_or(0).unsigned_abs())
    }

    /// The last one that was approved of the same agent and the same kind: the same tool, or a request too.
    pub async fn approved_before(&self, approval: &Approval) -> Result<Option<Approval>, StoreError> {
        let sql = format!(
            "{SELECT} WHERE approval_id < $3 AND agent_uuid = $4 AND subject = $5 AND COALESCE(tool, '') = $6 \
             AND decided_at IS NOT NULL AND state_now <> 'denied' ORDER BY approval_id DESC LIMIT 1"
        );
        let select = query(sqlx::AssertSqlSafe(sql))
            .bind(approval.created_at.as_microsecond())
            .bind(approval.org_id.to_string())
            .bind(approval.approval_id.to_string())
            .bind(approval.agent_uuid.to_string())
            .bind(to_word("subject", &approval.subject)?)
            .bind(approval.tool.clone().unwrap_or_default());
        let mut tx = self.0.read(approval.org_id).await?;
        let row = tx.fetch_optional(select).await?;
        tx.commit().await?;
        row.as_ref().map(approval_of).transpose()
    }

    /// Decides, if it still waits and is in time. True when it was decided by this. What is approved can be used for as
    /// long again as it could be decided.
    pub async fn decide(
        &self,
        org_id: Uuid,
        approval_id: Uuid,
        ruling: Ruling<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let state = if ruling.approve { ApprovalState::Approved } else { ApprovalState::Denied };
        let update = query(
            "UPDATE approvals SET state = $3, decided_by = $4, reason = $5, decided_at = $6, \
             expires_at = $6 + expires_at - created_at \
             WHERE org_id = $1 AND approval_id = $2 AND state = 'pending' AND expires_at > $6",
        )
        .bind(org_id.to_string())
        .bind(approval_id.to_string())
        .bind(state.as_str())
        .bind(ruling.by.to_owned())
        .bind(ruling.reason.to_owned())
        .bind(now.as_microsecond());
        Ok(self.0.execute(org_id, update).await? == 1)
    }

    /// Takes a question back, or an approval that has not been used. True when it was taken back by this.
    pub async fn cancel(&self, org_id: Uuid, approval_id: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        let update = query(
            "UPDATE approvals SET state = 'cancelled' WHERE org_id = $1 AND approval_id = $2 AND expires_at > $3 \
             AND (state = 'pending' OR (state = 'approved' AND used_at IS NULL))",
        );
        let update = update.bind(org_id.to_string()).bind(approval_id.to_string());
        Ok(self.0.execute(org_id, update.bind(now.as_microsecond())).await? == 1)
    }

    /// How many wait for somebody, in all organisations.
    pub async fn pending(&self, now: Timestamp) -> Result<u64, StoreError> {
        let select = query("SELECT COUNT(*) AS n FROM approvals WHERE state = 'pending' AND expires_at > $1");
        let mut tx = self.0.read(Reach::All).await?;
        let row = tx.fetch_optional(select.bind(now.as_microsecond())).await?;
        tx.commit().await?;
        Ok(row.map(|row| row.int("n")).transpose()?.unwrap_or(0).unsigned_abs())
    }

    /// Forgets what was asked in approvals that were over before; that they were, and who decided, stays.
    pub async fn forget(&self, before: Timestamp) -> Result<(), StoreError> {
        let update = query("UPDATE approvals SET sealed = '' WHERE expires_at <= $1 AND sealed <> ''");
        self.0.execute(Reach::All, update.bind(before.as_microsecond())).await.map(|_| ())
    }
}

/// Nothing where the same already waits.
fn insert(new: &Approval) -> Result<crate::db::Statement, StoreError> {
    let insert = query(
        "INSERT INTO approvals (org_id, approval_id, agent_uuid, agent_id, session_id, call_id, requester, subject, \
         tool, rule, classification, fingerprint, request_fingerprint, pipeline, pipeline_hash, four_eyes, sealed, \
         state, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, 'pending', $18, $19) ON CONFLICT DO NOTHING",
    );
    Ok(insert
        .bind(new.org_id.to_string())
        .bind(new.approval_id.to_string())
        .bind(new.agent_uuid.to_string())
        .bind(new.agent_id.clone())
        .bind(new.session_id.clone())
        .bind(new.call_id.to_string())
        .bind(new.requester.clone())
        .bind(to_word("subject", &new.subject)?)
        .bind(new.tool.clone())
        .bind(new.rule.clone())
        .bind(new.classification.as_str())
        .bind(new.fingerprint.clone())
        .bind(new.request_fingerprint.clone())
        .bind(new.pipeline.clone())
        .bind(new.pipeline_hash.clone())
        .bind(i64::from(new.four_eyes))
        .bind(new.sealed.clone())
        .bind(new.created_at.as_microsecond())
        .bind(new.expires_at.as_microsecond()))
}

fn approval_of(row: &AnyRow) -> Result<Approval, StoreError> {
    Ok(Approval {
        org_id: row.uuid("org_id")?,
        approval_id: row.uuid("approval_id")?,
        agent_uuid: row.uuid("agent_uuid")?,
        agent_id: row.text("agent_id")?,
        session_id: row.text("session_id")?,
        call_id: row.uuid("call_id")?,
        requester: row.opt_text("requester")?,
        subject: row.word("subject")?,
        tool: row.opt_text("tool")?,
        rule: row.text("rule")?,
        classification: row.word("classification")?,
        fingerprint: row.text("fingerprint")?,
        request_fingerprint: row.text("request_fingerprint")?,
        pipeline: row.text("pipeline")?,
        pipeline_hash: row.text("pipeline_hash")?,
        four_eyes: row.int("four_eyes")? != 0,
        sealed: row.text("sealed")?,
        state: row.word("state")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        decided_by: row.opt_text("decided_by")?,
        decided_at: row.opt_time("decided_at")?,
        reason: row.opt_text("reason")?,
        used_at: row.opt_time("used_at")?,
    })
}
