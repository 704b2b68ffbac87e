-- Certificates from an authority by ACME (RFC 8555): any instance orders, answers and serves. What is secret is
-- sealed under a key of its own, which is wrapped as tenants' data keys are, for tenant 0.

-- sealed: the account's key and address, as JSON.
CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    sealed BYTES NOT NULL
);

-- Each authority's by itself, since instances may have different ones in their settings for a while. number: 1, 2, 3,
-- ...: the order in which they came. sealed: chain and key in PEM. renew_at: from then on a new one is ordered.
CREATE TABLE acme_certificates (
    host TEXT NOT NULL,
    directory TEXT NOT NULL,
    number BIGINT NOT NULL,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    sealed BYTES NOT NULL,
    renew_at BIGINT NOT NULL,
    PRIMARY KEY (host, directory)
);

-- Orders that failed: how many in a row, and when the next is tried.
CREATE TABLE acme_failures (
    host TEXT NOT NULL,
    directory TEXT NOT NULL,
    failures BIGINT NOT NULL,
    try_at BIGINT NOT NULL,
    PRIMARY KEY (host, directory)
);

-- What is answered to the authority that asks at /.well-known/acme-challenge/TOKEN.
CREATE TABLE acme_challenges (
    token TEXT PRIMARY KEY,
    answer TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
