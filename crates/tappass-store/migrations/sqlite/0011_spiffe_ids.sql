-- The SPIFFE id that an admin has set for an agent, instead of the one made of its names. No two agents share one, in
-- whichever organisations they are: an SVID is one caller.
ALTER TABLE agents ADD COLUMN spiffe_id TEXT;
CREATE UNIQUE INDEX agents_by_spiffe_id ON agents (spiffe_id);
