-- Places of sessions, counted over all instances.

-- It takes one of the places that its account and its tenant have.
ALTER TABLE live_sessions ADD COLUMN counts BIGINT NOT NULL DEFAULT 1;
