-- Sessions of browsers and tokens of programs: any instance knows them.

-- hash: of the secret that the cookie holds. generation: the account's when the session began; another
-- one ends it. ends_at: then it ends, however much it is used.
CREATE TABLE web_sessions (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    account BIGINT NOT NULL,
    hash BYTES NOT NULL,
    generation BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX web_sessions_hash ON web_sessions (tenant, hash);
CREATE INDEX web_sessions_account ON web_sessions (tenant, account);

-- hash: of the secret that the token holds. scopes: what it is for. expires_at: none is never.
CREATE TABLE api_tokens (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    account BIGINT NOT NULL,
    hash BYTES NOT NULL,
    name TEXT NOT NULL,
    scopes BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    expires_at BIGINT,
    used_at BIGINT,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX api_tokens_hash ON api_tokens (tenant, hash);
CREATE INDEX api_tokens_account ON api_tokens (tenant, account);
