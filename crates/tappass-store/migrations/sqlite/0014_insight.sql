-- What the dashboard counts. All of it is made from the audit log, by a task in the background that folds event after
-- event, each once; nothing here is a record. No reference to organisations, as with the log.

-- How far the fold has come in each log.
CREATE TABLE insight_cursors (
    org_id TEXT   PRIMARY KEY,
    seq    INTEGER NOT NULL
) STRICT;

-- Calls of an hour (span 3600) and of a day (span 86400), by agent and model; `starts` in microseconds since 1970.
-- g00 to g23 and u00 to u23 are histograms of the gateway's and the provider's time, see tappass-store/src/insight/histogram.rs.
CREATE TABLE insight_calls (
    org_id TEXT NOT NULL, span INTEGER NOT NULL, starts INTEGER NOT NULL, agent_id TEXT NOT NULL, model TEXT NOT NULL,
    calls INTEGER NOT NULL, flagged INTEGER NOT NULL, findings INTEGER NOT NULL, would_block INTEGER NOT NULL,
    blocked INTEGER NOT NULL, masked INTEGER NOT NULL, would_mask INTEGER NOT NULL, errors INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost_nano INTEGER NOT NULL,
    g00 INTEGER NOT NULL, g01 INTEGER NOT NULL, g02 INTEGER NOT NULL, g03 INTEGER NOT NULL,
    g04 INTEGER NOT NULL, g05 INTEGER NOT NULL, g06 INTEGER NOT NULL, g07 INTEGER NOT NULL,
    g08 INTEGER NOT NULL, g09 INTEGER NOT NULL, g10 INTEGER NOT NULL, g11 INTEGER NOT NULL,
    g12 INTEGER NOT NULL, g13 INTEGER NOT NULL, g14 INTEGER NOT NULL, g15 INTEGER NOT NULL,
    g16 INTEGER NOT NULL, g17 INTEGER NOT NULL, g18 INTEGER NOT NULL, g19 INTEGER NOT NULL,
    g20 INTEGER NOT NULL, g21 INTEGER NOT NULL, g22 INTEGER NOT NULL, g23 INTEGER NOT NULL,
    u00 INTEGER NOT NULL, u01 INTEGER NOT NULL, u02 INTEGER NOT NULL, u03 INTEGER NOT NULL,
    u04 INTEGER NOT NULL, u05 INTEGER NOT NULL, u06 INTEGER NOT NULL, u07 INTEGER NOT NULL,
    u08 INTEGER NOT NULL, u09 INTEGER NOT NULL, u10 INTEGER NOT NULL, u11 INTEGER NOT NULL,
    u12 INTEGER NOT NULL, u13 INTEGER NOT NULL, u14 INTEGER NOT NULL, u15 INTEGER NOT NULL,
    u16 INTEGER NOT NULL, u17 INTEGER NOT NULL, u18 INTEGER NOT NULL, u19 INTEGER NOT NULL,
    u20 INTEGER NOT NULL, u21 INTEGER NOT NULL, u22 INTEGER NOT NULL, u23 INTEGER NOT NULL,
    PRIMARY KEY (org_id, span, starts, agent_id, model)
) STRICT, WITHOUT ROWID;

-- What steps found, of an hour and of a day.
CREATE TABLE insight_steps (
    org_id TEXT NOT NULL, span INTEGER NOT NULL, starts INTEGER NOT NULL, agent_id TEXT NOT NULL,
    step TEXT NOT NULL, kind TEXT NOT NULL,
    calls INTEGER NOT NULL, findings INTEGER NOT NULL, would_block INTEGER NOT NULL, blocked INTEGER NOT NULL,
    PRIMARY KEY (org_id, span, starts, agent_id, step, kind)
) STRICT, WITHOUT ROWID;

-- One row for each thing for which a call was refused, or would have been in enforce. Scores in thousandths.
CREATE TABLE insight_stopped (
    org_id    TEXT   NOT NULL,
    seq       INTEGER NOT NULL,
    step      TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    event_id  TEXT   NOT NULL,
    ts        INTEGER NOT NULL,
    agent_id  TEXT   NOT NULL,
    model     TEXT   NOT NULL,
    blocked   INTEGER NOT NULL,
    maskable  INTEGER NOT NULL,
    findings  INTEGER NOT NULL,
    score     INTEGER,
    threshold INTEGER,
    sample    TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    PRIMARY KEY (org_id, seq, step, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX insight_stopped_by_rule ON insight_stopped (org_id, step, kind, agent_id, ts);

-- What people said of it. This is theirs, and does not come from the log.
CREATE TABLE insight_marks (
    org_id    TEXT   NOT NULL,
    event_id  TEXT   NOT NULL,
    step      TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    ts        INTEGER NOT NULL,
    agent_id  TEXT   NOT NULL,
    score     INTEGER,
    mark      TEXT   NOT NULL,
    note      TEXT,
    marked_by TEXT   NOT NULL,
    marked_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, event_id, step, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX insight_marks_by_time ON insight_marks (org_id, ts);

-- Filtered lists of the log, without reading past what does not match.
CREATE INDEX audit_events_by_action ON audit_events (org_id, action, seq);
