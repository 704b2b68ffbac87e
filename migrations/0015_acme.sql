-- Certificates from an authority by ACME (RFC 8555): any instance orders, answers and serves. What is secret is
-- sealed under a key of its own, which is wrapped as tenants' data keys are, for tenant 0.

-- sealed: the account's key and address, as JSON.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    sealed BYTES NOT NULL
);

-- number: 1, 2, 3, ...: the certificates of a host, in the order in which they came. sealed: chain and key in PEM.
-- renew_at: from then on a new one is ordered.
CREATE TABLE acme_certificates (
    host TEXT PRIMARY KEY,
    directory TEXT NOT NULL,
    number BIGINT NOT NULL,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    sealed BYTES NOT NULL,
    renew_at BIGINT NOT NULL
);

-- Orders that failed: how many in a row, and when the next is tried.
CREATE TABLE acme_failures (
    host TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    try_at BIGINT NOT NULL
);

-- What is answered to the authority that asks at /.well-known/acme-challenge/TOKEN.
CREATE TABLE acme_challenges (
    token TEXT PRIMARY KEY,
    answer TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
