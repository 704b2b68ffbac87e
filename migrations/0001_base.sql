-- Shared by both databases. BYTES and NAME stand for the dialect's byte string and byte-ordered text.
-- Numbers are BIGINT; times are microseconds since 1970 (UTC).

CREATE TABLE installation (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tenants (
    id BIGINT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    disabled BIGINT NOT NULL DEFAULT 0,
    root BYTES NOT NULL,
    retention_seconds BIGINT NOT NULL,
    quota_bytes BIGINT,
    quota_files BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE instances (
    id BYTES PRIMARY KEY,
    started_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- Recurring work that one instance at a time does.
CREATE TABLE leases (
    tenant BIGINT NOT NULL,
    kind TEXT NOT NULL,
    holder BYTES NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind)
);

-- The tenant's clock row: every change locks it.
CREATE TABLE clocks (
    tenant BIGINT PRIMARY KEY,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    audit_number BIGINT NOT NULL,
    audit_hash BYTES NOT NULL
);

CREATE TABLE changes (
    tenant BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    id BYTES NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account BIGINT,
    session BYTES,
    protocol TEXT NOT NULL,
    address TEXT,
    detail TEXT NOT NULL,
    audit_number BIGINT NOT NULL,
    audit_hash BYTES NOT NULL,
    PRIMARY KEY (tenant, seq),
    UNIQUE (tenant, id)
);
CREATE INDEX changes_at ON changes (tenant, at);
CREATE INDEX changes_audit ON changes (tenant, audit_number);

-- What the audit log holds beside changes: logins, downloads, refusals, administration.
CREATE TABLE events (
    tenant BIGINT NOT NULL,
    audit_number BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account BIGINT,
    session BYTES,
    protocol TEXT NOT NULL,
    address TEXT,
    detail TEXT NOT NULL,
    audit_hash BYTES NOT NULL,
    PRIMARY KEY (tenant, audit_number)
);

CREATE TABLE entries (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    parent BYTES NOT NULL,
    name NAME NOT NULL,
    kind BIGINT NOT NULL,
    content BYTES,
    size BIGINT NOT NULL,
    owner BIGINT,
    mode BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    accessed BIGINT NOT NULL,
    born BIGINT NOT NULL,
    PRIMARY KEY (tenant, node),
    UNIQUE (tenant, parent, name)
);

CREATE INDEX entries_content ON entries (tenant, content);

CREATE TABLE entries_past (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    parent BYTES NOT NULL,
    name NAME NOT NULL,
    kind BIGINT NOT NULL,
    content BYTES,
    size BIGINT NOT NULL,
    owner BIGINT,
    mode BIGINT NOT NULL,
    modified BIGINT NOT NULL,
    accessed BIGINT NOT NULL,
    born BIGINT NOT NULL,
    died BIGINT NOT NULL,
    PRIMARY KEY (tenant, node, died)
);
CREATE INDEX entries_past_name ON entries_past (tenant, parent, name, died, born);
CREATE INDEX entries_past_content ON entries_past (tenant, content);
CREATE INDEX entries_past_died ON entries_past (tenant, died);

-- Folders that died with something below them. The settling job sums what lies below and gives
-- it back to the quota in one step; purge later removes it.
CREATE TABLE detached (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    died BIGINT NOT NULL,
    settled BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, node)
);
CREATE INDEX detached_died ON detached (tenant, died);

CREATE TABLE detached_usage (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    account BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    files BIGINT NOT NULL,
    PRIMARY KEY (tenant, node, account)
);

-- Folders whose time is over and whose children are still to be removed.
CREATE TABLE doomed (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    PRIMARY KEY (tenant, node)
);

CREATE TABLE contents (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    size BIGINT NOT NULL,
    sha256 BYTES,
    uses BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX contents_unhashed ON contents (tenant) WHERE sha256 IS NULL;

CREATE TABLE extents (
    tenant BIGINT NOT NULL,
    content BYTES NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob BYTES,
    blob_start BIGINT NOT NULL,
    PRIMARY KEY (tenant, content, start)
);

-- state: 1 writing, 2 live, 3 condemned, 4 deleting. size: bytes of plain text.
-- uses: extents of contents and uploads that name the blob.
CREATE TABLE blobs (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    state BIGINT NOT NULL,
    size BIGINT NOT NULL,
    finished BIGINT NOT NULL,
    key_version BIGINT NOT NULL,
    instance BYTES NOT NULL,
    uses BIGINT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX blobs_state ON blobs (tenant, state, at);

CREATE TABLE uploads (
    tenant BIGINT NOT NULL,
    id BYTES NOT NULL,
    epoch BIGINT NOT NULL,
    instance BYTES NOT NULL,
    account BIGINT NOT NULL,
    parent BYTES NOT NULL,
    name NAME NOT NULL,
    size BIGINT NOT NULL,
    hash_state BYTES,
    reserved_bytes BIGINT NOT NULL,
    reserved_files BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX uploads_name ON uploads (tenant, account, parent, name);

CREATE TABLE upload_extents (
    tenant BIGINT NOT NULL,
    upload BYTES NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    blob BYTES,
    blob_start BIGINT NOT NULL,
    PRIMARY KEY (tenant, upload, start)
);

-- Use by account; account 0 is the tenant's total.
CREATE TABLE usage (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    files BIGINT NOT NULL,
    reserved_bytes BIGINT NOT NULL,
    reserved_files BIGINT NOT NULL,
    PRIMARY KEY (tenant, account)
);

CREATE TABLE accounts (
    tenant BIGINT NOT NULL,
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    disabled BIGINT NOT NULL DEFAULT 0,
    password TEXT,
    home BYTES NOT NULL,
    ceiling BIGINT NOT NULL,
    quota_bytes BIGINT,
    quota_files BIGINT,
    generation BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

CREATE TABLE account_keys (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    key BYTES NOT NULL,
    comment TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, fingerprint)
);

CREATE TABLE groups (
    tenant BIGINT NOT NULL,
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
);

CREATE TABLE group_members (
    tenant BIGINT NOT NULL,
    group_id BIGINT NOT NULL,
    account BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, group_id)
);

-- subject_kind: 1 account, 2 group.
CREATE TABLE grants (
    tenant BIGINT NOT NULL,
    node BYTES NOT NULL,
    subject_kind BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    rights BIGINT NOT NULL,
    PRIMARY KEY (tenant, subject_kind, subject, node)
);

CREATE TABLE data_keys (
    tenant BIGINT NOT NULL,
    version BIGINT NOT NULL,
    provider TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, version)
);

-- Failed logins, by the name as it was typed and the address; address '' is the account's total.
CREATE TABLE login_failures (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    address TEXT NOT NULL,
    failures BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    locked_until BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, address)
);

-- Addresses from which an account has logged in well: its usual ones.
CREATE TABLE login_addresses (
    tenant BIGINT NOT NULL,
    account BIGINT NOT NULL,
    address TEXT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, account, address)
);
