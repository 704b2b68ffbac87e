-- Operators of the installation, administrators of tenants, and sessions in progress.

-- Tokens of operators, who belong to no tenant. hash: of the secret that the token holds. expires_at: none
-- is never. revoked_at: rows stay, so that a name in an audit log can be told later.
CREATE TABLE operators (
    id BYTES PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash BYTES NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX operators_hash ON operators (hash);
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE revoked_at IS NULL;

-- It administers its tenant.
ALTER TABLE accounts ADD COLUMN administrator BIGINT NOT NULL DEFAULT 0;

-- What goes on now, as each instance tells every second or so. That of a browser may go on at several.
-- end_asked: somebody wants it to end.
CREATE TABLE live_sessions (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    instance BYTES NOT NULL,
    account BIGINT NOT NULL,
    protocol TEXT NOT NULL,
    address TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    end_asked BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id, instance)
);
CREATE INDEX live_sessions_instance ON live_sessions (tenant, instance);
