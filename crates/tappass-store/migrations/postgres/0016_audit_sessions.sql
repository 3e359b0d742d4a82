-- Events by their session. Those recorded before have it in their body only.
ALTER TABLE audit_events ADD COLUMN session_id TEXT;
CREATE INDEX audit_events_by_session ON audit_events (org_id, session_id, seq) WHERE session_id IS NOT NULL;
