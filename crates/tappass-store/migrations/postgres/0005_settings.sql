-- What an organisation has set as one document: the newest version only; the audit log knows who changed what.
CREATE TABLE settings (
    org_id     TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    version    BIGINT NOT NULL,
    body       TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, name)
);
