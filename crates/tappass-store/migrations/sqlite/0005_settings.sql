-- What an organisation has set as one document: the newest version only; the audit log knows who changed what.
CREATE TABLE settings (
    org_id     TEXT NOT NULL REFERENCES orgs (org_id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, name)
) STRICT;
