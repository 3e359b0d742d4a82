//! The audit log as lists: pages by filter, words looked for, sessions lately.

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, query};
use uuid::Uuid;

use crate::{
    Page, PageRequest, StoreError,
    audit::{AuditFilter, AuditOrder, AuditRow, AuditTable, COLUMNS, cursor_after, event, int},
    row::Columns as _,
};

/// How many events one page looks through for words, and for sessions: a bounded time however long the log is.
pub const SEARCHED: i64 = 20_000;

/// How many events since a time are few: these are found by the index of times and put in order. Where there are more,
/// the log is walked from its end, which soon has a page of those.
pub const FEW: u32 = 4_000;

/// A session with events lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentSession {
    /// Its id.
    pub session_id: String,
    /// Whose.
    pub agent_id: String,
    /// Its calls of models and tools, among the events looked at.
    pub calls: u64,
    /// Those that were refused.
    pub blocked: u64,
    /// Its first event, among those looked at.
    pub began: Timestamp,
    /// Its last.
    pub last: Timestamp,
}

impl AuditTable<'_> {
    /// A page of the organisation's events. The cursor is a place in the log: it stays good while the log grows.
    /// The newest is the last recorded; of events before a time (`until`) it is the latest, for those lie anywhere in a
    /// long log and the index of times knows where.
    /// Words are looked for in [`SEARCHED`] events at a time, from the newest back: such a page may hold less than was
    /// asked for, or nothing, and have a next one all the same.
    ///
    /// # Errors
    /// [`StoreError::Cursor`] for a made-up cursor, or what the database says.
    pub async fn list(
        &self,
        org_id: Uuid,
        filter: &AuditFilter,
        order: AuditOrder,
        page: &PageRequest,
    ) -> Result<Page<AuditRow>, StoreError> {
        let by_time = order == AuditOrder::NewestFirst && filter.until.is_some() && filter.text.is_none();
        let after = page.after()?;
        let (time, after) = place(&after, by_time).ok_or(StoreError::Cursor)?;
        let words = filter.text.as_deref().map(like);
        let searched = match (&words, order, after) {
            (None, ..) | (_, AuditOrder::OldestFirst, _) => None,
            (_, _, Some(after)) => Some(after - SEARCHED),
            _ => Some(self.head(org_id).await?.map_or(0, |head| int(head.size)) + 1 - SEARCHED),
        };
        let many = match filter.since {
            Some(since) if order == AuditOrder::NewestFirst && !by_time => {
                self.many_since(org_id, since).await?
            }
            _ => false,
        };
        let (comparison, direction) = match order {
            AuditOrder::NewestFirst => ("<", "DESC"),
            AuditOrder::OldestFirst => (">", "ASC"),
        };
        // Only the conditions in use are written, so that each has its index.
        let mut sql = format!("SELECT {COLUMNS} FROM audit_events WHERE org_id = $1");
        let texts = [
            ("agent_id", &filter.agent_id),
            ("session_id", &filter.session_id),
            ("event_type", &filter.event_type),
            ("action", &filter.action),
        ];
        let texts: Vec<_> = texts.into_iter().filter_map(|(c, v)| Some((c, v.as_ref()?))).collect();
        let micros = |t: Option<Timestamp>| t.map(Timestamp::as_microsecond);
        let numbers: [(&str, &str, Option<i64>); 4] = [
            ("seq", comparison, after.filter(|_| !by_time)),
            ("seq", ">=", searched),
            // A sum has no index, so that the planner does not take the one of times.
            (if many { "ts + 0" } else { "ts" }, ">=", micros(filter.since)),
            ("ts", "<", micros(filter.until)),
        ];
        let mut parameter = 1;
        let mut and = |column: &str, comparison: &str, after: &str| {
            parameter += 1;
            sql.push_str(&format!(" AND {column} {comparison} ${parameter}{after}"));
        };
        texts.iter().for_each(|(c, _)| and(c, "=", ""));
        numbers.iter().filter(|n| n.2.is_some()).for_each(|(c, comparison, _)| and(c, comparison, ""));
        if words.is_some() {
            and("lower(body)", "LIKE", " ESCAPE '!'");
        }
        let time = time.zip(after);
        if time.is_some() {
            sql.push_str(&format!(" AND (ts, seq) < (${}, ${})", parameter + 1, parameter + 2));
        }
        let first = if by_time { "ts DESC, " } else { "" };
        sql.push_str(&format!(" ORDER BY {first}seq {direction} LIMIT {}", page.fetch()));

        // Safe: assembled from the constants above and numbers; every value is bound.
        let mut statement = query(AssertSqlSafe(sql)).bind(org_id.to_string());
        for (_, text) in texts {
            statement = statement.bind(text.clone());
        }
        for number in numbers.into_iter().filter_map(|n| n.2) {
            statement = statement.bind(number);
        }
        if let Some(words) = words {
            statement = statement.bind(words);
        }
        if let Some((time, after)) = time {
            statement = statement.bind(time).bind(after);
        }
        let mut tx = self.0.read(org_id).await?;
        let rows: Vec<AuditRow> =
            tx.fetch_all(statement).await?.iter().map(event).collect::<Result<_, _>>()?;
        let mut page = page.page(rows, |r| match by_time {
            true => format!("{}.{}", r.ts.as_microsecond(), r.seq),
            false => r.seq.to_string(),
        });
        if page.next.is_none() {
            page.next = searched.filter(|floor| *floor > 1).map(|floor| cursor_after(floor.unsigned_abs()));
        }
        Ok(page)
    }

    /// Whether there are more than [`FEW`] events since a time.
    async fn many_since(&self, org_id: Uuid, since: Timestamp) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT ts FROM audit_events WHERE org_id = $1 AND ts >= $2 ORDER BY ts LIMIT 1 OFFSET {FEW}"
        );
        let select = query(AssertSqlSafe(sql)).bind(org_id.to_string()).bind(since.as_microsecond());
        Ok(self.0.read(org_id).await?.fetch_optional(select).await?.is_some())
    }

    /// Sessions with events among the last [`SEARCHED`] up to the one numbered `before`, the one with the newest event
    /// first; and where older ones begin, if there are any.
    ///
    /// # Errors
    /// [`StoreError`] when the database does not answer.
    pub async fn recent_sessions(
        &self,
        org_id: Uuid,
        agent_id: Option<&str>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<RecentSession>, Option<u64>), StoreError> {
        let top = match before {
            Some(before) => int(before),
            None => self.head(org_id).await?.map_or(0, |head| int(head.size)),
        };
        let floor = (top - SEARCHED).max(0);
        let sql = "SELECT session_id, agent_id, COUNT(*) AS calls, MIN(ts) AS began, MAX(ts) AS last, \
                   SUM(CASE WHEN event_type IN ('llm_call_blocked', 'tool_call_blocked') THEN 1 ELSE 0 END) AS blocked \
                   FROM audit_events WHERE org_id = $1 AND seq > $2 AND seq <= $3 AND session_id IS NOT NULL \
                   AND event_type IN ('llm_call', 'llm_call_blocked', 'tool_call', 'tool_call_blocked') \
                   AND ($4 = '' OR agent_id = $4) GROUP BY session_id, agent_id ORDER BY MAX(seq) DESC LIMIT $5";
        let statement = query(sql)
            .bind(org_id.to_string())
            .bind(floor)
            .bind(top)
            .bind(agent_id.unwrap_or_default().to_owned())
            .bind(i64::from(limit));
        let rows = self.0.read(org_id).await?.fetch_all(statement).await?;
        let session = |row: &sqlx::any::AnyRow| -> Result<_, StoreError> {
            Ok(RecentSession {
                session_id: row.text("session_id")?,
                agent_id: row.opt_text("agent_id")?.unwrap_or_default(),
                calls: row.int("calls")?.unsigned_abs(),
                blocked: row.int("blocked")?.unsigned_abs(),
                began: row.time("began")?,
                last: row.time("last")?,
            })
        };
        let found = rows.iter().map(session).collect::<Result<_, _>>()?;
        Ok((found, (floor > 0).then(|| floor.unsigned_abs())))
    }
}

/// The time and the number in a cursor's text; both `None` without one. Only lists by time have a time.
fn place(after: &str, by_time: bool) -> Option<(Option<i64>, Option<i64>)> {
    if after.is_empty() {
        return Some((None, None));
    }
    match (by_time, after.split_once('.')) {
        (true, Some((time, seq))) => Some((Some(time.parse().ok()?), Some(seq.parse().ok()?))),
        (false, None) => Some((None, Some(after.parse().ok()?))),
        _ => None,
    }
}

/// Words as a pattern of `LIKE`, as they stand in the record: JSON writes some characters otherwise.
fn like(words: &str) -> String {
    let quoted = serde_json::Value::from(words.to_lowercase()).to_string();
    let inner = quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default();
    let escaped = inner.replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{escaped}%")
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn words_are_words() {
        assert_eq!(like("Detect_PII"), "%detect!_pii%");
        assert_eq!(like("100 %!"), "%100 !%!!%");
        assert_eq!(like("a\"b"), "%a\\\"b%");
    }
}
