-- Login methods in sequence, second factors, certificates, networks and limits on sessions.

-- methods: the sequences of methods that open it; none is any one method. appended_code: 1 when the
-- code may stand behind the password. networks: where it may come from, parted by spaces; none is
-- anywhere. principals: the names in certificates that open it, one on each line; none is its own.
-- sessions: most at a time.
ALTER TABLE accounts ADD COLUMN methods TEXT;
ALTER TABLE accounts ADD COLUMN appended_code BIGINT NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN networks TEXT;
ALTER TABLE accounts ADD COLUMN principals TEXT;
ALTER TABLE accounts ADD COLUMN sessions BIGINT;

-- sessions: most at a time, of all its accounts.
ALTER TABLE tenants ADD COLUMN sessions BIGINT;

-- What makes an account's codes (RFC 6238). sealed: the secret under the tenant's data key. last_step:
-- no code of this time step or an earlier one is taken any more.
CREATE TABLE second_factors (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    sealed BYTES NOT NULL,
    last_step BIGINT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);

-- Codes for the day when the second factor is lost; a row goes when its code is used.
CREATE TABLE recovery_codes (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    hash BYTES NOT NULL,
    PRIMARY KEY (tenant, account, hash)
);

-- Keys whose certificates open accounts of the tenant.
CREATE TABLE authorities (
    tenant BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    key BYTES NOT NULL,
    comment TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, fingerprint)
);

-- Certificates that are taken no more: kind is key, key-id or serial; authority is the fingerprint of
-- the key that signed them, empty for all.
CREATE TABLE revocations (
    tenant BIGINT NOT NULL,
    authority TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, authority, kind, value)
);
