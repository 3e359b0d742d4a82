-- What the dashboard counts. All of it is made from the audit log, by a task in the background that folds event after
-- event, each once; nothing here is a record. No reference to organisations, as with the log.

-- How far the fold has come in each log.
CREATE TABLE insight_cursors (
    org_id TEXT   PRIMARY KEY,
    seq    BIGINT  NOT NULL
);

-- Calls of an hour (span 3600) and of a day (span 86400), by agent and model; `starts` in microseconds since 1970.
-- g00 to g23 and u00 to u23 are histograms of the gateway's and the provider's time, see tappass-store/src/insight/histogram.rs.
CREATE TABLE insight_calls (
    org_id TEXT NOT NULL, span BIGINT NOT NULL, starts BIGINT NOT NULL, agent_id TEXT NOT NULL, model TEXT NOT NULL,
    calls BIGINT NOT NULL, flagged BIGINT NOT NULL, findings BIGINT NOT NULL, would_block BIGINT NOT NULL,
    blocked BIGINT NOT NULL, masked BIGINT NOT NULL, would_mask BIGINT NOT NULL, errors BIGINT NOT NULL,
    tokens_in BIGINT NOT NULL, tokens_out BIGINT NOT NULL, cost_nano BIGINT NOT NULL,
    g00 BIGINT NOT NULL, g01 BIGINT NOT NULL, g02 BIGINT NOT NULL, g03 BIGINT NOT NULL,
    g04 BIGINT NOT NULL, g05 BIGINT NOT NULL, g06 BIGINT NOT NULL, g07 BIGINT NOT NULL,
    g08 BIGINT NOT NULL, g09 BIGINT NOT NULL, g10 BIGINT NOT NULL, g11 BIGINT NOT NULL,
    g12 BIGINT NOT NULL, g13 BIGINT NOT NULL, g14 BIGINT NOT NULL, g15 BIGINT NOT NULL,
    g16 BIGINT NOT NULL, g17 BIGINT NOT NULL, g18 BIGINT NOT NULL, g19 BIGINT NOT NULL,
    g20 BIGINT NOT NULL, g21 BIGINT NOT NULL, g22 BIGINT NOT NULL, g23 BIGINT NOT NULL,
    u00 BIGINT NOT NULL, u01 BIGINT NOT NULL, u02 BIGINT NOT NULL, u03 BIGINT NOT NULL,
    u04 BIGINT NOT NULL, u05 BIGINT NOT NULL, u06 BIGINT NOT NULL, u07 BIGINT NOT NULL,
    u08 BIGINT NOT NULL, u09 BIGINT NOT NULL, u10 BIGINT NOT NULL, u11 BIGINT NOT NULL,
    u12 BIGINT NOT NULL, u13 BIGINT NOT NULL, u14 BIGINT NOT NULL, u15 BIGINT NOT NULL,
    u16 BIGINT NOT NULL, u17 BIGINT NOT NULL, u18 BIGINT NOT NULL, u19 BIGINT NOT NULL,
    u20 BIGINT NOT NULL, u21 BIGINT NOT NULL, u22 BIGINT NOT NULL, u23 BIGINT NOT NULL,
    PRIMARY KEY (org_id, span, starts, agent_id, model)
);

-- What steps found, of an hour and of a day.
CREATE TABLE insight_steps (
    org_id TEXT NOT NULL, span BIGINT NOT NULL, starts BIGINT NOT NULL, agent_id TEXT NOT NULL,
    step TEXT NOT NULL, kind TEXT NOT NULL,
    calls BIGINT NOT NULL, findings BIGINT NOT NULL, would_block BIGINT NOT NULL, blocked BIGINT NOT NULL,
    PRIMARY KEY (org_id, span, starts, agent_id, step, kind)
);

-- One row for each thing for which a call was refused, or would have been in enforce. Scores in thousandths.
CREATE TABLE insight_stopped (
    org_id    TEXT   NOT NULL,
    seq       BIGINT  NOT NULL,
    step      TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    event_id  TEXT   NOT NULL,
    ts        BIGINT  NOT NULL,
    agent_id  TEXT   NOT NULL,
    model     TEXT   NOT NULL,
    blocked   BIGINT  NOT NULL,
    maskable  BIGINT  NOT NULL,
    findings  BIGINT  NOT NULL,
    score     BIGINT ,
    threshold BIGINT ,
    sample    TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    PRIMARY KEY (org_id, seq, step, kind)
);
CREATE INDEX insight_stopped_by_rule ON insight_stopped (org_id, step, kind, agent_id, ts);

-- What people said of it. This is theirs, and does not come from the log.
CREATE TABLE insight_marks (
    org_id    TEXT   NOT NULL,
    event_id  TEXT   NOT NULL,
    step      TEXT   NOT NULL,
    kind      TEXT   NOT NULL,
    ts        BIGINT  NOT NULL,
    agent_id  TEXT   NOT NULL,
    score     BIGINT ,
    mark      TEXT   NOT NULL,
    note      TEXT,
    marked_by TEXT   NOT NULL,
    marked_at BIGINT  NOT NULL,
    PRIMARY KEY (org_id, event_id, step, kind)
);
CREATE INDEX insight_marks_by_time ON insight_marks (org_id, ts);

-- Filtered lists of the log, without reading past what does not match.
CREATE INDEX audit_events_by_action ON audit_events (org_id, action, seq);
