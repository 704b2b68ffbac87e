-- What instances share for TLS, and the certificates (X.509) of clients.

-- Keys of session tickets; wrapped as tenants' data keys are, for tenant 0 and the id as the version.
CREATE TABLE ticket_keys (
    id BIGINT PRIMARY KEY,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    made_at BIGINT NOT NULL
);

-- Certificates of authorities whose certificates open accounts of the tenant. fingerprint: SHA-256, in hex.
CREATE TABLE x509_authorities (
    tenant BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    certificate BYTES NOT NULL,
    subject TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, fingerprint)
);

-- The newest list of revoked certificates of each authority; issuer: SHA-256 of its name, in hex.
CREATE TABLE x509_crls (
    tenant BIGINT NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    crl BYTES NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, issuer)
);

-- Certificates that open an account. kind: fingerprint (SHA-256, in hex) of one certificate; email, dns,
-- uri or cn of any that an authority of the tenant made.
CREATE TABLE account_certificates (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, kind, value)
);
